import json
from dataclasses import replace
from math import nan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from engine.sketch import pack_floats
from monitor.accuracy import calibrated_confidence
from monitor.decision import DriftRules, not_enough_data, with_concept
from monitor.labelled import MIN_ROWS, REFERENCE_MIN_ROWS, overconfident, what_labels_say
from retrain.calibrate import fit_temperature
from store.feedback import AuditVerdict
from store.reference import Reference
from tests.monitor.traffic import LABELS, Rows, Source, as_reference, draw


def calibrated_world(rows: int, rng: np.random.Generator, margin: float = 3.5) -> Rows:
    """A model that is right as often as it says: the truth is drawn from its own probabilities."""
    drawn = draw(Source(margin=margin), rows, rng)
    right = (rng.random(rows)[:, None] < drawn.probabilities.cumsum(axis=1)).argmax(axis=1)
    return Rows(right, *(getattr(drawn, name) for name in Rows.__dataclass_fields__ if name != "truth"))


def reviewed(rows: Rows, truth: np.ndarray) -> list[AuditVerdict]:
    return [
        AuditVerdict(bool(label == predicted), 0.02, LABELS[label], pack_floats(probabilities))
        for label, predicted, probabilities in zip(truth, rows.predicted, rows.probabilities, strict=True)
    ]


def p_value_of(confidence: np.ndarray, right: np.ndarray, reference: Reference) -> float:
    p_value = overconfident(confidence, right, reference)
    assert p_value is not None
    return p_value


@pytest.mark.parametrize(
    ("margin", "reference_rows", "labels"), [(3.5, 300, 150), (6.7, 100, 150), (6.7, 300, 500)], ids=str
)
def test_a_model_that_is_right_as_often_as_it_says_is_not_called_overconfident(
    margin: float, reference_rows: int, labels: int
) -> None:
    """Models that are right in 85 % and in 99 %, the temperature fitted to the reference as in every version.

    1,000 pairs of reference and labels, drawn from 20,000 rows: at the line in use, 0.1 %, at most 1 + 3 sigma = 3; at
    1 % at most 10 + 3 sigma = 19.
    """
    rng, runs, p_values = np.random.default_rng(1), 1_000, []
    world = calibrated_world(20_000, rng, margin)
    whole, correct = as_reference(world), (world.predicted == world.truth).astype(np.float64)
    for _ in range(runs):
        known, rows = rng.integers(20_000, size=reference_rows), rng.integers(20_000, size=labels)
        probabilities, truth = world.probabilities[known], world.truth[known]
        temperature = fit_temperature(probabilities, truth)
        reference = replace(whole, probabilities=probabilities, true_label=truth, temperature=temperature)
        confidence = calibrated_confidence(world.probabilities[rows], temperature)
        p_values.append(p_value_of(confidence, correct[rows], reference))
    for line in (0.001, 0.01):
        alarms = sum(p_value <= line for p_value in p_values)
        assert alarms <= runs * line + 3 * sqrt(runs * line * (1 - line)), f"{alarms} of {runs} at {line}"


def test_one_wrong_answer_says_nothing_against_a_model_that_was_always_right() -> None:
    """Its temperature falls to the lower bound, and it is sure of everything; 100 right of 100 are no proof of that."""
    known = calibrated_world(100, np.random.default_rng(5), 12.0)
    temperature = fit_temperature(known.probabilities, known.truth)
    reference = as_reference(known, temperature=temperature)
    assert reference.accuracy == 1
    assert calibrated_confidence(known.probabilities, temperature).mean() > 0.9999
    sure = np.ones(200)
    assert p_value_of(sure, (np.arange(200) >= 1).astype(np.float64), reference) > 0.1
    assert p_value_of(sure, (np.arange(200) >= 20).astype(np.float64), reference) < 0.001


@given(right=st.integers(0, 300), wrong=st.integers(0, 300))
def test_while_the_confidence_stays_the_p_value_is_that_of_a_beta_binomial(right: int, wrong: int) -> None:
    rows = calibrated_world(200, np.random.default_rng(6))
    reference = as_reference(rows)
    seen = np.repeat([1.0, 0.0], [right + 1, wrong])
    were_right = round(reference.accuracy * 200)
    exact = stats.betabinom.cdf(right + 1, len(seen), were_right + 0.5, 200 - were_right + 0.5)
    mean = calibrated_confidence(rows.probabilities, 1.0).mean()
    assert p_value_of(np.full(len(seen), mean), seen, reference) == pytest.approx(exact, rel=1e-3, abs=1e-7)


def test_a_reference_of_few_rows_says_nothing_of_the_confidence() -> None:
    rng = np.random.default_rng(7)
    rows = calibrated_world(200, rng)
    for few in (0, 1, REFERENCE_MIN_ROWS - 1):
        reference = as_reference(calibrated_world(few, rng))
        said = what_labels_say(reviewed(rows, (rows.truth + 1) % len(LABELS)), reference)
        assert said.calibration is not None
        assert said.calibration.p_value is None
        assert "NaN" not in json.dumps(said.as_dict())
        calm = not_enough_data("")
        assert with_concept(calm, said.calibration, DriftRules()) == calm
        assert with_concept(calm, replace(said.calibration, p_value=nan), DriftRules()) == calm
        certain = replace(said.calibration, p_value=1e-9)
        assert with_concept(calm, certain, DriftRules()).kinds == ("concept",)
        strange = replace(calm, kinds=("covariate", "unseen"))
        assert with_concept(strange, certain, DriftRules()) == strange, "confidence in strange texts is worth little"


def test_right_answers_that_changed_show_in_the_labels() -> None:
    """One label of four is another one now."""
    rng = np.random.default_rng(2)
    reference, rows = as_reference(calibrated_world(400, rng)), calibrated_world(200, rng)
    said = what_labels_say(reviewed(rows, np.where(rows.truth == 2, 0, rows.truth)), reference)
    assert said.calibration is not None
    assert said.calibration.p_value is not None
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
    assert said.calibration.p_value is not None
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
    rows=st.integers(REFERENCE_MIN_ROWS, 300),
)
def test_a_p_value_is_one_and_fewer_right_answers_never_raise_it(
    confidence: list[float], share: float, rows: int
) -> None:
    reference: Reference = as_reference(draw(Source(), rows, np.random.default_rng(rows)))
    sure = np.array(confidence)
    right = (np.arange(len(sure)) < share * len(sure)).astype(np.float64)
    before = p_value_of(sure, right, reference)
    right[:1] = 0
    assert 0 <= p_value_of(sure, right, reference) <= before + 1e-9 <= 1 + 1e-9
