from collections.abc import Callable
from math import sqrt
from pathlib import Path

import numpy as np

from benchmarks.flagged_labels import ACCURACY, Figures, play_world
from store.database import open_database
from store.settings import load_settings

WORLDS, ROWS, AUDIT_RATE = 30, 500, 0.1
FLAG_RATES = (0.0, 0.3, 0.9)


def worlds(home: Path) -> list[list[Figures]]:
    database = open_database(load_settings(home=home))
    found = [
        list(play_world(database, number, rows=ROWS, audit_rate=AUDIT_RATE, flag_rates=FLAG_RATES))
        for number in range(WORLDS)
    ]
    database.close()
    return found


def bias(found: list[list[Figures]], index: int, figure: Callable[[Figures], float]) -> float:
    """Mean over the worlds, at the flag rate number `index`."""
    return float(np.mean([figure(world[index]) - world[index].truth for world in found]))


def test_flags_pull_down_whatever_counts_them_and_leave_the_audit_sample_alone(tmp_path: Path) -> None:
    """Bounds: three standard errors of a mean over the worlds, and of a share of them."""
    found = worlds(tmp_path)
    error = 3 * sqrt(ACCURACY * (1 - ACCURACY) / (ROWS * AUDIT_RATE) / WORLDS)
    naive = [bias(found, index, lambda at: at.naive) for index in range(len(FLAG_RATES))]
    weighted = [bias(found, index, lambda at: at.weighted) for index in range(len(FLAG_RATES))]
    ours = [bias(found, index, lambda at: at.ours.value) for index in range(len(FLAG_RATES))]
    told = f"at {FLAG_RATES}: naive off by {naive}, weighted by {weighted}, ours by {ours}; error {error:.4f}"
    assert abs(naive[0]) <= error, told
    assert naive[1] < -0.1, told
    assert naive[2] < -0.3, told
    assert weighted[2] < -2 * error, told
    assert max(map(abs, ours)) <= error, told
    covered = sum(world[-1].ours.low <= world[-1].truth <= world[-1].ours.high for world in found)
    assert covered >= 0.95 * WORLDS - 3 * sqrt(WORLDS * 0.95 * 0.05), f"{covered} of {WORLDS} intervals hold the truth"
    assert all(len({at.ours for at in world}) == 1 for world in found), "flags moved what only reviews may move"
