"""The tables: one typed class for every word of the vocabulary (docs/vocabulary.md)."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An instant. Naive datetimes are refused on the way in; UTC comes out of every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Sequence64 = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit row number; SQLite numbers rows by itself only under the name INTEGER."""


class Record(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy reads this class attribute
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[str]: JSON,
        str: Text,
    }


class Base(Record):
    """A pretrained backbone, exported once with adapter inputs."""

    __tablename__ = "bases"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    source: Mapped[str]
    """Where it came from: hub id or folder name."""
    revision: Mapped[str]
    license: Mapped[str]
    task: Mapped[str]
    modality: Mapped[str]
    pooling: Mapped[str]
    spec: Mapped[dict[str, Any]]
    """What engine.base.BaseSpec holds, as JSON."""
    artifact: Mapped[str]
    speeds: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Tokens/s on one core by precision, as measured where it was imported; empty if nobody did."""
    state: Mapped[str] = mapped_column(String(16), default="candidate")
    """candidate, approved or retired (store.bases): only on an approved one is trained for production."""
    card: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What whoever published it says of it (retrain.base_card); what nobody said is not in it."""
    profile: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What was measured of it on import (engine.profile); empty if nobody did."""
    parent: Mapped[str | None]
    """The base it was tuned from, if a `full` or `partial` training made it a graph of its own."""
    created_at: Mapped[datetime]


class BaseEvent(Record):
    """An append-only line in the story of a base, of the same make as an Event."""

    __tablename__ = "base_events"
    __table_args__ = (Index("ix_base_events_base_seq", "base", "seq"),)

    seq: Mapped[int] = mapped_column(Sequence64, primary_key=True, autoincrement=True)
    base: Mapped[str] = mapped_column(ForeignKey("bases.name"))
    kind: Mapped[str] = mapped_column(String(64))
    """imported, approved or retired."""
    message: Mapped[str]
    """Why."""
    by: Mapped[str]
    at: Mapped[datetime]


class Adapter(Record):
    """LoRA weights, head and labels for one base."""

    __tablename__ = "adapters"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    base: Mapped[str] = mapped_column(ForeignKey("bases.name"))
    artifact: Mapped[str]
    rank: Mapped[int]
    labels: Mapped[list[str]]
    created_at: Mapped[datetime]


class Model(Record):
    """The name that callers use."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    base: Mapped[str] = mapped_column(ForeignKey("bases.name"))
    created_at: Mapped[datetime]


class Version(Record):
    """An immutable, numbered version of a model."""

    __tablename__ = "versions"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    adapter: Mapped[str] = mapped_column(ForeignKey("adapters.id"))
    run: Mapped[str | None] = mapped_column(ForeignKey("runs.id"))
    snapshot: Mapped[str | None] = mapped_column(ForeignKey("snapshots.id"))
    reference: Mapped[str | None]
    """Artifact of the version's own validation rows as the engine scored them; None if it has none."""
    evaluation: Mapped[dict[str, Any]]
    """Figures of the run that made it. Under `precision`, by precision: rows checked, lost and gained against fp32."""
    state: Mapped[str] = mapped_column(String(32))
    """ready, rejected or archived."""
    created_at: Mapped[datetime]


class Deployment(Record):
    """The one row that says what a model answers with."""

    __tablename__ = "deployments"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    production: Mapped[int | None]
    candidate: Mapped[int | None]
    previous: Mapped[int | None]
    """What `rollback` returns to."""
    stage: Mapped[str] = mapped_column(String(32))
    """none, shadow or canary."""
    traffic_share: Mapped[float]
    unloaded: Mapped[bool] = mapped_column(default=False)
    """Taken out of service through the model repository, until somebody loads it again."""
    revision: Mapped[int]
    updated_at: Mapped[datetime]


class Prediction(Record):
    """One logged answer."""

    __tablename__ = "predictions"
    __table_args__ = (
        Index("ix_predictions_window", "model", "version", "reason", "seq"),
        Index("ix_predictions_model_seq", "model", "seq"),
    )

    seq: Mapped[int] = mapped_column(Sequence64, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(200), unique=True)
    model: Mapped[str] = mapped_column(String(128))
    version: Mapped[int]
    input: Mapped[str]
    label: Mapped[str]
    score: Mapped[float]
    probabilities: Mapped[bytes] = mapped_column(LargeBinary)
    """float16 little-endian [classes], in the order of the adapter's labels."""
    sketch: Mapped[bytes] = mapped_column(LargeBinary)
    """float16 little-endian [engine.sketch.SKETCH_DIM], a random projection of the pooled embedding."""
    length_tokens: Mapped[int]
    unknown_tokens: Mapped[int]
    latency_s: Mapped[float]
    reason: Mapped[str] = mapped_column(String(16))
    """Why it was recorded: `sample` rows are a random share of the traffic, all others are not."""
    inclusion: Mapped[float]
    """Probability with which a row like this one was recorded."""
    tags: Mapped[dict[str, Any]]
    request_id: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime]


