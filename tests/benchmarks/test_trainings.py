"""What the benchmarks of training share: who is drawn, and what is said of a figure."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.trainings import Job, claim, difference, draw
from retrain.dataset import Row

LABELS = st.lists(st.sampled_from("aaaabbc"), min_size=1, max_size=200)


@given(labels=LABELS, share=st.floats(0, 1), seed=st.integers(0, 9))
def test_rows_are_drawn_once_each_and_labels_keep_their_share(labels: list[str], share: float, seed: int) -> None:
    rows = [Row(f"text {number}", label) for number, label in enumerate(labels)]
    count = round(share * len(rows))
    drawn = draw(rows, count, seed)
    assert len(drawn) == len(set(drawn)) == count
    of_all = Counter(labels)
    for label, number in Counter(row.label for row in drawn).items():
        assert abs(number - of_all[label] * count / len(rows)) <= len(of_all), f"{label}: {number} of {of_all[label]}"


def test_another_seed_draws_other_rows() -> None:
    rows = [Row(f"text {number}", "a") for number in range(100)]
    assert draw(rows, 20, 1) == draw(rows, 20, 1) != draw(rows, 20, 2)


def test_a_claim_says_whether_it_was_kept() -> None:
    assert claim("accuracy", 0.9648, least=0.965) == "accuracy: 0.9648 (promised at least 0.965, MISSED)"
    assert claim("time", 0.54, most=0.6) == "time: 0.5400 (promised at most 0.6)"


def test_the_interval_of_a_difference_knows_that_rows_are_the_same() -> None:
    """Ten rows of 1,000 differ: a standard error of 0.3 points; of unpaired rows it would be 1.3."""
    first = [True] * 900 + [False] * 100
    second = [True] * 890 + [False] * 110
    low, high = difference(first, second)
    assert 0.003 < low < 0.01 < high < 0.018
    assert difference(first, first) == (0.0, 0.0)


def test_jobs_that_differ_have_different_names() -> None:
    jobs = [Job("snips", "lora"), Job("snips", "lora", seed=1), Job("snips", "lora", overrides={"rank": 16})]
    assert len({job.digest for job in jobs}) == 3
