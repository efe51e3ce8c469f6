import numpy as np

from retrain.dataset import Row
from retrain.slices import ALPHA, MIN_ROWS, measure_slices, slice_rows


def rows(count: int, *, label: str = "a", origin: str = "seed") -> list[Row]:
    return [Row(f"{label} {origin} {i}", label, origin=origin, split="test") for i in range(count)]


def test_rows_are_sliced_by_label_length_origin_and_age() -> None:
    some = [*rows(3), *rows(2, label="b", origin="audit")]
    parts = slice_rows(some, np.array([3, 4, 5, 8, 9]), new=some[4:])
    assert {name: int(part.sum()) for name, part in parts.items()} == {
        ("label", "a"): 3,
        ("label", "b"): 2,
        ("length", "up to 5 tokens"): 3,
        ("length", "above 5 tokens"): 2,
        ("origin", "seed"): 3,
        ("origin", "audit"): 2,
        ("age", "known before"): 4,
        ("age", "since production was trained"): 1,
    }


def test_what_all_rows_share_is_no_slice() -> None:
    assert slice_rows(rows(4), np.full(4, 7), new=()) == {}


def parts_of(*sizes: int) -> dict[tuple[str, str], np.ndarray]:
    total, start, found = sum(sizes), 0, {}
    for i, size in enumerate(sizes):
        part = np.zeros(total, np.bool_)
        part[start : start + size] = True
        found["label", f"l{i}"] = part
        start += size
    return found


def test_a_part_that_is_plainly_worse_is_named_and_small_ones_are_only_counted() -> None:
    parts = parts_of(100, 100, MIN_ROWS - 1)
    production = np.ones(219, np.bool_)
    correct = production.copy()
    correct[:25] = False
    found = measure_slices(parts, correct, production)
    assert [(one.name, one.rows, one.worse) for one in found.found] == [("l0", 100, True), ("l1", 100, False)]
    assert found.too_small == 1
    assert found.found[0].difference.value == -0.25


def test_without_a_production_version_nothing_is_called_worse() -> None:
    found = measure_slices(parts_of(50, 50), np.zeros(100, np.bool_), None)
    assert [(one.difference, one.worse) for one in found.found] == [(None, False)] * 2


def test_equal_versions_are_called_worse_somewhere_in_at_most_5_percent_of_cases() -> None:
    """300 cases of 12 parts with 60 rows; at 5 %, three standard errors above are 0.088."""
    generator = np.random.default_rng(8)
    parts = parts_of(*[60] * 12)
    alarms = 0
    for _ in range(300):
        correct, production = generator.random((2, 720)) < 0.85
        alarms += any(one.worse for one in measure_slices(parts, correct, production).found)
    assert alarms / 300 <= ALPHA + 0.038, alarms
