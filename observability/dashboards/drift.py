"""Do the models see what they were validated on, and are they still right?"""

from observability.dashboards import lines
from observability.dashboards.dashboard import Dashboard, Row
from observability.dashboards.panels import Query, above, bars, states
from observability.dashboards.promql import CHOSEN
from observability.dashboards.shared_panels import (
    DRIFT,
    accuracy,
    drift_score,
    feedback,
    kept_accuracy,
    review_queue,
    since_the_last_check,
)

_VERDICT = states(
    "Verdict",
    "What the newest check said, over time. Several models that turn at the same moment have one cause, upstream of "
    "all of them.",
    Query(f"max by (model) ({CHOSEN.of('driftgate_drift_detected')})", "{{model}}"),
    names=DRIFT,
    runbooks=("DriftgateDriftConfirmed",),
)

_SIGNALS = bars(
    "Signals of the newest check",
    "Which signal it is. Above the line it is found; `driftgate drift list MODEL` leads to the report of the check.",
    Query(f"sort_desc(max by (model, signal) ({CHOSEN.of('driftgate_drift_score')}))", "{{model}} {{signal}}"),
    unit="short",
    thresholds=above(lines.DRIFT_SCORE),
    runbooks=("DriftgateDriftConfirmed",),
)

DASHBOARD = Dashboard(
    name="drift",
    question="Do the models see what they were validated on, and are they still right?",
    models="some",
    rows=(
        Row((_VERDICT, _SIGNALS, since_the_last_check(CHOSEN)), widths=(10, 10, 4)),
        Row((drift_score(CHOSEN), accuracy(CHOSEN), kept_accuracy(CHOSEN))),
        Row((review_queue(CHOSEN), feedback(CHOSEN)), title="Labels"),
    ),
)
