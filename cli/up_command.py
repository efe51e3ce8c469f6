"""`driftgate up`: the three processes of one machine under one roof."""

import asyncio
import os
import sys

import typer

from cli.extras import require_extra
from cli.output import say
from cli.parts import home_of, settings_of
from cli.process_commands import GrpcPort, Host, Insecure, Port
from cli.supervise import Child, supervise
from server.process import longest_drain_s
from store.database import open_database
from store.settings import Settings

_ENDING_S = 10.0
"""What a process may need to end beyond the time that `serve` drains."""


def up(
    ctx: typer.Context,
    host: Host = None,
    port: Port = None,
    grpc_port: GrpcPort = None,
    insecure: Insecure = False,
) -> None:
    """A process that dies is started again; SIGTERM and Ctrl-C stop all three.

    The exit code is 1 when `serve` cannot start.
    """
    for extra in ("monitor", "retrain"):
        require_extra(extra)
    settings = settings_of(ctx, host=host, port=port, grpc_port=grpc_port)
    open_database(settings).close()  # its trouble is told once, here, and not by three processes
    environment = dict(os.environ)
    home = home_of(ctx)
    if home is not None:
        environment["DRIFTGATE_HOME"] = str(home)
    for line in _addresses(settings):
        say(line)
    asyncio.run(
        supervise(
            [
                Child("serve", _command("serve", *_serve_options(settings, insecure)), vital=True),
                Child("monitor", _command("monitor")),
                Child("worker", _command("worker")),
            ],
            environment=environment,
            stop_timeout_s=longest_drain_s(settings) + _ENDING_S,
        )
    )


def _command(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "cli.main", *arguments)


def _serve_options(settings: Settings, insecure: bool) -> list[str]:
    options = ["--host", settings.host, "--port", str(settings.port)]
    options += ["--grpc-port", str(settings.grpc_port)]
    return [*options, "--insecure"] if insecure else options


def _addresses(settings: Settings) -> list[str]:
    ports = {
        "predictions": settings.port,
        "predictions by gRPC": settings.grpc_port,
        "metrics of monitor": settings.monitor_port,
        "metrics of worker": settings.worker_port,
    }
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return [
        f"{what}: " + (f"http://{host}:{port}" if port else "a free port, see its line in the log")
        for what, port in ports.items()
    ]
