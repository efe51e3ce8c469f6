"""What the monitor tells Prometheus (design, section 8)."""

import math

from prometheus_client import CollectorRegistry, Gauge

from monitor.decision import Verdict, signal_of
from store.records import Check
from store.review import REVIEWED_ROWS


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
            "driftgate_review_queue",
            f"Rows that wait for a label among the newest {REVIEWED_ROWS} of the audit sample",
            ["model"],
            registry=registry,
        )
        self._version_shown: dict[str, str] = {}

    def show(self, check: Check) -> None:
        """Set the gauges of a model to what its newest check with enough data said."""
        model, version = check.model, str(check.version)
        for signal, found in check.signals.items():
            if signal != signal_of(signal):  # of a slice: callers could make as many series as they have tags
                continue
            self.drift_score.labels(model, signal).set(-math.log10(max(found["p_value"], 1e-300)))
        self.drift_detected.labels(model).set(check.verdict == Verdict.DRIFT.value)
        before = self._version_shown.get(model, version)
        self._version_shown[model] = version
        for kind in ("validation", "estimated", "labelled"):
            if before != version or kind not in check.accuracy:  # a figure that nobody stands for any more
                self._forget_accuracy(model, before, kind)
            if kind in check.accuracy:
                self.accuracy.labels(model, version, kind).set(check.accuracy[kind]["value"])
        self.last_check.labels(model).set(check.at.timestamp())

    def _forget_accuracy(self, model: str, version: str, kind: str) -> None:
        self.accuracy.labels(model, version, kind)  # removing what is not there is an error
        self.accuracy.remove(model, version, kind)
