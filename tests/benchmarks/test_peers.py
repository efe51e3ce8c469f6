"""What of the comparison can be tested without the peers: its sums, its tables and its checks."""

import json
from datetime import UTC, datetime

import pytest

from benchmarks.peers.environments import REQUIREMENTS
from benchmarks.peers.report import Setting, as_json, as_markdown, figure_lines
from benchmarks.peers.roster import BENTO, DRIFTGATE, PEERS, PREDICT, V2
from benchmarks.peers.rounds import Results, Turn
from benchmarks.peers.workloads import WORKLOADS, RightAnswer

SETTING = Setting("a machine", "some versions", datetime(2026, 11, 21, tzinfo=UTC), 3, 4.0)


def turn(server: str, number: int, texts_per_s: float, *, wrong: int = 0) -> Turn:
    return Turn(server, "text", 64, number, texts_per_s, 10.0, 20.0, 100, wrong, 0)


@pytest.fixture
def results() -> Results:
    ours = [turn("driftgate", i, rate) for i, rate in enumerate((400.0, 500.0, 90.0))]
    theirs = [turn("LitServe", i, rate, wrong=1) for i, rate in enumerate((200.0, 200.0, 50.0))]
    return Results([*ours, *theirs], {"Ray Serve": "did not start"})


def test_a_ratio_is_the_median_of_the_ratios_of_each_round(results):
    assert results.ratio("text", 64, "driftgate", "LitServe") == 2.0, "of 2.0, 2.5 and 1.8; not of the medians"
    assert results.ratio("text", 8, "driftgate", "LitServe") is None


def test_a_round_in_which_the_other_got_nothing_done_is_no_ratio():
    results = Results([turn("driftgate", 0, 100.0), turn("LitServe", 0, 0.0)])
    assert results.ratio("text", 64, "driftgate", "LitServe") is None


def test_every_figure_is_one_line_and_what_failed_is_told(results):
    lines = figure_lines(results, "driftgate")
    assert any(line.endswith("driftgate to LitServe: 2.00") for line in lines)
    assert any("LitServe: 200 texts/s, p50 10.0 ms, p99 20.0 ms, 3 wrong or failed" in line for line in lines)
    assert lines[-1] == "not measured, Ray Serve: did not start"


def test_the_tables_say_where_when_and_how_much(results):
    page = as_markdown(results, SETTING, "driftgate")
    assert "Measured on 2026-11-21 on a machine" in page
    assert "| LitServe | 200 (2.00) [3 bad] |" in page
    assert "- Ray Serve: did not start" in page
    found = json.loads(json.dumps(as_json(results, SETTING, "driftgate"), allow_nan=False))
    assert [figure["ours_to_this"] for figure in found["figures"]] == [1.0, 2.0]


RIGHT = [("refund", 0.9), ("billing", 0.8)]
ROWS = [{"label": label, "score": score} for label, score in RIGHT]
BODIES = {
    PREDICT: {"predictions": ROWS},
    DRIFTGATE: {"model": "tickets", "version": 1, "predictions": [{"id": "x", **row} for row in ROWS]},
    BENTO: ROWS,
    V2: {"outputs": [{"name": "label", "data": ["refund", "billing"]}, {"name": "score", "data": [0.9, 0.8]}]},
}


@pytest.mark.parametrize("protocol", BODIES, ids=lambda protocol: protocol.path)
def test_every_protocol_is_checked_for_label_score_and_number(protocol):
    body = json.dumps(BODIES[protocol]).encode()
    assert RightAnswer([RIGHT], protocol, 1e-3)(0, body)
    assert not RightAnswer([[("billing", 0.9), RIGHT[1]]], protocol, 1e-3)(0, body)
    assert not RightAnswer([[("refund", 0.902), RIGHT[1]]], protocol, 1e-3)(0, body)
    assert not RightAnswer([RIGHT[:1]], protocol, 1e-3)(0, body)
    assert not RightAnswer([RIGHT], protocol, 1e-3)(0, b'{"error": "no"}')


def test_every_peer_has_pinned_requirements_and_known_workloads():
    for peer in PEERS:
        lines = (REQUIREMENTS / f"{peer.environment}.txt").read_text().splitlines()
        wanted = [line for line in lines if line and not line.startswith("#")]
        assert wanted
        assert all("==" in line for line in wanted), peer.environment
        names = {line.partition("==")[0].partition("[")[0] for line in wanted}
        assert set(peer.packages) <= names, peer.name
        assert set(peer.workloads) <= set(WORKLOADS)
    assert len({peer.name for peer in PEERS}) == len(PEERS)
