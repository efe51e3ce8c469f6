from prometheus_client import CollectorRegistry, generate_latest

from monitor.check import run_check
from monitor.metrics import MonitorMetrics
from tests.monitor.conftest import MakeWorld
from tests.monitor.traffic import DRIFTED


def test_gauges_say_what_the_last_check_said(make_world: MakeWorld) -> None:
    world = make_world(confirm_checks=1)
    world.deploy()
    world.answer(120, DRIFTED, audit=0.5, labelled=True)
    run_check(world.parts, "tickets")
    metrics = MonitorMetrics(CollectorRegistry())
    metrics.show(world.checks()[-1])
    told = metrics.registry.get_sample_value
    assert told("driftgate_drift_detected", {"model": "tickets"}) == 1
    assert told("driftgate_drift_score", {"model": "tickets", "signal": "embedding"}) > 2  # type: ignore[operator]
    assert told("driftgate_last_check_timestamp_seconds", {"model": "tickets"}) == world.clock().timestamp()
    for kind in ("validation", "estimated", "labelled"):
        labels = {"model": "tickets", "version": "1", "kind": kind}
        assert 0.3 < told("driftgate_accuracy", labels) < 1, kind  # type: ignore[operator]


def test_a_version_that_left_production_takes_its_accuracy_with_it(make_world: MakeWorld) -> None:
    world = make_world()
    metrics = MonitorMetrics(CollectorRegistry())
    for number in (1, 2):
        world.deploy()
        world.answer(120, version=number)
        run_check(world.parts, "tickets")
        metrics.show(world.checks()[-1])
    page = generate_latest(metrics.registry).decode()
    assert 'version="2"' in page
    assert 'version="1"' not in page
