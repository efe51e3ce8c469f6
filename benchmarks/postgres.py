"""A PostgreSQL of one's own, for tests and benchmarks: the system's programs, a temporary folder, a socket file and no
port."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psycopg

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))


def why_not() -> str | None:
    """Why no PostgreSQL can be started here; None if one can."""
    if not _PROGRAMS:
        return "no PostgreSQL under /usr/lib/postgresql; on Debian: apt-get install postgresql"
    if os.getuid() == 0 and _unprivileged() is None:
        return "root may not run PostgreSQL and there is no user 'postgres'"
    return None


def _unprivileged() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


class Postgres:
    """Started by `start`, ended by `stop`; `remove` takes its folder away.

    durable: a commit is on the disk before it returns, as on a server that people trust; tests are quicker without.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._bin = _PROGRAMS[-1].parent
        self._user = _unprivileged() if os.getuid() == 0 else None
        # Not pytest's folder, which only its own user may enter, and short: a socket's path has at most 107 letters.
        self._folder = Path(tempfile.mkdtemp(prefix="driftgate-pg-", dir="/tmp"))
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--pgdata", self._data, "--username=tests", "--auth=trust", "--no-sync", "--encoding=UTF8")

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def url(self, name: str) -> str:
        return f"postgresql://tests:s3cret@/{name}?host={self._folder}"

    def create(self, name: str, *, template: str = "template0") -> str:
        """A new database; returns its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')  # type: ignore[arg-type]  # names of ours
        return self.url(name)

    def empty(self, name: str, tables: Iterable[str], *, schema: str) -> None:
        """Empty the tables of a migrated database, which is quicker than to make a new one."""
        with psycopg.connect(self.url(name)) as connection:
            connection.execute("SET lock_timeout = '10s'")  # a test that left a transaction open is told
            connection.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE")  # type: ignore[arg-type]  # ours
            connection.execute("UPDATE alembic_version SET version_num = %s", [schema])

    def start(self) -> None:
        fsync = f"fsync={'on' if self._durable else 'off'}"
        options = (fsync, "listen_addresses=", f"unix_socket_directories={self._folder}", "max_connections=60")
        command = [str(self._bin / "postgres"), "-D", self._data, *(word for o in options for word in ("-c", o))]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_user())
        self._run("pg_isready", "--host", str(self._folder), "--timeout=30", until_ready=True)

    def stop(self) -> None:
        """At once, as when its machine is shut down: whoever is connected is thrown out."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str, until_ready: bool = False) -> None:
        while True:
            command = [str(self._bin / program), *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False, **self._as_user())
            if done.returncode == 0:
                return
            if not until_ready or self._process is None or self._process.poll() is not None:
                log = self._folder / "log"
                raise RuntimeError(f"{program}: {done.stderr}{log.read_text() if log.exists() else ''}")

    def _as_user(self) -> dict[str, object]:
        if self._user is None:
            return {"cwd": self._folder}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": [], "cwd": self._folder}
