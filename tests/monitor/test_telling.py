from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.signals import LABEL, OUT_OF_SCOPE, Signals, signals_of
from monitor.telling import change_point, changes, telling_rows, witness
from tests.monitor.traffic import DRIFTED, LABELS, Source, as_reference, as_window, draw


def signals(*window: tuple[Source, int], reference: int = 400, seed: int = 3) -> Signals:
    """The window is drawn from several sources, one after the other."""
    rng = np.random.default_rng(seed)
    usual = draw(Source(), reference, rng)
    parts = [draw(source, rows, rng) for source, rows in window]
    together = type(usual)(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in usual.__dataclass_fields__)
    )
    return signals_of(as_reference(usual), as_window(together))


def test_the_feature_that_differs_most_is_told() -> None:
    found = changes(signals((Source(prior=(0.05, 0.05, 0.85, 0.05)), 300)))[LABEL]
    assert found.told == "label 'refund'"
    assert found.size > 0.8


def test_distances_are_shares_whatever_the_size_of_the_samples() -> None:
    small, large = (changes(signals((DRIFTED, rows), reference=rows)) for rows in (400, 4_000))
    for name, change in small.items():
        assert 0 <= change.distance <= 1
        assert change.distance == pytest.approx(large[name].distance, abs=0.12), name
    assert large[LABEL].distance == pytest.approx(0.27, abs=0.05)


@given(before=st.integers(0, 50), after=st.integers(6, 50), step=st.floats(0.1, 10))
def test_a_step_is_found_where_it_is(before: int, after: int, step: float) -> None:
    assert change_point(np.array([0.0] * before + [step] * after)) == before


@given(values=st.lists(st.floats(-5, 5), min_size=1))
def test_a_change_point_is_a_row(values: list[float]) -> None:
    assert 0 <= change_point(np.array(values)) < len(values)


@pytest.mark.parametrize("began", [0, 60, 200])
def test_it_is_told_since_when(began: int) -> None:
    """Mean errors of the found row over 20 windows of 300 rows; a split by chance would be off by a hundred."""
    errors = [
        abs(changes(signals((Source(), began), (DRIFTED, 300 - began), seed=seed))["embedding"].began - began)
        for seed in range(20)
    ]
    assert np.mean(errors) < 5


def test_the_inputs_that_are_shown_are_those_that_drifted() -> None:
    found = signals((Source(), 250), (DRIFTED, 50))
    rows = telling_rows(found, ["embedding", "out_of_scope"])
    assert len(set(rows)) == 10
    assert min(rows) >= 250


def test_of_rows_that_are_unlike_alike_the_strangest_are_shown() -> None:
    window = signals((Source(), 300))
    unknown = window.by_name["data_quality"]
    any_at_all = np.concatenate([np.arange(400) % 4 == 0, np.arange(300) % 2 == 0]).astype(np.float64)
    alike = replace(window, by_name={**window.by_name, "data_quality": replace(unknown, features=any_at_all[:, None])})
    strange = window.by_name[OUT_OF_SCOPE].drawn[400:]
    shown = strange[telling_rows(alike, ["data_quality"])]
    assert list(shown) == sorted(strange[any_at_all[400:] > 0], reverse=True)[:10]


def test_of_a_label_that_comes_more_often_rows_with_it_are_shown() -> None:
    window = signals((Source(prior=(0.1, 0.1, 0.7, 0.1)), 300))
    shown = [int(window.by_name[LABEL].drawn[400 + row]) for row in telling_rows(window, [LABEL])]
    assert {LABELS[label] for label in shown} == {"refund"}


def test_nothing_is_shown_where_nothing_drifted() -> None:
    assert telling_rows(signals((Source(), 50)), []) == []


def test_a_witness_counts_from_the_reference_and_says_nothing_of_rows_that_never_vary() -> None:
    found = signals((DRIFTED, 100))
    for name, signal in found.by_name.items():
        assert witness(signal, 400)[:400].mean() == pytest.approx(0, abs=1e-9), name
        assert witness(signal, 400)[400:].mean() > 0, name
    still = found.by_name["length"]
    still = type(still)(np.ones_like(still.features), still.told, "largest", still.drawn)
    assert not witness(still, 400).any()
