from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sketch import pack_floats
from monitor.accuracy import calibrated_confidence
from monitor.labelled import MIN_ROWS, overconfident, what_labels_say
from store.feedback import AuditVerdict
from store.reference import Reference
from tests.monitor.traffic import LABELS, Rows, Source, as_reference, draw


def calibrated_world(rows: int, rng: np.random.Generator) -> Rows:
    """A model that is right as often as it says: the truth is drawn from its own probabilities."""
    drawn = draw(Source(), rows, rng)
    right = (rng.random(rows)[:, None] < drawn.probabilities.cumsum(axis=1)).argmax(axis=1)
    return Rows(right, *(getattr(drawn, name) for name in Rows.__dataclass_fields__ if name != "truth"))


def reviewed(rows: Rows, truth: np.ndarray) -> list[AuditVerdict]:
    return [
        AuditVerdict(bool(label == predicted), 0.02, LABELS[label], pack_floats(probabilities))
        for label, predicted, probabilities in zip(truth, rows.predicted, rows.probabilities, strict=True)
    ]


def test_a_model_that_is_right_as_often_as_it_says_is_not_called_overconfident() -> None:
    """1,500 pairs of reference and labels at 2 %: at most 30 + 3 sigma = 46."""
    rng, alarms, runs, line = np.random.default_rng(1), 0, 1_500, 0.02
    for _ in range(runs):
        reference, rows = as_reference(calibrated_world(400, rng)), calibrated_world(150, rng)
        right = (rows.predicted == rows.truth).astype(np.float64)
        alarms += overconfident(calibrated_confidence(rows.probabilities, 1.0), right, reference) <= line
    assert 0 < alarms <= runs * line + 3 * sqrt(runs * line * (1 - line))


def test_right_answers_that_changed_show_in_the_labels() -> None:
    """One label of four is another one now."""
    rng = np.random.default_rng(2)
    reference, rows = as_reference(calibrated_world(400, rng)), calibrated_world(200, rng)
    said = what_labels_say(reviewed(rows, np.where(rows.truth == 2, 0, rows.truth)), reference)
    assert said.calibration is not None
    assert said.calibration.p_value < 1e-6
    assert said.calibration.right < said.calibration.confident - 0.1
    assert said.calibration.error > 0.1
    assert said.recall["billing"].value < 0.7 < said.recall["delivery"].value


def test_a_model_that_grew_unsure_with_its_losses_is_no_concept_drift() -> None:
    rng = np.random.default_rng(3)
    reference, rows = as_reference(calibrated_world(400, rng)), calibrated_world(200, rng)
    unsure = np.sqrt(rows.probabilities)
    unsure /= unsure.sum(axis=1, keepdims=True)
    truth = (rng.random(200)[:, None] < unsure.cumsum(axis=1)).argmax(axis=1)
    rows.probabilities[:] = unsure
    said = what_labels_say(reviewed(rows, truth), reference)
    assert said.calibration is not None
    assert said.calibration.right < reference.accuracy - 0.1
    assert said.calibration.p_value > 0.01


def test_recall_counts_each_right_label_by_the_traffic_it_stands_for() -> None:
    said = what_labels_say(
        [
            AuditVerdict(True, 0.5, "refund"),
            AuditVerdict(False, 0.1, "refund"),
            AuditVerdict(True, 0.5, "billing"),
            AuditVerdict(False, 0.5),
        ],
        as_reference(draw(Source(), 100, np.random.default_rng(4))),
    )
    assert said.recall["refund"].value == pytest.approx(2 / 12)
    assert said.recall["billing"].value == 1
    assert said.wrong_without_label == 1
    assert said.calibration is None, f"fewer than {MIN_ROWS} rows"
    assert said.as_dict()["recall"]["billing"]["rows"] == 1


@given(
    confidence=st.lists(st.floats(0.2, 1.0), min_size=1, max_size=60),
    share=st.floats(0, 1),
    rows=st.integers(2, 50),
)
def test_a_p_value_is_one_and_fewer_right_answers_never_raise_it(
    confidence: list[float], share: float, rows: int
) -> None:
    reference: Reference = as_reference(draw(Source(), rows, np.random.default_rng(rows)))
    sure = np.array(confidence)
    right = (np.arange(len(sure)) < share * len(sure)).astype(np.float64)
    before = overconfident(sure, right, reference)
    right[:1] = 0
    assert 0 <= overconfident(sure, right, reference) <= before + 1e-9 <= 1 + 1e-9
