"""`driftgate serve --workers N`: several serving processes on one port, for machines where one Python is the limit.

The workers share one listening socket for HTTP, so that whichever is free takes the next connection, and the gRPC port
by SO_REUSEPORT. Each follows the store by itself. Their metrics add up through files in a folder of their own.
"""

import asyncio
import os
import sys
from tempfile import TemporaryDirectory

from prometheus_client.multiprocess import mark_process_dead

from cli.supervise import Child, supervise
from server.process import bind, longest_drain_s
from store.database import open_database
from store.logs import get_log
from store.settings import Settings

_ENDING_S = 10.0
"""What a worker may need to end beyond the time that it drains."""

_log = get_log("workers")


def serve_workers(settings: Settings, *, insecure: bool) -> None:
    """Serve with `settings.workers` processes until SIGTERM or SIGINT. Raises BadInput, CannotStart."""
    open_database(settings).close()  # its trouble is told once, here, and not by every worker
    with (
        TemporaryDirectory(prefix="driftgate-metrics-") as metrics,
        bind(settings.host, settings.port) as listening,
        bind(settings.host, settings.grpc_port, option="--grpc-port", shared=True) as grpc_port,
    ):
        environment = {
            **os.environ,
            "PROMETHEUS_MULTIPROC_DIR": metrics,
            "DRIFTGATE_HOME": str(settings.home),
            "DRIFTGATE_WORKERS": str(settings.workers),
            "DRIFTGATE_GRPC_PORT": str(grpc_port.getsockname()[1]),
            "DRIFTGATE_PROVIDER": settings.provider,
            "DRIFTGATE_PRECISION": settings.precision,
            "DRIFTGATE_PRECISION_MAX_LOSS": str(settings.precision_max_loss),
        }
        command = [sys.executable, "-m", "cli.main", "serve", "--host", settings.host]
        command += ["--listen-fd", str(listening.fileno()), *(["--insecure"] if insecure else [])]
        children = [
            Child(f"serve-{number}", tuple(command), vital=number == 1, inherits=(listening.fileno(),))
            for number in range(1, settings.workers + 1)
        ]
        _log.info("workers_starting", workers=settings.workers)
        asyncio.run(
            supervise(
                children,
                environment=environment,
                stop_timeout_s=longest_drain_s(settings) + _ENDING_S,
                ended=lambda pid: mark_process_dead(pid, path=metrics),  # type: ignore[no-untyped-call]  # no types
            )
        )
