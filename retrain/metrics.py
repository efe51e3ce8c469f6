"""What the worker tells Prometheus (design, section 8)."""

from prometheus_client import CollectorRegistry, Counter, Histogram


class WorkerMetrics:
    """One set of metrics on `registry`, owned by the worker process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.run_seconds = Histogram(
            "driftgate_run_seconds",
            "Wall time of a run, from claim to outcome",
            buckets=(10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400),
            registry=registry,
        )
        self.runs = Counter(
            "driftgate_runs_total",
            "Ended runs by outcome: succeeded, rejected, failed",
            ["model", "outcome"],
            registry=registry,
        )
        self.mlflow_failures = Counter(
            "driftgate_mlflow_failures_total",
            "Times that the MLflow server could not be told of a run",
            registry=registry,
        )