class Feedback(Record):
    """A verdict on a prediction."""

    __tablename__ = "feedback"
    __table_args__ = (
        Index("ix_feedback_model_seq", "model", "seq"),
        Index("ix_feedback_version", "model", "version", "origin", "seq"),
    )

    seq: Mapped[int] = mapped_column(Sequence64, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(64), unique=True)
    dedup: Mapped[str] = mapped_column(String(64), unique=True)
    """Digest of what was said after what, so that the same said twice at one moment is stored once."""
    prediction_id: Mapped[str] = mapped_column(String(200), index=True)
    model: Mapped[str] = mapped_column(String(128))
    version: Mapped[int]
    label: Mapped[str | None]
    correct: Mapped[bool | None]
    input: Mapped[str | None]
    comment: Mapped[str | None]
    by: Mapped[str]
    origin: Mapped[str] = mapped_column(String(16))
    """audit: given whatever the answer was; flagged: given because of what the answer was (docs/labels.md)."""
    at: Mapped[datetime]


class AuditSample(Record):
    """A prediction drawn at random, with known probability, for a person to label."""

    __tablename__ = "audit_samples"
    __table_args__ = (
        Index("ix_audit_samples_newest", "model", "at"),
        Index("ix_audit_samples_version", "model", "version", "at"),
    )

    prediction_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    model: Mapped[str] = mapped_column(String(128))
    version: Mapped[int]
    inclusion: Mapped[float]
    """Probability of the draw, above 0 and at most 1."""
    at: Mapped[datetime]
    skipped_at: Mapped[datetime | None]
    """When a person said that they cannot label it; a verdict counts all the same, before or after."""
    skipped_by: Mapped[str | None]
    skip_reason: Mapped[str | None]


class Snapshot(Record):
    """Immutable, content-hashed training data."""

    __tablename__ = "snapshots"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the canonical rows."""
    model: Mapped[str] = mapped_column(String(128))
    parent: Mapped[str | None]
    artifact: Mapped[str]
    rows: Mapped[int]
    labels: Mapped[dict[str, Any]]
    """Rows per label."""
    audit: Mapped[dict[str, Any]]
    """Findings of retrain.audit."""
    feedback_until: Mapped[int]
    """Highest Feedback.seq that went in; labels after it may judge what is trained on this."""
    created_at: Mapped[datetime]


class Run(Record):
    """One training, from queue to verdict."""

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_status", "status"), Index("ix_runs_model", "model"))

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(128))
    base: Mapped[str] = mapped_column(ForeignKey("bases.name"))
    status: Mapped[str] = mapped_column(String(16))
    """queued, running, succeeded, rejected or failed."""
    cause: Mapped[str]
    """Why it was asked for."""
    strategy: Mapped[str] = mapped_column(String(16))
    parameters: Mapped[dict[str, Any]]
    environment: Mapped[dict[str, Any]]
    snapshot: Mapped[str | None] = mapped_column(ForeignKey("snapshots.id"))
    version: Mapped[int | None]
    evaluation: Mapped[dict[str, Any]]
    reason: Mapped[str | None]
    """The written outcome."""
    stage: Mapped[str] = mapped_column(String(32))
    progress: Mapped[float]
    """0 to 1 over the whole run."""
    attempts: Mapped[int]
    """Starts since the last progress."""
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class RunMetric(Record):
    """One figure of a run at one step."""

    __tablename__ = "run_metrics"

    run: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[float]


class Check(Record):
    """One drift check."""

    __tablename__ = "checks"
    __table_args__ = (
        Index("ix_checks_model_seq", "model", "seq"),
        Index("ix_checks_version", "model", "version", "seq"),
    )

    seq: Mapped[int] = mapped_column(Sequence64, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(64), unique=True)
    model: Mapped[str] = mapped_column(String(128))
    version: Mapped[int]
    verdict: Mapped[str] = mapped_column(String(32))
    """not_enough_data, stable, suspected or drift."""
    kinds: Mapped[list[str]]
    signals: Mapped[dict[str, Any]]
    """Per signal: statistic, p-value, whether it drifted."""
    window_rows: Mapped[int]
    window_from: Mapped[int]
    window_until: Mapped[int]
    """First and last Prediction.seq of the window."""
    reference_rows: Mapped[int]
    accuracy: Mapped[dict[str, Any]]
    """validation, estimated and labelled accuracy, where known."""
    decision: Mapped[dict[str, Any]]
    """What the policy made of it, with its reasons."""
    report: Mapped[str | None]
    """Artifact of the Evidently report; None if none was drawn, or it was deleted."""
    report_deleted_at: Mapped[datetime | None]
    report_retired: Mapped[str | None]
    """Artifact that was the report and is still to be deleted."""
    at: Mapped[datetime]


class Rollout(Record):
    """Candidate against production, with its evidence."""

    __tablename__ = "rollouts"
    __table_args__ = (UniqueConstraint("model", "candidate", "run"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(128))
    run: Mapped[str | None]
    candidate: Mapped[int]
    production: Mapped[int | None]
    stage: Mapped[str] = mapped_column(String(32))
    outcome: Mapped[str] = mapped_column(String(32))
    """promoted, rejected or open."""
    evidence: Mapped[dict[str, Any]]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class Event(Record):
    """An append-only line in the story of a model. The database itself refuses to change or delete one."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_model_seq", "model", "seq"),)

    seq: Mapped[int] = mapped_column(Sequence64, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(64))
    message: Mapped[str]
    by: Mapped[str]
    version: Mapped[int | None]
    links: Mapped[dict[str, Any]]
    at: Mapped[datetime]


class ApiKey(Record):
    """A hashed key with its scopes."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]]
    note: Mapped[str]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
