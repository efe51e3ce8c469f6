from dataclasses import replace
from math import sqrt

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from monitor.check import run_check
from monitor.decision import SLICES_SHARE, DriftRules, Verdict, decide_drift
from monitor.metrics import MonitorMetrics
from monitor.slices import NEARLY_ALL, ComparedSlice, Tags, choose_slices, compare_slices
from monitor.window import Window
from store.predictions import get_predictions
from tests.monitor.conftest import MakeWorld
from tests.monitor.traffic import DRIFTED, Source, as_reference, as_window, draw

EU, US = {"region": "eu"}, {"region": "us"}
tags = st.lists(st.frozensets(st.sampled_from(["a=x", "a=y", "b=x", "b=y"])), max_size=60)


@given(window=tags, baseline=tags, min_rows=st.integers(1, 20))
def test_what_is_compared_has_enough_rows_on_both_sides_and_is_not_all(
    window: list[Tags], baseline: list[Tags], min_rows: int
) -> None:
    chosen = choose_slices(window, baseline, min_rows=min_rows, most=3)
    assert len(set(chosen)) == len(chosen) <= 3
    sizes = []
    for name in chosen:
        now, before = (sum(name in row for row in rows) for rows in (window, baseline))
        assert min(now, before) >= min_rows
        assert now < NEARLY_ALL * len(window)
        sizes.append(before)
    assert sizes == sorted(sizes, reverse=True)


def tagged(rng: np.random.Generator, rows: int, us: Source, *, first_seq: int) -> Window:
    """Three rows of four from the usual world in Europe, the fourth from `us`."""
    parts = [as_window(draw(source, count, rng)) for source, count in ((Source(), rows * 3 // 4), (us, rows // 4))]
    arrays = ("probabilities", "sketches", "length_tokens", "length_chars", "unknown_tokens", "predicted", "score")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    whole = Window(**joined, tags=(EU,) * (rows * 3 // 4) + (US,) * (rows // 4))
    return replace(whole.part(rng.permutation(rows).tolist()), seq=tuple(range(first_seq, first_seq + rows)))


def compared(seed: int, us: Source, *, rate: float) -> list[ComparedSlice]:
    rng = np.random.default_rng(seed)
    baseline, window = (tagged(rng, 480, source, first_seq=first) for source, first in ((Source(), 1), (us, 1_000)))
    reference = as_reference(draw(Source(), 200, rng))
    return compare_slices(window, baseline, reference, min_rows=100, rate=rate, closely=True)


def test_slices_that_did_not_change_alarm_no_more_often_than_they_may() -> None:
    """150 windows of two slices, at a line of 10 % for both together: at most 15 + 3 sigma = 26."""
    runs, rate, alarms = 150, 0.1, 0
    for seed in range(runs):
        found = compared(seed, Source(), rate=rate)
        assert [one.name for one in found] == ["region=eu", "region=us"]
        alarms += min(min(one.p_values.values()) for one in found) <= rate / 2
    assert 0 < alarms <= runs * rate + 3 * sqrt(runs * rate * (1 - rate))


def test_a_slice_that_changed_is_the_one_that_is_told() -> None:
    europe, america = compared(1, DRIFTED, rate=0.002)
    assert min(america.p_values.values()) <= 0.001 < min(europe.p_values.values())
    assert (america.window.rows, america.signals.reference_rows) == (120, 120)


def test_all_slices_together_get_their_share_of_the_false_alarms() -> None:
    rules = DriftRules(false_alarm_rate=0.01)
    slices = {"region=eu": {"length": 0.001}, "region=us": {"length": 0.0011}}
    decision = decide_drift({"length": 0.0081}, 500, [], rules, slices=slices)
    assert decision.drifted == ("region=eu: length",)
    assert decision.kinds == ("covariate",)
    lines = {name: found.threshold for name, found in decision.signals.items()}
    assert lines["length"] == 0.01 * (1 - SLICES_SHARE)
    assert lines["region=us: length"] == 0.01 * SLICES_SHARE / 2
    assert lines["length"] + 2 * lines["region=us: length"] == 0.01
    assert decide_drift({"length": 0.0081}, 500, [], rules).drifted == ("length",), "without tags nothing is set aside"


def test_a_region_in_which_the_traffic_changed_is_found_and_told(make_world: MakeWorld) -> None:
    world = make_world(window_rows=520, confirm_checks=1)
    world.deploy(reference_rows=1_000)
    moved = Source(topic_shift=0.4)

    def hour(us: Source) -> None:
        world.answer(400, tags=EU)
        world.answer(120, us, tags=US)
        world.clock.advance(hours=1)

    hour(Source())
    assert not any(":" in name for name in run_check(world.parts, "tickets").signals), "nothing to compare with yet"
    hour(Source())
    calm = run_check(world.parts, "tickets")
    assert calm.drift.verdict is Verdict.STABLE
    assert calm.signals["region=us: embedding"]["reference_rows"] == 120
    hour(moved)
    found = run_check(world.parts, "tickets")
    assert found.drift.drifted[0].startswith("region=us: ")
    assert not any(name.startswith("region=eu") for name in found.drift.drifted)
    with world.parts.database.read() as session:
        assert {row.tags["region"] for row in get_predictions(session, found.telling)} == {"us"}
    metrics = MonitorMetrics(CollectorRegistry())
    metrics.show(world.checks()[-1])
    samples = [sample for metric in metrics.registry.collect() for sample in metric.samples]
    assert sum("signal" in sample.labels for sample in samples) == 6, "callers cannot make series"
