"""How the seconds of a run are shared out."""

from benchmarks.labels_to_version import Look, longest_stillness, stages

LOOKS = [
    Look(2.0, "snapshot", 0.01),
    Look(3.0, "training", 0.05),
    Look(3.5, "training", 0.30),
    Look(7.5, "training", 0.80),
    Look(8.0, "gate", 0.97),
]


def test_every_second_belongs_to_one_stage() -> None:
    assert stages(LOOKS, until_s=9.5) == {"start": 2.0, "snapshot": 1.0, "training": 5.0, "gate": 1.5}


def test_the_longest_time_without_progress_is_told_with_its_stage() -> None:
    assert longest_stillness(LOOKS) == (4.0, "training")
