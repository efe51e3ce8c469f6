"""Which series there are for a query to be about, with their labels."""

import re
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics import MetricWrapperBase

from monitor.metrics import MonitorMetrics
from retrain.metrics import WorkerMetrics
from server.metrics import ServerMetrics
from tests import card_files as card
from tests.card_promql import spoken_of

Series = dict[str, set[str]]
"""Labels by name."""

TARGET_LABELS = {"instance"}
"""What Prometheus itself puts on every series, whatever its configuration."""


def _shown_by(registry: CollectorRegistry) -> Series:
    found: Series = {}
    for family in registry.collect():
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


def _ours() -> Series:
    """What the three processes show of driftgate itself."""
    found: Series = {}
    for metrics in (ServerMetrics, MonitorMetrics, WorkerMetrics):
        registry = CollectorRegistry()
        for metric in vars(metrics(registry)).values():
            if isinstance(metric, MetricWrapperBase) and metric._labelnames:  # no public way to the names
                metric.labels(*["x"] * len(metric._labelnames))
        found |= _shown_by(registry)
    return found


def _of_processes() -> Series:
    """What the three processes show of themselves as processes."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return _shown_by(registry)


def _made_by_prometheus() -> Series:
    """The alerts that ring, as Prometheus records them: with the labels that rules give and expressions keep."""
    labels = {"alertname", "alertstate"}
    for rule in card.alerts().values():
        labels |= set(rule["labels"]) | spoken_of(rule["expr"]).grouping
    return {"ALERTS": labels}


OURS = _ours()
KNOWN = {**OURS, **_of_processes(), **_made_by_prometheus()}


def families(names: Iterable[str]) -> set[str]:
    """Without what a histogram appends to its name."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def assert_speaks_of_what_exists(expr: str) -> None:
    spoken = spoken_of(expr)
    assert spoken.metrics, "it is about no metric at all"
    assert set(spoken.metrics) <= set(KNOWN)
    for metric, labels in spoken.metrics.items():
        assert labels <= KNOWN[metric], f"{metric} has no such label"
    assert spoken.grouping <= set.union(TARGET_LABELS, *(KNOWN[metric] for metric in spoken.metrics))
