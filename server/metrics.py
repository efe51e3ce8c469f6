"""What the server measures about itself (design, section 8). Base units, few labels.

Where several workers serve on one port, each writes its values to files in the folder that PROMETHEUS_MULTIPROC_DIR
names, and whichever is asked adds them up (prometheus_client's multiprocess mode).
"""

import os
from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SCORES = tuple(i / 20 for i in range(1, 21))


def new_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in (GCCollector, PlatformCollector, ProcessCollector):
        collector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """Prometheus' text format, of all workers together where there are several."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(registry)
    everybody = CollectorRegistry()
    MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]  # it ships no types
    return generate_latest(everybody)


_LABELS_IN_METRICS = 200
"""Labels of a version that are counted each by itself."""


class VersionMetrics:
    """What is counted for each answer of one version; each counter is looked up once, when it is first needed."""

    def __init__(self, metrics: "ServerMetrics", model: str, version: int, labels: Sequence[str]) -> None:
        self._score = metrics.prediction_score.labels(model=model)
        self._count = metrics.predicted_label
        self._of = {"model": model, "version": str(version)}
        self._shown = frozenset(labels[:_LABELS_IN_METRICS])
        self._counters: dict[str, Counter] = {}

    def observe(self, label: str, score: float) -> None:
        self._score.observe(score)
        counter = self._counters.get(label)
        if counter is None:
            shown = label if label in self._shown else "other"
            counter = self._counters[label] = self._count.labels(**self._of, label=shown)
        counter.inc()


class ServerMetrics:
    """One set of metrics on `registry`, owned by the process that serves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._by_outcome: dict[tuple[str, str, int], Counter] = {}
        self.requests = Counter(
            "driftgate_requests_total",
            "Prediction requests by answer code",
            ["model", "version", "code"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "driftgate_request_seconds", "From the parsed request to its answer", buckets=_SECONDS, registry=registry
        )
        self.queue_seconds = Histogram(
            "driftgate_queue_seconds", "How long a row waited for its batch", buckets=_SECONDS, registry=registry
        )
        self.batch_size = Histogram(
            "driftgate_batch_size", "Rows a batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256), registry=registry
        )
        self.batch_tokens = Histogram(
            "driftgate_batch_tokens",
            "Rows of a batch times the longest of them, padding included",
            buckets=(16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
            registry=registry,
        )
        self.padding_ratio = Histogram(
            "driftgate_padding_ratio",
            "Share of a batch's tokens that is padding",
            buckets=(0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9),
            registry=registry,
        )
        self.queue_tokens = Gauge(
            "driftgate_queue_tokens",
            "Tokens that wait for a batch",
            ["base"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.queue_limit_tokens = Gauge(
            "driftgate_queue_limit_tokens",
            "Waiting tokens beyond which callers get 429",
            ["base"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.adapter_slots = Gauge(
            "driftgate_adapter_slots",
            "Adapter slots by state: free, resident, pinned",
            ["base", "state"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.adapter_lookups = Counter(
            "driftgate_adapter_lookups_total",
            "Requests by whether their adapter was resident: hit or miss",
            ["base", "result"],
            registry=registry,
        )
        self.adapter_load_seconds = Histogram(
            "driftgate_adapter_load_seconds",
            "From artifact to resident adapter",
            buckets=_SECONDS,
            registry=registry,
        )
        self.recorded = Counter(
            "driftgate_predictions_recorded_total", "Predictions written to the store", registry=registry
        )
        self.dropped = Counter(
            "driftgate_predictions_dropped_total",
            "Predictions that should have been recorded and were not",
            ["reason"],
            registry=registry,
        )
        for reason in ("buffer_full", "store_down"):
            self.dropped.labels(reason=reason)
        self.feedback = Counter(
            "driftgate_feedback_total", "Feedback stored, by verdict", ["model", "verdict"], registry=registry
        )
        self.prediction_score = Histogram(
            "driftgate_prediction_score", "Score of the predicted label", ["model"], buckets=_SCORES, registry=registry
        )
        self.predicted_label = Counter(
            "driftgate_predicted_label_total",
            "Predictions by label; labels beyond the first 200 of a version count as 'other'",
            ["model", "version", "label"],
            registry=registry,
        )
        self.rollout_stage = Gauge(
            "driftgate_rollout_stage",
            "0 none, 1 shadow, 2 canary",
            ["model"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.rollout_traffic_ratio = Gauge(
            "driftgate_rollout_traffic_ratio",
            "Share of traffic that the candidate answers",
            ["model"],
            registry=registry,
            multiprocess_mode="livemax",
        )

    def count_request(self, model: str, version: str, code: int) -> None:
        """Finding a labelled child costs more than counting in it, so the children are kept."""
        child = self._by_outcome.get((model, version, code))
        if child is None:
            child = self.requests.labels(model=model, version=version, code=str(code))
            self._by_outcome[model, version, code] = child
        child.inc()
