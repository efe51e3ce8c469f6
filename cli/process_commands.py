"""`driftgate serve`, `monitor` and `worker`: the three processes, each until it is stopped."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.extras import require_extra
from cli.output import AsJson, show, table
from cli.parts import settings_of
from cli.supervise import end_with_parent

Host = Annotated[str | None, typer.Option(help="Address to bind to; the default is DRIFTGATE_HOST.")]
Port = Annotated[
    int | None, typer.Option(min=0, max=65_535, help="HTTP port, 0 for a free one; the default is DRIFTGATE_PORT.")
]
GrpcPort = Annotated[
    int | None, typer.Option(min=0, max=65_535, help="gRPC port, 0 for a free one; the default is DRIFTGATE_GRPC_PORT.")
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Bind to any address although there is no API key.")]
Once = Annotated[bool, typer.Option("--once", help="Do what there is to do now, then end.")]


def serve(
    ctx: typer.Context,
    host: Host = None,
    port: Port = None,
    grpc_port: GrpcPort = None,
    provider: Annotated[
        Literal["auto", "cpu", "openvino"] | None,
        typer.Option(help="Execution provider of ONNX Runtime; the default is DRIFTGATE_PROVIDER."),
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "int8"] | None,
        typer.Option(help="How the frozen part computes; the default is DRIFTGATE_PRECISION."),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Accuracy that a faster precision may cost, as a share of 1."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes on the one port; the default is DRIFTGATE_WORKERS.")
    ] = None,
    insecure: Insecure = False,
    listen_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Follows the store: what is promoted elsewhere is served here within a second."""
    settings = settings_of(
        ctx,
        host=host,
        port=port,
        grpc_port=grpc_port,
        provider=provider,
        precision=precision,
        precision_max_loss=max_loss,
        workers=workers,
    )
    if settings.workers > 1 and listen_fd is None:
        from cli.serve_workers import serve_workers

        serve_workers(settings, insecure=insecure)
        return
    from server.process import run_server

    if listen_fd is not None:
        end_with_parent()
    run_server(settings, insecure=insecure, listen_fd=listen_fd)


def monitor(
    ctx: typer.Context,
    once: Once = False,
    evidently_workspace: Annotated[
        Path | None,
        typer.Option(
            help="Folder to which each report is added for Evidently's own UI, too; "
            "the default is DRIFTGATE_EVIDENTLY_WORKSPACE.",
            metavar="FOLDER",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """With --once, every deployed model is checked now, due or not, and the results are printed."""
    require_extra("monitor")
    settings = settings_of(ctx, evidently_workspace=evidently_workspace)
    from monitor.service import run_monitor

    with stopping() as stop:
        results = run_monitor(settings, once=once, stop=stop)
    if once:
        rows = [
            (r.model, r.version, r.drift.verdict.value, r.window_rows, r.policy.action.value, r.drift.reason, r.check)
            for r in results
        ]
        columns = ("model", "version", "verdict", "rows", "action", "reason", "check")
        show({"checks": [result.as_dict() for result in results]}, table(columns, rows), as_json=as_json)


def worker(ctx: typer.Context, once: Once = False) -> None:
    """With --once, it ends as soon as no run is queued. A run whose worker died is carried on."""
    require_extra("retrain")
    settings = settings_of(ctx)
    from retrain.worker import run_worker

    with stopping() as stop:
        run_worker(settings, once=once, stop=stop)


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, instead of ending the process in the middle of something.

    A thread sets it. A handler runs in the main thread, which may be just about to wait for the event and hold its
    lock: setting it there would wait for that lock for ever.
    """
    stop, numbers = threading.Event(), (signal.SIGTERM, signal.SIGINT)
    arrivals, wakeup = socket.socketpair()
    wakeup.setblocking(False)

    def forward() -> None:
        while arrived := arrivals.recv(1):
            if arrived[0] in numbers:
                stop.set()

    forwarder = threading.Thread(target=forward, name="signals", daemon=True)
    forwarder.start()
    fd_before = signal.set_wakeup_fd(wakeup.fileno())
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(fd_before)
        wakeup.close()
        forwarder.join()
        arrivals.close()
