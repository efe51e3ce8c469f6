"""A store after much traffic: the predictions, audit sample, verdicts and checks of one busy model and a quieter one.

Shapes, sizes and proportions are those of a service that keeps everything; contents are drawn at random from one
distribution, so nothing drifts. Rows that no check will look at share their contents with others.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, text

from engine.classification import softmax
from engine.sketch import SKETCH_DIM, pack_floats
from monitor.parts import MonitorParts, open_monitor_parts
from monitor.signals import LABEL
from store.bases import add_base
from store.clock import utc_now
from store.database import Database, sqlite_path
from store.feedback import NewFeedback, add_feedback
from store.predictions import NewPrediction, add_predictions
from store.records import AuditSample, Base, Check, Feedback, Snapshot
from store.reference import Reference, save_reference
from store.settings import Settings
from store.snapshots import add_snapshot
from store.versions import NewVersion, promote, register_version

MODEL, OTHER = "tickets", "mails"
VERSIONS = 4
"""Of the busy model, one after the other; the last is in production."""
LABELS = tuple(f"topic_{number:02d}" for number in range(20))
REFERENCE_ROWS = 5_000
AUDIT_EVERY, REVIEWED_EVERY, FLAGGED_EVERY = 100, 2, 500
"""One row in so many is drawn, one drawn row in so many reviewed, one row in so many flagged."""
OTHER_EVERY, LOW_SCORE_EVERY = 5, 33
"""One row in so many is of the quieter model, or was recorded for its low score alone."""

_POOL_ROWS = 10_000
_WRITTEN_AT_ONCE = 1_000
"""What a server writes in one transaction."""
_LOADED_AT_ONCE = 50_000
_STARTED = datetime(2026, 1, 1, tzinfo=UTC)
_WORDS = ("order", "late", "parcel", "refund", "invoice", "please", "the", "my", "account", "still", "where", "is")
_COLUMNS = (
    *("id", "model", "version", "input", "label", "score", "probabilities", "sketch", "length_tokens"),
    *("unknown_tokens", "latency_s", "reason", "inclusion", "tags", "request_id", "at"),
)


@dataclass(frozen=True, slots=True)
class Content:
    """What a row holds beside its place in the traffic."""

    input: str
    label: str
    truth: str
    score: float
    probabilities: bytes
    sketch: bytes
    length_tokens: int
    unknown_tokens: int


def draw(rows: int, rng: np.random.Generator) -> Reference:
    """Answers of a model that is right in about nine of ten, and the truth."""
    truth = rng.integers(len(LABELS), size=rows)
    logits = rng.normal(size=(rows, len(LABELS)))
    logits[np.arange(rows), truth] += 3.3
    centres = np.random.default_rng(1).normal(size=(len(LABELS), SKETCH_DIM))
    length: NDArray[np.int64] = np.clip(rng.lognormal(np.log(18), 0.5, rows).round(), 3, 128).astype(np.int64)
    return Reference(
        labels=LABELS,
        probabilities=softmax(logits.astype(np.float32)),
        sketches=(centres[truth] + rng.normal(size=(rows, SKETCH_DIM))).astype(np.float32),
        length_tokens=length,
        length_chars=5 * length,
        unknown_tokens=rng.binomial(length, 0.02),
        true_label=truth,
        temperature=1.0,
        max_tokens=128,
    )


def contents_of(drawn: Reference, rng: np.random.Generator) -> list[Content]:
    predicted = drawn.probabilities.argmax(axis=1)
    return [
        Content(
            input=" ".join(rng.choice(_WORDS, drawn.length_tokens[i]))[: drawn.length_chars[i]],
            label=LABELS[predicted[i]],
            truth=LABELS[drawn.true_label[i]],
            score=float(drawn.probabilities[i].max()),
            probabilities=pack_floats(drawn.probabilities[i]),
            sketch=pack_floats(drawn.sketches[i]),
            length_tokens=int(drawn.length_tokens[i]),
            unknown_tokens=int(drawn.unknown_tokens[i]),
        )
        for i in range(drawn.rows)
    ]


@dataclass
class Recorded:
    """An open store and the traffic that goes on in it."""

    parts: MonitorParts
    window_rows: int
    rows: int
    """Predictions recorded so far, of all models."""
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(2))

    def go_on(self) -> None:
        """Record, as servers do, until there are `window_rows` more that a check of the busy model may look at."""
        sampled = 0
        while sampled < self.window_rows:
            contents = contents_of(draw(_WRITTEN_AT_ONCE, self.rng), self.rng)
            numbered = list(zip(range(self.rows, self.rows + len(contents)), contents, strict=True))
            rows = [prediction(number, VERSIONS, content, utc_now()) for number, content in numbered]
            for i, row in enumerate(rows):
                sampled += row.model == MODEL and row.reason == "sample"
                if sampled == self.window_rows:
                    del rows[i + 1 :]
                    break
            with self.parts.database.write() as session:
                add_predictions(session, rows)
                for (number, content), row in zip(numbered, rows, strict=False):
                    origin = verdict_on(number)
                    if origin is not None:
                        verdict = NewFeedback(row.id, row.model, row.version, content.truth, None, None, None, "ann")
                        add_feedback(session, verdict if origin == "flagged" else _reviewing(verdict), now=utc_now())
            self.rows += len(rows)


def bytes_a_row(kind: str) -> float:
    """About what a prediction takes on disk with its indexes."""
    rng = np.random.default_rng(3)
    rows = [prediction(i, VERSIONS, content, _STARTED) for i, content in enumerate(contents_of(draw(500, rng), rng))]
    texts = np.mean([len(r.id) + len(r.model) + len(r.input) + len(r.label) + len(r.request_id) for r in rows])
    blobs = np.mean([len(r.probabilities) + len(r.sketch) for r in rows])
    numbers_and_time = 9 * 8 + 26
    indexes = np.mean([len(r.id) + 2 * len(r.model) + len(r.reason) for r in rows]) + 3 * 24
    overhead = {"sqlite": 40, "postgresql": 90}[kind]
    return float(1.2 * (texts + blobs + numbers_and_time + indexes + overhead))


@contextmanager
def recorded(settings: Settings, rows: int, *, window_rows: int) -> Iterator[Recorded]:
    """An empty store, filled: `rows` predictions of which checks have seen all, window after window."""
    with ExitStack() as opened:
        database = opened.enter_context(closing(Database(settings.database)))
        settings.home.mkdir(parents=True, exist_ok=True)
        database.upgrade()
        rng = np.random.default_rng(4)
        pool = contents_of(draw(_POOL_ROWS, rng), rng)
        if database.engine.dialect.name == "sqlite":
            _load_sqlite(database, _columns_of(rows, pool, lambda at: at.strftime("%Y-%m-%d %H:%M:%S.%f")))
        else:
            _load_postgresql(settings, _columns_of(rows, pool, lambda at: at.isoformat()))
        _add_verdicts(database, rows, pool)
        parts = opened.enter_context(open_monitor_parts(settings))
        _register(parts, rows)
        _add_checks(database, rows, window_rows)
        if database.engine.dialect.name == "postgresql":  # what its autovacuum does by and by
            with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.execute(text("VACUUM ANALYZE"))
        yield Recorded(parts, window_rows, rows)


def prediction(number: int, version: int, content: Content, at: datetime) -> NewPrediction:
    """Row `number` of the traffic; `version` counts for the busy model."""
    other = number % OTHER_EVERY == 0
    model, answering = (OTHER, 1) if other else (MODEL, version)
    identifier = f"{number:012x}{number * 0x9E3779B97F4A7C15 % 2**80:020x}"
    return NewPrediction(
        id=f"{model}:{answering}:{identifier}",
        model=model,
        version=answering,
        input=content.input,
        label=content.label,
        score=content.score,
        probabilities=content.probabilities,
        sketch=content.sketch,
        length_tokens=content.length_tokens,
        unknown_tokens=content.unknown_tokens,
        latency_s=0.01,
        reason="low_score" if number % LOW_SCORE_EVERY == 0 else "sample",
        inclusion=1.0,
        tags={},
        request_id=identifier,
        at=at,
        audit=1 / AUDIT_EVERY if _drawn(number) else None,
    )


def verdict_on(number: int) -> str | None:
    """`audit`, `flagged` or None, for row `number` of the traffic."""
    if _drawn(number) and number // AUDIT_EVERY % REVIEWED_EVERY == 0:
        return "audit"
    return "flagged" if number % FLAGGED_EVERY == 3 else None


def _drawn(number: int) -> bool:
    """One in AUDIT_EVERY, and not always at the same place of the other patterns."""
    return (number + number // AUDIT_EVERY) % AUDIT_EVERY == 0


def _reviewing(verdict: NewFeedback) -> NewFeedback:
    return NewFeedback(
        verdict.prediction_id, verdict.model, verdict.version, verdict.label, None, None, None, "reviewer", "audit"
    )


def _version_at(number: int, rows: int) -> int:
    return 1 + number * VERSIONS // rows


def _moment(number: int) -> datetime:
    """Ten a second, written a thousand at a time."""
    return _STARTED + timedelta(seconds=number // _WRITTEN_AT_ONCE * (_WRITTEN_AT_ONCE / 10))


def _columns_of(rows: int, pool: list[Content], shown: Callable[[datetime], str]) -> Iterator[tuple[Any, ...]]:
    at, at_shown = _STARTED, shown(_STARTED)
    for number in range(rows):
        if number % _WRITTEN_AT_ONCE == 0:
            at = _moment(number)
            at_shown = shown(at)
        row = prediction(number, _version_at(number, rows), pool[number % _POOL_ROWS], at)
        yield (
            *(row.id, row.model, row.version, row.input, row.label, row.score, row.probabilities, row.sketch),
            *(row.length_tokens, row.unknown_tokens, row.latency_s, row.reason, row.inclusion, "{}"),
            *(row.request_id, at_shown),
        )


def _load_sqlite(database: Database, rows: Iterator[tuple[Any, ...]]) -> None:
    columns, marks = ", ".join(_COLUMNS), ", ".join("?" * len(_COLUMNS))
    statement = f"INSERT INTO predictions ({columns}) VALUES ({marks})"  # noqa: S608  # columns of ours
    path = sqlite_path(database.url)
    assert path is not None
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -500000")
        while batch := list(islice(rows, _LOADED_AT_ONCE)):
            connection.execute("BEGIN")
            connection.executemany(statement, batch)
            connection.execute("COMMIT")


def _load_postgresql(settings: Settings, rows: Iterable[tuple[Any, ...]]) -> None:
    import psycopg

    assert settings.database_url is not None
    statement: Any = f"COPY predictions ({', '.join(_COLUMNS)}) FROM STDIN"
    with (
        psycopg.connect(settings.database_url.get_secret_value()) as connection,
        connection.cursor().copy(statement) as copy,
    ):
        for row in rows:
            copy.write_row(row)


def _add_verdicts(database: Database, rows: int, pool: list[Content]) -> None:
    """The audit sample, and what was said about it and about other rows."""
    audit, feedback = [], []
    for number in range(rows):
        if not _drawn(number) and verdict_on(number) is None:
            continue
        content, at = pool[number % _POOL_ROWS], _moment(number)
        row = prediction(number, _version_at(number, rows), content, at)
        if row.audit is not None:
            audit.append({"prediction_id": row.id, "model": row.model, "inclusion": row.audit, "at": at})
        origin = verdict_on(number)
        if origin is not None:
            said = {"id": row.request_id, "dedup": row.request_id, "prediction_id": row.id, "model": row.model}
            feedback.append(
                {**said, "version": row.version, "label": content.truth, "by": "ann", "origin": origin, "at": at}
            )
    with database.write() as session:
        session.execute(insert(AuditSample), audit)
        session.execute(insert(Feedback), feedback)


def _register(parts: MonitorParts, rows: int) -> None:
    now = utc_now()
    with TemporaryDirectory(prefix="driftgate-reference-") as folder:
        save_reference(draw(REFERENCE_ROWS, np.random.default_rng(5)), Path(folder))
        reference = parts.artifacts.put("references", Path(folder))
    first_of_production = next(number for number in range(rows) if _version_at(number, rows) == VERSIONS)
    closed = sum(verdict_on(number) is not None for number in range(first_of_production))
    with parts.database.write() as session:
        add_base(session, base_row(now))
        session.flush()
        add_snapshot(session, _snapshot(closed, now))
        for model, versions in ((MODEL, VERSIONS), (OTHER, 1)):
            for number in range(1, versions + 1):
                snapshot = "closed" if (model, number) == (MODEL, VERSIONS) else None
                adapter = f"adapters/{model}-{number}"
                new = NewVersion(model, "minilm", adapter, 8, LABELS, reference=reference, snapshot=snapshot)
                register_version(session, new, by="benchmark", now=now)
            promote(session, model, versions, by="benchmark", reason="the newest", now=now)


def base_row(now: datetime) -> Base:
    """A base that is registered and never loaded."""
    return Base(
        name="minilm",
        source="here",
        revision="1",
        license="Apache-2.0",
        task="text-classification",
        modality="text",
        pooling="mean",
        spec={},
        artifact="bases/minilm",
        state="approved",
        created_at=now,
    )


def _snapshot(feedback_until: int, now: datetime) -> Snapshot:
    return Snapshot(
        id="closed",
        model=MODEL,
        parent=None,
        artifact="snapshots/closed",
        rows=10_000,
        labels={},
        audit={},
        feedback_until=feedback_until,
        created_at=now,
    )


def _add_checks(database: Database, rows: int, window_rows: int) -> None:
    """Those of the busy model: one for each window of its traffic, the last of which ends with the last row."""
    seen_by_checks = rows * (1 - 1 / OTHER_EVERY) * (1 - 1 / LOW_SCORE_EVERY)
    count = max(1, int(seen_by_checks // window_rows))
    names = ("length", "data_quality", "embedding", LABEL, "confidence", "out_of_scope")
    signal = {"statistic": 0.012, "p_value": 0.41, "threshold": 0.01, "drifted": False, "telling": "", "change": 0.01}
    share = {"value": 0.9, "low": 0.88, "high": 0.92, "rows": 500}
    decision = {"action": "none", "alert": False, "triggers": [], "blockers": [], "reasons": [], "summary": "nothing"}
    checks = []
    for index in range(count):
        until = rows * (index + 1) // count
        checks.append(
            {
                "id": f"{index:032x}",
                "model": MODEL,
                "version": _version_at(until - 1, rows),
                "verdict": "stable",
                "kinds": [],
                "signals": dict.fromkeys(names, signal),
                "window_rows": window_rows,
                "window_from": rows * index // count + 1,
                "window_until": until,
                "reference_rows": REFERENCE_ROWS,
                "accuracy": {"validation": share, "estimated": share, "labelled": share},
                "decision": decision,
                "at": _moment(until - 1),
            }
        )
    with database.write() as session:
        session.execute(insert(Check), checks)
