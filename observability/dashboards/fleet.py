"""Which model needs somebody? The first page of a watcher who was woken."""

from observability.dashboards import lines
from observability.dashboards.dashboard import Dashboard, Row, link_to
from observability.dashboards.panels import Query, above, below, stat
from observability.dashboards.promql import ALERTED, EVERY, EVERY_KNOWN, accuracy_kept, share_of_answers
from observability.dashboards.shared_panels import DRIFT, ROLLOUT_STAGES, latency, requests_by_code
from observability.dashboards.tables import Column, listing, table

_IN_DEPTH = link_to("model", "This model in depth")

_ALERTS = listing(
    "Alerts",
    "Those that ring now; no line, no alarm. Each has a section in docs/runbooks.md under its name.",
    Query(
        'max by (alertname, severity, model, base, instance) (ALERTS{alertname=~"Driftgate.+", alertstate="firing"})',
        "{{alertname}}",
    ),
    labels=("alertname", "severity", "model", "base", "instance"),
    link=_IN_DEPTH,
)

_PROCESSES = stat(
    "Processes",
    "How many tell Prometheus anything. Without `serve` nobody answers, without `monitor` nobody watches, without "
    "`worker` nobody trains. The monitor shows itself once a model is deployed.",
    Query("count(driftgate_request_seconds_count) or vector(0)", "serve"),
    Query("count(count by (instance) (driftgate_review_queue)) or vector(0)", "monitor"),
    Query("count(driftgate_run_seconds_count) or vector(0)", "worker"),
    unit="short",
    thresholds=below(1),
    runbooks=("DriftgateServeSilent", "DriftgateMonitorSilent", "DriftgateWorkerSilent"),
)

_MODELS = table(
    "Models",
    "A line for each model; its name leads to the model in depth. Errors: 5xx; refused: 429; both of the last five "
    "minutes. Labelled and estimated: accuracy by that on the validation rows. Start with what is red, and believe "
    "labels before estimates.",
    Column(
        "Requests",
        f"sum by (model) (rate({EVERY_KNOWN.of('driftgate_requests_total')}[{ALERTED}]))",
        unit="reqps",
        decimals=1,
    ),
    Column("Errors", share_of_answers(EVERY_KNOWN, "5.."), unit="percentunit", thresholds=above(lines.ERROR_SHARE)),
    Column("Refused", share_of_answers(EVERY_KNOWN, "429"), unit="percentunit", thresholds=above(lines.REFUSED_SHARE)),
    *(
        Column(
            kind.capitalize(),
            accuracy_kept(EVERY, kind),
            unit="percentunit",
            thresholds=below(lines.ACCURACY_KEPT, orange_below=lines.ACCURACY_KEPT_WITHOUT_RETRAINING),
        )
        for kind in ("labelled", "estimated")
    ),
    Column("Drift", "max by (model) (driftgate_drift_detected)", names=DRIFT),
    Column(
        "Drift score",
        "max by (model) (driftgate_drift_score)",
        decimals=1,
        thresholds=above(lines.DRIFT_SCORE, "orange"),
    ),
    Column(
        "Since the last check",
        "time() - max by (model) (driftgate_last_check_timestamp_seconds)",
        unit="s",
        decimals=0,
        thresholds=above(lines.SINCE_CHECK_S, "orange"),
    ),
    Column(
        "To review",
        "max by (model) (driftgate_review_queue)",
        thresholds=above(lines.REVIEW_QUEUE, "orange"),
    ),
    Column("Rollout", "max by (model) (driftgate_rollout_stage)", names=ROLLOUT_STAGES),
    row="model",
    link=_IN_DEPTH,
)

DASHBOARD = Dashboard(
    name="fleet",
    question="Which model needs somebody?",
    rows=(
        Row((_ALERTS, _PROCESSES), height=6, widths=(16, 8)),
        Row((_MODELS,), height=9),
        Row((requests_by_code(EVERY), latency())),
    ),
)
