"""Is there enough of everything: cores, queue, adapter slots, memory?"""

from observability.dashboards import lines
from observability.dashboards.dashboard import Dashboard, Row
from observability.dashboards.panels import Panel, Query, above, below, graph, stat
from observability.dashboards.promql import SHOWN, mean, quantile
from observability.dashboards.shared_panels import latency

_ONLY_IN = {
    "serve": "driftgate_request_seconds_count",
    "monitor": "driftgate_review_queue",
    "worker": "driftgate_run_seconds_count",
}
"""A series that no other process shows. It tells whose memory it is, whatever Prometheus calls its jobs."""


def _of_each_process(expr: str) -> tuple[Query, ...]:
    return tuple(
        Query(f"{expr} and on (instance) {series}", f"{name} {{{{instance}}}}") for name, series in _ONLY_IN.items()
    )


def _of_a_batch(title: str, description: str, histogram: str, *, unit: str, most: float | None = None) -> Panel:
    return graph(
        title,
        description,
        Query(mean(histogram), "mean"),
        Query(quantile(0.95, histogram), "p95"),
        unit=unit,
        most=most,
    )


_WAIT = graph(
    "Wait for a batch, all models",
    "How long a text waited in the queue. If it is most of the latency, more replicas or cores help; if it is not, the "
    "texts are long or the machine is slowed down.",
    Query(quantile(0.5, "driftgate_queue_seconds"), "p50"),
    Query(quantile(0.99, "driftgate_queue_seconds"), "p99"),
    unit="s",
    runbooks=("DriftgateLatencyHigh",),
)

_QUEUE = graph(
    "Tokens that wait",
    "By the limit of their server, DRIFTGATE_QUEUE_TOKENS a core: at 100 % callers of the models that wait most get "
    "429. One server alone: the balancer is uneven. All of them: more replicas or cores.",
    Query("driftgate_queue_tokens / on (instance, base) driftgate_queue_limit_tokens", "{{instance}} {{base}}"),
    unit="percentunit",
    thresholds=above(lines.QUEUE_SHARE),
    runbooks=("DriftgateQueueFilling",),
)

_PADDING = _of_a_batch(
    "Padding",
    "Share of a batch's tokens that is padding: work for nothing. Above a half, lengths are very mixed.",
    "driftgate_padding_ratio",
    unit="percentunit",
    most=1,
)

_SLOTS = graph(
    "Adapter slots",
    "Of all servers together. No free ones and a low hit ratio: adapters push each other out, and more "
    "DRIFTGATE_SLOTS help. Pinned: of the versions in production.",
    Query("sum by (base, state) (driftgate_adapter_slots)", "{{base}} {{state}}"),
    unit="short",
    runbooks=("DriftgateAdaptersThrash",),
)

_HITS = graph(
    "Adapter hit ratio",
    "Share of requests whose adapter was resident; the others waited for a load.",
    Query(
        f'sum by (base) (rate(driftgate_adapter_lookups_total{{result="hit"}}[{SHOWN}])) '
        f"/ (sum by (base) (rate(driftgate_adapter_lookups_total[{SHOWN}])) > 0)",
        "{{base}}",
    ),
    unit="percentunit",
    most=1,
    thresholds=below(lines.HIT_RATIO),
    runbooks=("DriftgateAdaptersThrash",),
)

_LOADING = graph(
    "Adapter loading",
    "From artifact to resident adapter, over the last hour. Slow loads point at the object store.",
    Query(quantile(0.5, "driftgate_adapter_load_seconds", over="1h"), "p50"),
    Query(quantile(0.99, "driftgate_adapter_load_seconds", over="1h"), "p99"),
    unit="s",
)

_RECORDING = graph(
    "Recording, all models",
    "Predictions written to the store. Dropped: answered, and lost to the record, so that checks and the audit sample "
    "see a part of the traffic only. `store_down`: look at the database; `buffer_full`: it is too slow.",
    Query(f"sum(rate(driftgate_predictions_recorded_total[{SHOWN}]))", "recorded"),
    Query(f"sum by (reason) (rate(driftgate_predictions_dropped_total[{SHOWN}]))", "dropped: {{reason}}"),
    unit="cps",
    runbooks=("DriftgatePredictionsDropped",),
)

_MEMORY = graph(
    "Memory",
    "Resident memory of each process; of `serve` only where it has one worker. Near the limit of its pod a process is "
    "killed: `OOMKilled`. A worker takes most while it trains.",
    *_of_each_process("process_resident_memory_bytes"),
    unit="bytes",
    runbooks=("DriftgateWorkerSilent",),
)

_CPU = graph(
    "CPU",
    "Cores in use by each process; of `serve` only where it has one worker. At the limit of its pod it is throttled, "
    "and latency grows before the queue does.",
    *_of_each_process(f"rate(process_cpu_seconds_total[{SHOWN}])"),
    unit="short",
    runbooks=("DriftgateLatencyHigh",),
)

_AGE = stat(
    "Since the start",
    "Of each process. Orange: started within the last ten minutes; one that stays orange starts again and again, and "
    "the log of the last one says why (`kubectl logs --previous`).",
    *_of_each_process("(time() - process_start_time_seconds)"),
    unit="s",
    decimals=0,
    thresholds=below(lines.YOUNG_PROCESS_S, "orange"),
    runbooks=("DriftgateServeSilent", "DriftgateMonitorSilent", "DriftgateWorkerSilent"),
)

DASHBOARD = Dashboard(
    name="capacity",
    question="Is there enough of everything: cores, queue, adapter slots, memory?",
    rows=(
        Row((latency(), _WAIT, _QUEUE), title="Load, all models"),
        Row(
            (
                _of_a_batch(
                    "Rows a batch",
                    "Texts that are computed together. One all the time: little traffic, or each text is long.",
                    "driftgate_batch_size",
                    unit="short",
                ),
                _of_a_batch(
                    "Tokens a batch",
                    "Padding included. Near DRIFTGATE_BUDGET_TOKENS batches are as full as they may be.",
                    "driftgate_batch_tokens",
                    unit="short",
                ),
                _PADDING,
            ),
            title="Batches, all models",
        ),
        Row((_SLOTS, _HITS, _LOADING), title="Adapters"),
        Row((_RECORDING, _MEMORY, _CPU, _AGE), title="Recording and processes"),
    ),
)
