"""Every setting of driftgate, from the environment (prefix `DRIFTGATE_`). Documented in docs/settings.md."""

import re
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from store.errors import BadInput

MOST_INPUTS = 65_536

Provider = Literal["auto", "cpu", "openvino"]

PrecisionAsked = Literal["auto", "fp32", "bf16", "int8"]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="DRIFTGATE_", extra="ignore", frozen=True)

    # Where state lives
    home: Path = Field(Path(".driftgate"), description="Folder that holds everything on one machine")
    database_url: SecretStr | None = Field(None, description="PostgreSQL URL; default is SQLite in `home`")
    artifacts_url: str | None = Field(None, description="Any fsspec URL for artifacts; default is `home`/artifacts")
    log_style: Literal["console", "json"] = Field("console", description="How log lines look")

    # Serving
    host: str = Field("127.0.0.1", description="Address that `serve` binds to")
    port: int = Field(8080, ge=0, le=65535, description="HTTP port of `serve`; 0 takes a free one")
    grpc_port: int = Field(8081, ge=0, le=65535, description="gRPC port of `serve`; 0 takes a free one")
    provider: Provider = Field("auto", description="Execution provider of ONNX Runtime")
    precision: PrecisionAsked = Field(
        "auto", description="How the frozen part computes; a faster one serves a version only after its check"
    )
    precision_max_loss: float = Field(
        0.005, gt=0, lt=1, description="Accuracy that a faster precision may cost, with 95 % confidence"
    )
    workers: int = Field(1, ge=1, le=1024, description="Serving processes on one port; each takes its share of cores")
    slots: int = Field(256, ge=2, le=65536, description="Adapters that are resident at once, per base")
    slot_memory_bytes: int = Field(
        2**30, ge=2**20, description="Memory that the slots of a base may take; it wins over `slots`"
    )
    budget_tokens: int = Field(256, ge=16, description="Tokens a batch, padding counted as what it costs")
    queue_tokens: int = Field(2048, ge=16, description="Tokens per core that may wait; beyond that callers get 429")
    request_timeout_s: float = Field(30.0, gt=0, description="Longest deadline of a request, in seconds")
    drain_notice_s: float = Field(
        0.5, ge=0, description="How long a server that got SIGTERM says it is not ready before it takes nothing more"
    )
    drain_timeout_s: float = Field(10.0, ge=0, description="How long a stopping server waits for its work")
    max_body_bytes: int = Field(4 * 2**20, ge=1024, description="Largest request body")
    max_inputs: int = Field(1024, ge=1, le=MOST_INPUTS, description="Texts in one request")
    deployment_poll_s: float = Field(0.25, gt=0, le=1.0, description="How often deployments are looked up")

    # Recording
    sample_rate: float = Field(1.0, ge=0, le=1, description="Share of predictions that are recorded")
    audit_rate: float = Field(0.02, ge=0, le=1, description="Share of predictions drawn at random for the audit sample")
    low_score: float = Field(0.5, ge=0, le=1, description="Predictions below this score are always recorded")
    record_buffer_rows: int = Field(20_000, ge=1, description="Predictions that may wait to be written")

    # Monitor
    monitor_port: int = Field(8082, ge=0, le=65535, description="Metrics port of `monitor`; 0 takes a free one")
    monitor_tick_s: float = Field(5.0, gt=0, description="How often the monitor looks whether a check is due")
    check_every_s: float = Field(3600.0, gt=0, description="A check is due after this many seconds")
    check_every_predictions: int = Field(500, ge=1, description="A check is due after this many predictions")
    window_rows: int = Field(500, ge=20, description="Newest predictions that a check looks at")
    window_min_rows: int = Field(100, ge=20, description="Below this a check answers `not_enough_data`")
    false_alarm_rate: float = Field(0.01, gt=0, lt=1, description="False alarms a check, when nothing drifts, at most")
    confirm_checks: int = Field(2, ge=1, description="Checks in a row that must agree before drift is confirmed")
    reports_keep_days: int = Field(
        90, ge=1, le=36_500, description="Days after which the report of a check is deleted; its figures stay"
    )
    evidently_workspace: Path | None = Field(
        None, description="Folder to which each report is added for Evidently's own UI, too"
    )

    # Policy
    retrain_min_labels: int = Field(500, ge=1, description="New labelled rows without which nothing is trained")
    retrain_min_audit_labels: int = Field(
        200, ge=0, description="New labelled audit rows without which the gate could not judge"
    )
    retrain_cooldown_s: float = Field(86_400.0, ge=0, description="Least time between two runs of a model")
    retrain_runs_a_week: int = Field(3, ge=1, description="Runs that the monitor may ask for in any seven days")
    retrain_accuracy_drop: float = Field(
        0.05, gt=0, lt=1, description="Relative loss against validation accuracy that calls for a run"
    )
    retrain_every_days: float = Field(30.0, gt=0, description="A run is due after this many days in any case")
    alert_accuracy_ratio: float = Field(
        0.90, gt=0, lt=1, description="Alert when accuracy is below this share of validation accuracy"
    )

    # Bases
    licenses_denied: str = Field(
        "*research*,apple-amlr,deepfloyd-if-license",
        description="Licences that no base may have, with commas; `*` stands for anything",
    )

    # Worker and gate
    worker_port: int = Field(8083, ge=0, le=65535, description="Metrics port of `worker`; 0 takes a free one")
    worker_poll_s: float = Field(1.0, gt=0, description="How often the worker looks for queued runs")
    run_lease_s: float = Field(15.0, gt=1, description="A run whose worker is silent this long is taken over")
    run_max_attempts: int = Field(5, ge=1, description="Starts of a run without progress before it fails")
    train_budget_s: float | None = Field(
        None, gt=0, description="Seconds that a training may take, by estimate, where `auto` chooses the strategy"
    )
    train_epochs: int | None = Field(None, ge=1, description="Most epochs of a run; unset, as many as the recipe says")
    gate_margin: float = Field(
        0.03, ge=0, lt=1, description="Accuracy on old test rows that a candidate may lose at most"
    )
    gate_alpha: float = Field(0.05, gt=0, lt=0.5, description="Error rate of each rule of the gate")
    auto_promote: bool = Field(True, description="Promote a version that passed the gate without asking")
    mlflow_uri: SecretStr | None = Field(None, description="MLflow server that is shown every run as well")

    @field_validator("database_url")
    @classmethod
    def _is_a_url(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            if value is not None:
                make_url(value.get_secret_value())
        except (ArgumentError, ValueError):  # ValueError: a port that is no number
            raise ValueError("is no database URL; it looks like postgresql://user:password@host/name") from None
        return value

    @field_validator("mlflow_uri")
    @classmethod
    def _is_a_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.match(r"https?://[^/]", value.get_secret_value()):
            raise ValueError("is no server of MLflow; it looks like http://host:5000")
        return value

    @cached_property
    def database(self) -> str:
        """SQLAlchemy URL in force. May hold a password: never log it."""
        if self.database_url is None:
            return f"sqlite:///{(self.home / 'driftgate.db').resolve()}"
        url = make_url(self.database_url.get_secret_value())
        if url.get_backend_name() == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        return url.render_as_string(hide_password=False)

    @cached_property
    def artifacts(self) -> str:
        return self.artifacts_url or str((self.home / "artifacts").resolve())

    @property
    def denied_licences(self) -> tuple[str, ...]:
        """Entries of `licenses_denied`."""
        return tuple(entry.strip() for entry in self.licenses_denied.split(",") if entry.strip())

    @property
    def embedded(self) -> bool:
        """Whether the store is our own SQLite file, which commands may migrate by themselves."""
        return self.database_url is None


def load_settings(**overrides: object) -> Settings:
    """Read the environment; `overrides` that are not None win. Raises BadInput naming the variable."""
    try:
        return Settings(**{k: v for k, v in overrides.items() if v is not None})  # type: ignore[arg-type]  # names are checked by pydantic
    except ValidationError as error:
        problems = "; ".join(_complaint(str(e["loc"][0]), e["input"], e["msg"]) for e in error.errors())
        raise BadInput(f"bad setting: {problems}") from None


def _complaint(name: str, value: object, message: str) -> str:
    shown = "" if name.lower().endswith(("_url", "_uri")) else f"={value!r}"  # a URL may hold a password
    return f"DRIFTGATE_{name.upper()}{shown}: {message.removeprefix('Value error, ')}"
