"""What is being rolled out or trained, and did it help?"""

from observability.dashboards.dashboard import Dashboard, Row
from observability.dashboards.panels import Query, graph
from observability.dashboards.promql import CHOSEN, quantile
from observability.dashboards.shared_panels import kept_accuracy, requests_by_version, rollout

_TRAFFIC = graph(
    "Traffic of the candidate",
    "Share of the requests that a candidate is to answer. Compare with the requests by version: what it does answer.",
    Query(f"max by (model) ({CHOSEN.of('driftgate_rollout_traffic_ratio')})", "{{model}}"),
    unit="percentunit",
    most=1,
)

_RUNS = graph(
    "Ended runs",
    "Since the worker started, by outcome. Rejected: the candidate did not pass the gate, and production goes on. "
    "Failed: `driftgate run list MODEL`, then `driftgate run show RUN` for the reason.",
    Query(f"sum by (model, outcome) ({CHOSEN.of('driftgate_runs_total')})", "{{model}} {{outcome}}"),
    Query("sum(driftgate_mlflow_failures_total)", "not told to MLflow"),
    unit="short",
    runbooks=("DriftgateRunFailed", "DriftgateWorkerSilent"),
)

_TIME = graph(
    "Time of a run, all models",
    "Of the runs of the last day, from claim to outcome. One that takes far longer than those before is often short "
    "of memory or cores: see the processes under capacity.",
    Query(quantile(0.5, "driftgate_run_seconds", over="1d"), "p50"),
    Query(quantile(0.95, "driftgate_run_seconds", over="1d"), "p95"),
    unit="s",
)

DASHBOARD = Dashboard(
    name="rollout",
    question="What is being rolled out or trained, and did it help?",
    models="some",
    rows=(
        Row((rollout(CHOSEN), _TRAFFIC)),
        Row((requests_by_version(CHOSEN), kept_accuracy(CHOSEN)), title="Versions"),
        Row((_RUNS, _TIME), title="Runs"),
    ),
)
