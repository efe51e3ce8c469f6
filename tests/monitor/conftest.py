"""A real store with a deployed model in it, and a clock that a test can turn."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks.recorded import base_row
from monitor.check import REPORT_FILE
from monitor.parts import MonitorParts, open_monitor_parts
from store.bases import add_base
from store.checks import add_check, last_checks
from store.errors import ArtifactCorrupt
from store.events import history
from store.feedback import NewFeedback, add_feedback
from store.predictions import add_predictions
from store.records import Check, Event, Snapshot
from store.reference import save_reference
from store.settings import load_settings
from store.snapshots import add_snapshot
from store.versions import NewVersion, promote, register_version
from tests.monitor.traffic import LABELS, Source, as_predictions, as_reference, draw, with_reason
from tests.store.rows import check

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)


class HandClock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class World:
    """Says in one line what a test needs to have happened."""

    parts: MonitorParts
    clock: HandClock
    folder: Path
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(11))
    _predicted: int = 0

    def deploy(
        self,
        model: str = "tickets",
        *,
        reference_rows: int | None = 500,
        snapshot: bool = True,
        own_graph: bool = False,
    ) -> int:
        """Register and promote a version; without `reference_rows` it has no reference. own_graph: it stands on a base
        of its own that was tuned from `minilm`."""
        reference = None
        if reference_rows is not None:
            folder = self.folder / f"reference-{self.rng.integers(1 << 30)}"
            folder.mkdir(parents=True)
            save_reference(as_reference(draw(Source(), reference_rows, self.rng)), folder)
            reference = self.parts.artifacts.put("references", folder)
        now = self.clock()
        with self.parts.database.write() as session:
            add_base(session, base_row(now.replace(month=1)))
            session.flush()
            stands_on = "minilm"
            if own_graph:
                tuned = base_row(now.replace(month=1))
                tuned.name, tuned.parent, tuned.state = f"{model}.tuned", "minilm", "candidate"
                stands_on = tuned.name
                add_base(session, tuned)
                session.flush()
            closed = f"{model}-snapshot" if snapshot else None
            if closed:
                add_snapshot(session, _snapshot(closed, model, now))
            new = NewVersion(model, stands_on, f"adapters/{model}", 8, LABELS, reference=reference, snapshot=closed)
            number = register_version(session, new, by="test", now=now)
            promote(session, model, number, by="test", reason="first version", now=now)
        return number

    def answer(
        self,
        rows: int,
        source: Source = Source(),  # noqa: B008  # frozen
        *,
        model: str = "tickets",
        version: int = 1,
        audit: float | None = None,
        labelled: bool = False,
        reason: str = "sample",
        tags: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Record `rows` predictions; `labelled`: a person then gives each its true label. Returns their ids."""
        drawn = draw(source, rows, self.rng)
        new = as_predictions(drawn, model, version, first_id=self._predicted, at=self.clock(), audit=audit, tags=tags)
        self._predicted += rows
        with self.parts.database.write() as session:
            add_predictions(session, with_reason(new, reason))
            for row, truth in zip(new, drawn.truth, strict=True):
                if labelled:
                    verdict = NewFeedback(row.id, model, version, LABELS[truth], None, None, None, "ann", "audit")
                    add_feedback(session, verdict, now=self.clock())
        return [row.id for row in new]

    def judge(self, predictions: Sequence[str], *, correct: bool, model: str = "tickets", version: int = 1) -> None:
        """A person reviews rows of the audit sample and says of each whether it was right."""
        with self.parts.database.write() as session:
            for prediction in predictions:
                verdict = NewFeedback(prediction, model, version, None, correct, None, None, "ann", "audit")
                add_feedback(session, verdict, now=self.clock())

    def keep_report(self, *, days_old: float, model: str = "tickets", page: str | None = None) -> tuple[str, str]:
        """Record a check with a page, as if it had been made `days_old` ago. Returns its id and the page's artifact."""
        folder = self.folder / f"page-{self.rng.integers(1 << 30)}"
        folder.mkdir(parents=True)
        (folder / REPORT_FILE).write_text(folder.name if page is None else page)
        key = self.parts.artifacts.put("reports", folder)
        row = check(model, at=self.clock() - timedelta(days=days_old), report=key)
        with self.parts.database.write() as session:
            add_check(session, row)
        return row.id, key

    def has_artifact(self, key: str) -> bool:
        try:
            self.parts.artifacts.fetch(key)
        except ArtifactCorrupt:
            return False
        return True

    def checks(self, model: str = "tickets") -> list[Check]:
        with self.parts.database.read() as session:
            return last_checks(session, model)

    def story(self, model: str = "tickets") -> list[Event]:
        """Events that checks and runs added."""
        with self.parts.database.read() as session:
            return [event for event in history(session, model) if event.kind != "promoted"]


def _snapshot(name: str, model: str, now: datetime) -> Snapshot:
    return Snapshot(
        id=name,
        model=model,
        parent=None,
        artifact="snapshots/x",
        rows=1000,
        labels={},
        audit={},
        feedback_until=0,
        created_at=now,
    )


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Opens a store under `tmp_path` with the settings given."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(**overrides: object) -> World:
            clock = HandClock()
            settings = load_settings(home=tmp_path / "home", **{"retrain_min_audit_labels": 0, **overrides})
            parts = stack.enter_context(open_monitor_parts(settings, clock=clock))
            return World(parts, clock, tmp_path / "folders")

        yield make
