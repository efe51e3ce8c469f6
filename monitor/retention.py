"""Reports of old checks go; their figures stay.

A page weighs about 4 MB, the record of its check a few thousand bytes.

A record never points to an artifact that is not there. So one transaction takes the key out of `Check.report`, where
readers look, and notes it in `Check.report_retired`; then the artifact is deleted; then the note. What a crash or an
outage cuts off is found by its note in the next round, and deleting twice does no harm. Artifacts are named by their
content, so a page that is also that of another check is left to that one. A check that is recorded meanwhile never
brings an old key back: Evidently puts random ids into each page.

Only what a record named is deleted. A sweep of all that no record names would find a little more, such as the page of a
check that was overtaken by another before it was recorded. But where two stores share their artifacts, as a restored
backup does with its original, each would sweep away the pages of the other.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from monitor.parts import MonitorParts
from store.checks import KeptReport, forget_retired, kept_reports, retire_reports, retired_reports, shown_reports
from store.errors import ArtifactCorrupt, StoreUnavailable
from store.logs import get_log

CLEAN_EVERY_S = 3600.0
_BATCH = 500
"""Rows a transaction."""

_log = get_log("monitor")
_T = TypeVar("_T")


def reports_to_retire(reports: Sequence[KeptReport], *, keep: timedelta, now: datetime) -> list[KeptReport]:
    """Those older than `keep`, in their order; never the newest of a model: there is always one to look at."""
    newest = {report.model: report.seq for report in sorted(reports, key=lambda report: report.seq)}
    return [report for report in reports if now - report.at > keep and report.seq < newest[report.model]]


def clean_reports(parts: MonitorParts) -> None:
    """One round. A silent store is logged, and the next round takes up what this one left."""
    try:
        retired = _retire(parts)
        deleted = _delete_retired(parts)
    except StoreUnavailable as error:
        _log.error("reports_not_deleted", error=str(error), retry_s=CLEAN_EVERY_S)
        return
    if retired or deleted:
        _log.info("reports_deleted", checks=retired, artifacts=deleted)


def _retire(parts: MonitorParts) -> int:
    now, keep = parts.clock(), timedelta(days=parts.settings.reports_keep_days)
    with parts.database.read() as session:
        old = reports_to_retire(kept_reports(session), keep=keep, now=now)
    for batch in _batches(old):
        if parts.workspace is not None:
            for report in batch:
                parts.workspace.remove(report.model, report.check)
        with parts.database.write() as session:
            retire_reports(session, [report.check for report in batch], now=now)
    return len(old)


def _delete_retired(parts: MonitorParts) -> int:
    with parts.database.read() as session:
        retired = retired_reports(session)
    deleted = 0
    for batch in _batches(retired):
        with parts.database.read() as session:
            shown = shown_reports(session, batch)
        for key in batch:
            if key not in shown:
                deleted += _delete(parts, key)
        with parts.database.write() as session:
            forget_retired(session, batch)
    return deleted


def _delete(parts: MonitorParts, key: str) -> bool:
    """False for what was never an artifact; it is told once, and forgotten."""
    try:
        parts.artifacts.delete(key)
    except ArtifactCorrupt as error:
        _log.error("report_not_deleted", error=str(error))
        return False
    return True


def _batches(rows: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]
