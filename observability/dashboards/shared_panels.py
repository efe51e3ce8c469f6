"""Panels that stand on several dashboards, so that one title means one thing everywhere."""

from observability.dashboards import lines
from observability.dashboards.panels import Panel, Query, above, below, graph, stat, states
from observability.dashboards.promql import SHOWN, Scope, accuracy_kept, quantile

ROLLOUT_STAGES = {0: ("none", "text"), 1: ("shadow", "blue"), 2: ("canary", "orange")}
DRIFT = {0: ("not confirmed", "green"), 1: ("drift", "red")}


def requests_by_code(scope: Scope) -> Panel:
    return graph(
        "Requests by answer code",
        "5xx is ours: 500 a bug (log, by request id), 503 not ready (`/readyz` says what), 504 a deadline (see the "
        "queue under capacity). 429: the queue is full. Other 4xx are the callers' own.",
        Query(f"sum by (code) (rate({scope.of('driftgate_requests_total')}[{SHOWN}]))", "{{code}}"),
        unit="reqps",
        stacked=True,
        runbooks=("DriftgateErrorRatioHigh", "DriftgateRequestsRefused"),
    )


def requests_by_version(scope: Scope) -> Panel:
    return graph(
        "Requests by version",
        "Who answers: the version in production, the candidate during a canary, versions that callers ask for by "
        "number. `none`: no answer was given. A step at the moment the trouble began means a promotion: "
        "`driftgate model rollback MODEL` undoes it.",
        Query(
            f"{scope.by('sum', 'version')}(rate({scope.of('driftgate_requests_total')}[{SHOWN}]))",
            scope.legend("{{version}}"),
        ),
        unit="reqps",
        stacked=True,
    )


def latency() -> Panel:
    return graph(
        "Latency, all models",
        "From the parsed request to its answer, of requests that were answered. Above the line compare with the wait "
        "for a batch, under capacity: if that is most of it, there is too much work for the machines.",
        Query(quantile(0.5, "driftgate_request_seconds"), "p50"),
        Query(quantile(0.99, "driftgate_request_seconds"), "p99"),
        unit="s",
        thresholds=above(lines.LATENCY_S),
        runbooks=("DriftgateLatencyHigh",),
    )


def accuracy(scope: Scope) -> Panel:
    return graph(
        "Accuracy",
        "Labelled: measured on the audit sample. Estimated: the calibrated confidence, blind where the model errs with "
        "confidence. Validation: what the version promised. Believe the labelled one; its interval is in "
        "`driftgate drift show CHECK`.",
        Query(
            f"{scope.by('max', 'version', 'kind')}({scope.of('driftgate_accuracy')})",
            scope.legend("{{version}}", "{{kind}}"),
        ),
        unit="percentunit",
        least=None,
        most=1,
        runbooks=("DriftgateAccuracyLow", "DriftgateEstimatedAccuracyLow"),
    )


def kept_accuracy(scope: Scope) -> Panel:
    return graph(
        "Accuracy kept",
        "Accuracy now by that on the validation rows. Below 0.95 the policy asks for a run, if there are labels; below "
        "0.9 callers get wrong answers: roll back what was promoted, or bring in labels.",
        *(
            Query(accuracy_kept(scope, kind, "version"), scope.legend("{{version}}", kind))
            for kind in ("labelled", "estimated")
        ),
        unit="percentunit",
        least=None,
        thresholds=below(lines.ACCURACY_KEPT, orange_below=lines.ACCURACY_KEPT_WITHOUT_RETRAINING),
        runbooks=("DriftgateAccuracyLow",),
    )


def drift_score(scope: Scope) -> Panel:
    return graph(
        "Drift score by signal",
        "-log10 of the p-value in the newest check. Above the line the signal is found; drift is confirmed when "
        "several checks in a row find the same one. Length, unknown tokens, embedding: other texts. Predicted label: "
        "another mix. Confidence: the model doubts. Out of scope: texts that it was not made for.",
        Query(
            f"{scope.by('max', 'signal')}({scope.of('driftgate_drift_score')})",
            scope.legend("{{signal}}"),
        ),
        unit="short",
        thresholds=above(lines.DRIFT_SCORE),
        runbooks=("DriftgateDriftConfirmed",),
    )


def since_the_last_check(scope: Scope) -> Panel:
    newest = f"{scope.by('max')}({scope.of('driftgate_last_check_timestamp_seconds')})"
    return stat(
        "Since the last check",
        "Of checks that had enough data. Long where a model has little traffic; otherwise look at the monitor's log "
        "for `check_failed`, and at what is recorded, under capacity.",
        Query(f"time() - {newest}", scope.legend() or "last check"),
        unit="s",
        decimals=0,
        thresholds=above(lines.SINCE_CHECK_S, "orange"),
        runbooks=("DriftgateChecksLate",),
    )


def review_queue(scope: Scope) -> Panel:
    return graph(
        "Review queue",
        "Rows of the audit sample that wait for a label. If it only grows, nobody labels, or more is drawn than can be "
        "labelled: then lower DRIFTGATE_AUDIT_RATE.",
        Query(f"{scope.by('max')}({scope.of('driftgate_review_queue')})", scope.legend() or "waiting"),
        unit="short",
        thresholds=above(lines.REVIEW_QUEUE, "orange"),
        runbooks=("DriftgateReviewQueueLong",),
    )


def feedback(scope: Scope) -> Panel:
    return graph(
        "Feedback",
        "Verdicts a minute, over HTTP. Many `wrong` from people who flag mistakes say nothing of how often the model "
        "errs; where there are none at all no candidate can be judged.",
        Query(f"60 * sum by (verdict) (rate({scope.of('driftgate_feedback_total')}[{SHOWN}]))", "{{verdict}}"),
        unit="cpm",
    )


def rollout(scope: Scope) -> Panel:
    return states(
        "Rollout",
        "Whether a candidate is being tried, and how. `driftgate model history MODEL` says why it began or ended.",
        Query(f"{scope.by('max')}({scope.of('driftgate_rollout_stage')})", scope.legend() or "stage"),
        names=ROLLOUT_STAGES,
    )
