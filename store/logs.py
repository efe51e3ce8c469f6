"""Logs are an event name and fields, one line each: never inputs, keys or URLs with passwords."""

import logging
import sys
from typing import Literal, TextIO, cast

import structlog


def configure_logs(style: Literal["console", "json"]) -> None:
    """Send events to stderr, readable (`console`) or as one JSON object a line (`json`)."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, _CurrentStderr())),
    )


class _CurrentStderr:
    """Standard error as it is when a line is written: it may be replaced, and the one before closed, at any time."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def get_log(name: str) -> structlog.typing.FilteringBoundLogger:
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=name)
    return log
