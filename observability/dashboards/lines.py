"""Figures at which a panel changes its colour: where somebody begins to be needed.

Those that a setting decides are its default: a dashboard is built before anybody's settings are known. The others are
those of the alert rules, and a test holds the two together.
"""

from math import log10

from store.settings import Settings


def _default(name: str) -> float:
    return float(Settings.model_fields[name].default)


DRIFT_SCORE = -log10(_default("false_alarm_rate"))
ACCURACY_KEPT = _default("alert_accuracy_ratio")
ACCURACY_KEPT_WITHOUT_RETRAINING = 1 - _default("retrain_accuracy_drop")
SINCE_CHECK_S = 3 * _default("check_every_s")
REVIEW_QUEUE = _default("retrain_min_labels")
ERROR_SHARE = 0.02
REFUSED_SHARE = 0.01
LATENCY_S = 0.5
QUEUE_SHARE = 0.8
HIT_RATIO = 0.5
YOUNG_PROCESS_S = 600.0
"""A process that started so lately may be one that starts again and again."""
