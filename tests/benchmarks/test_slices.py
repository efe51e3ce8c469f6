"""Servers that take turns many times a second, for real, and the sum of what each had."""

from itertools import pairwise

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers.model import build_tiny_home
from benchmarks.questions import find_answers
from benchmarks.slices import Slice, play_in_slices, ran_s
from benchmarks.stage import MODEL, free_port, serving

TIMES = st.lists(st.floats(0, 100), min_size=2, max_size=20).map(sorted)
WINDOW = st.tuples(st.floats(0, 100), st.floats(0, 100)).map(sorted)


@given(times=TIMES, window=WINDOW)
def test_what_the_servers_had_of_a_window_adds_up_to_what_the_slices_cover_of_it(times, window):
    slices = [Slice("ab"[i % 2], *between) for i, between in enumerate(pairwise(times))]
    began, ended = window
    covered = max(0.0, min(ended, times[-1]) - max(began, times[0]))
    each = [ran_s(slices, name, began, ended) for name in "ab"]
    assert sum(each) == pytest.approx(covered)
    assert all(0 <= ran <= ended - began + 1e-9 for ran in each)


def test_a_slice_counts_as_far_as_it_lies_in_the_window():
    slices = [Slice("a", 0.0, 2.0), Slice("b", 2.0, 4.0), Slice("a", 4.0, 6.0)]
    assert (ran_s(slices, "a", 1.0, 5.0), ran_s(slices, "b", 1.0, 5.0)) == (2.0, 2.0)
    assert ran_s(slices, "c", 0.0, 6.0) == 0.0


def test_two_servers_get_the_same_time_answer_rightly_and_run_on(tmp_path):
    build_tiny_home(tmp_path)
    questions = find_answers(tmp_path, [(MODEL, text) for text in ("where is it", "refund please", "late again")])
    with (
        serving(tmp_path, port=free_port()) as one,
        serving(tmp_path, port=free_port(), log="other.log") as other,
    ):
        found = play_in_slices({"one": one, "other": other}, questions, clients=2, rounds=2, seconds=1.0)
        for name in ("one", "other"):
            assert [result.errors for result in found[name]] == [0, 0]
            for result in found[name]:
                assert 0.5 < result.seconds < 1.5, "half of a window of two seconds, to within its slices"
                assert result.per_s * result.seconds == pytest.approx(result.in_window)
        assert "stopped" not in {psutil.Process(server.pid).status() for server in (one, other)}
