"""What the monitor tells Prometheus (design, section 8)."""

from prometheus_client import CollectorRegistry, Gauge


class MonitorMetrics:
    """One set of metrics on `registry`, owned by the monitor process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.drift_score = Gauge(
            "driftgate_drift_score",
            "Evidence of drift a signal: -log10 of its p-value in the last check",
            ["model", "signal"],
            registry=registry,
        )
        self.drift_detected = Gauge(
            "driftgate_drift_detected", "1 while the last check confirmed drift", ["model"], registry=registry
        )
        self.accuracy = Gauge(
            "driftgate_accuracy",
            "Accuracy by how it is known: validation, estimated or labelled",
            ["model", "version", "kind"],
            registry=registry,
        )
        self.last_check = Gauge(
            "driftgate_last_check_timestamp_seconds", "When the last check ended", ["model"], registry=registry
        )
        self.review_queue = Gauge(
            "driftgate_review_queue", "Audit rows that wait for a label", ["model"], registry=registry
        )
