"""Servers that take turns many times a second, for real, and the sum of what each had."""

from dataclasses import replace
from itertools import pairwise

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers.model import build_tiny_home
from benchmarks.questions import find_answers
from benchmarks.slices import Slice, play_in_slices, ran_s
from benchmarks.stage import MODEL, free_port, home_like, serving
from cli.load.apart import LoadFailed
from cli.load.connection import Address

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


@pytest.fixture
def two(tmp_path):
    """Two servers of one model, and questions for it."""
    home = tmp_path / "home"
    build_tiny_home(home)
    questions = find_answers(home, [(MODEL, text) for text in ("where is it", "refund please", "late again")])
    other = home_like(home, "other")
    with serving(home, port=free_port()) as one, serving(other, port=free_port()) as two:
        yield {"one": one, "other": two}, questions


@pytest.mark.slow
def test_two_servers_get_the_same_time_answer_rightly_and_run_on(two):
    servers, questions = two
    found = play_in_slices(servers, questions, clients=2, rounds=2, seconds=1.0)
    for results in found.values():
        assert [result.errors for result in results] == [0, 0]
        assert all(result.in_window > 0 for result in results)
        assert all(0.5 < result.seconds < 1.5 for result in results), "half of two seconds, to within its slices"
    rates = [sum(result.per_s for result in results) for results in found.values()]
    assert max(rates) < 2 * min(rates), "they are the same"
    assert awake(servers)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["one", "other"])
def test_a_load_that_fails_ends_the_round_with_every_server_awake(two, which):
    servers, questions = two
    gone = replace(servers[which], address=Address("127.0.0.1", free_port()))
    with pytest.raises(LoadFailed, match="Connect"):
        play_in_slices({**servers, which: gone}, questions, clients=2, rounds=1, seconds=1.0)
    assert awake(servers)


def awake(servers) -> bool:
    return "stopped" not in {psutil.Process(server.pid).status() for server in servers.values()}
