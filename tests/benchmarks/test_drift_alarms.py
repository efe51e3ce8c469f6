import numpy as np
import pytest

from benchmarks.drift_alarms import drifted_columns_by_default
from benchmarks.public_data import Entry, Featured, featured, reference_of, served
from engine.sketch import SKETCH_DIM
from monitor.backtest import window_of
from monitor.signals import signals_of
from tests.monitor.traffic import DRIFTED, Source, as_reference, as_window, draw


@pytest.fixture(scope="module")
def data() -> Featured:
    """Three hundred texts of three labels, a tenth of them twice; labels are as easy to tell as can be."""
    rng = np.random.default_rng(2)
    entries = [Entry(f"text {i % 270}", "abc"[i % 270 % 3], "kept" if i % 270 % 3 else "other") for i in range(300)]
    features = np.eye(3, 12, dtype=np.float32)[[ord(entry.label) - ord("a") for entry in entries]]
    noise = rng.normal(scale=0.1, size=features.shape).astype(np.float32)
    return Featured(tuple(entries), features + noise, np.full(300, 7), np.zeros(300, np.int64))


def test_a_model_answers_what_did_not_train_it_and_each_text_once(data: Featured) -> None:
    found = served(data, train_rows=60, known=lambda entry: True)
    texts = [entry.text for entry in found.entries]
    assert len(texts) == len(set(texts)) == 270 - 60
    assert np.mean(found.scored.probabilities.argmax(axis=1) == found.true_label) > 0.9
    assert found.scored.sketches.shape == (210, SKETCH_DIM)


def test_what_the_model_may_not_know_trains_it_never(data: Featured) -> None:
    found = served(data, train_rows=1_000, known=lambda entry: entry.domain == "kept")
    assert found.labels == ("b", "c")
    assert {entry.label for entry in found.entries} == {"a"}
    assert set(found.true_label.tolist()) == {-1}


def test_rows_become_what_a_check_compares(data: Featured) -> None:
    found = served(data, train_rows=60, known=lambda entry: True)
    reference = reference_of(found, np.arange(100))
    assert (reference.rows, reference.labels) == (100, found.labels)
    assert signals_of(reference, window_of(np.arange(100, 150), found.scored)).labels == found.labels


def test_the_default_preset_is_asked_for_its_count_of_columns() -> None:
    rng = np.random.default_rng(4)
    reference = as_reference(draw(Source(), 1_500, rng))
    same = signals_of(reference, as_window(draw(Source(), 1_500, rng)))
    other = signals_of(reference, as_window(draw(DRIFTED, 1_500, rng)))
    assert drifted_columns_by_default(same) < drifted_columns_by_default(other)


def test_a_data_set_that_is_not_at_hand_is_an_error(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="snips"):
        featured("snips", tmp_path)
