from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monitor.two_sample import homogeneity, kolmogorov_smirnov, score


@pytest.mark.parametrize(("labels", "reference_rows", "window_rows"), [(3, 300, 100), (150, 300, 100), (20, 100, 300)])
def test_homogeneity_rejects_equal_samples_no_more_often_than_it_says(
    labels: int, reference_rows: int, window_rows: int
) -> None:
    """200 windows at 5 %, against a reference drawn anew each time: at most 10 + 3 sigma."""
    windows, level = 200, 0.05
    rng = np.random.default_rng(5)
    shares = rng.dirichlet(np.ones(labels))
    rejected = sum(
        homogeneity(
            rng.choice(labels, size=reference_rows, p=shares), rng.choice(labels, size=window_rows, p=shares)
        ).p_value
        <= level
        for _ in range(windows)
    )
    bound = windows * level + 3 * sqrt(windows * level * (1 - level))
    assert rejected <= bound, f"{rejected} of {windows}"


def test_homogeneity_sees_a_prior_that_moved() -> None:
    rng = np.random.default_rng(6)
    found = homogeneity(rng.choice(4, size=500), rng.choice(4, size=300, p=[0.55, 0.15, 0.15, 0.15]))
    assert found.p_value < 1e-6
    assert 0.2 < found.distance < 0.4


def test_homogeneity_agrees_with_the_chi_square_table_where_that_holds() -> None:
    rng = np.random.default_rng(7)
    for _ in range(5):
        before, after = rng.choice(3, size=400), rng.choice(3, size=300)
        table = np.array([np.bincount(before, minlength=3), np.bincount(after, minlength=3)])
        tabled = stats.chi2_contingency(table).pvalue  # continuous, where the permutations are discrete
        assert homogeneity(before, after).p_value == pytest.approx(tabled, abs=0.03)


@settings(deadline=None, max_examples=25)
@given(
    before=st.lists(st.integers(0, 6), min_size=1, max_size=60),
    after=st.lists(st.integers(0, 6), min_size=1, max_size=60),
)
def test_names_of_labels_do_not_matter_and_p_values_are_p_values(before: list[int], after: list[int]) -> None:
    found = homogeneity(np.array(before), np.array(after))
    renamed = homogeneity(
        np.array([f"label {9 - x}" for x in before], dtype=object),
        np.array([f"label {9 - x}" for x in after], dtype=object),
    )
    assert found.p_value == renamed.p_value
    assert 0 < found.p_value <= 1
    assert 0 <= found.distance <= 1 + 1e-12


def test_one_label_only_is_no_news() -> None:
    assert homogeneity(np.zeros(300), np.zeros(100)).p_value == 1.0


def test_kolmogorov_smirnov_is_conservative_where_everything_ties() -> None:
    assert kolmogorov_smirnov(np.zeros(300), np.zeros(100)).p_value == 1.0


def test_the_score_grows_with_the_evidence_and_stays_finite() -> None:
    assert score(1.0) == 0.0
    assert score(1e-3) == pytest.approx(3.0)
    assert score(0.0) == 300.0


def test_samples_that_hardly_differ_are_compared_without_a_warning() -> None:
    """scipy's exact distribution gives up on these sizes, and a warning is an error in these tests."""
    reference, current = np.arange(1000.0), np.linspace(1, 999, 1000).round()
    assert kolmogorov_smirnov(reference, current).p_value > 0.99
