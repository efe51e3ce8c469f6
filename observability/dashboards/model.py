"""Is this one model still good, and what changed?"""

from observability.dashboards import lines
from observability.dashboards.dashboard import Dashboard, Row
from observability.dashboards.panels import Query, above, below, graph, heatmap, stat
from observability.dashboards.promql import ALERTED, ONE, SHOWN, accuracy_kept, share_of_answers
from observability.dashboards.shared_panels import (
    DRIFT,
    accuracy,
    drift_score,
    feedback,
    latency,
    requests_by_code,
    requests_by_version,
    review_queue,
    since_the_last_check,
)

_REQUESTS = stat(
    "Requests",
    "Of the last five minutes. None at all where there should be some: ask the callers, and look at `/readyz`.",
    Query(f"sum(rate({ONE.of('driftgate_requests_total')}[{ALERTED}]))", "requests"),
    unit="reqps",
)

_ERRORS = stat(
    "Errors and refusals",
    "5xx and 429 by all answers of the last five minutes. If it began with a promotion: "
    "`driftgate model rollback MODEL`.",
    Query(share_of_answers(ONE, "5.."), "errors"),
    Query(share_of_answers(ONE, "429"), "refused"),
    unit="percentunit",
    thresholds=above(lines.ERROR_SHARE),
    runbooks=("DriftgateErrorRatioHigh", "DriftgateRequestsRefused"),
)

_DRIFT = stat(
    "Drift",
    "The newest verdict. Drift is a reason to look, not a proof of errors: look at the accuracy before you act.",
    Query(f"max({ONE.of('driftgate_drift_detected')})", "drift"),
    unit="short",
    names=DRIFT,
    runbooks=("DriftgateDriftConfirmed",),
)

_KEPT = stat(
    "Accuracy kept now",
    "Accuracy now by that on the validation rows. Below 0.9 callers get wrong answers: roll back what was promoted, or "
    "bring in labels. Believe the labelled one.",
    *(Query(accuracy_kept(ONE, kind), kind) for kind in ("labelled", "estimated")),
    unit="percentunit",
    thresholds=below(lines.ACCURACY_KEPT, orange_below=lines.ACCURACY_KEPT_WITHOUT_RETRAINING),
    runbooks=("DriftgateAccuracyLow",),
)

_ANSWERS = f"rate({ONE.of('driftgate_predicted_label_total')}[{SHOWN}])"
_PREDICTED_LABELS = graph(
    "Predicted labels",
    "Share of each label in the answers. One that grows or vanishes: callers ask for other things, or the model takes "
    "one matter for another. Whoever sends the texts knows which.",
    Query(f"sum by (label) ({_ANSWERS}) / on () group_left () (sum({_ANSWERS}) > 0)", "{{label}}"),
    unit="percentunit",
    most=1,
    stacked=True,
    runbooks=("DriftgateDriftConfirmed",),
)

_SCORES = heatmap(
    "Scores",
    "How sure the model is: answers by the score of their label. Weight that moves down is doubt.",
    Query(f"sum by (le) (increase({ONE.of('driftgate_prediction_score_bucket')}[{SHOWN}]))", "{{le}}"),
    unit="percentunit",
    runbooks=("DriftgateEstimatedAccuracyLow",),
)

DASHBOARD = Dashboard(
    name="model",
    question="Is this model still good, and what changed?",
    models="one",
    rows=(
        Row(
            (_REQUESTS, _ERRORS, _DRIFT, _KEPT, since_the_last_check(ONE)),
            height=5,
            widths=(4, 6, 4, 6, 4),
        ),
        Row((requests_by_code(ONE), requests_by_version(ONE), latency()), title="Traffic"),
        Row((accuracy(ONE), drift_score(ONE)), title="Quality"),
        Row((_PREDICTED_LABELS, _SCORES)),
        Row((feedback(ONE), review_queue(ONE)), title="Labels"),
    ),
)
