from datetime import timedelta

import pytest

from monitor.check import compute, look, run_check
from monitor.facts import policy_from
from monitor.policy import Action
from monitor.record import Computed, Seen, record_check
from store.bases import retire_base
from store.errors import Conflict
from store.runs import NewRun, enqueue_run, list_runs
from store.versions import NewVersion, promote, register_version
from tests.monitor.conftest import MakeWorld, World
from tests.monitor.traffic import DRIFTED, LABELS


def half_done(world: World) -> tuple[Seen, Computed]:
    """A check that has looked and computed, and has not written yet."""
    with world.parts.database.read() as session:
        seen = look(session, "tickets", world.parts.settings, 500)
    return seen, compute(world.parts, seen, asked=True)


def test_of_two_checks_at_once_only_the_faster_one_is_recorded(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    world.answer(120)
    seen, computed = half_done(world)
    faster = run_check(world.parts, "tickets")
    with pytest.raises(Conflict, match="another check of 'tickets' was recorded meanwhile"):
        _record(world, seen, computed)
    assert [check.id for check in world.checks()] == [faster.check]


def test_a_check_of_a_version_that_left_production_meanwhile_leads_to_nothing(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    world.answer(120, DRIFTED)
    seen, computed = half_done(world)
    with world.parts.database.write() as session:
        new = NewVersion("tickets", "minilm", "adapters/next", 8, LABELS)
        number = register_version(session, new, by="test", now=world.clock())
        promote(session, "tickets", number, by="test", reason="better", now=world.clock())
    with pytest.raises(Conflict, match="version 1 of 'tickets' left production while it was checked"):
        _record(world, seen, computed)
    assert world.checks() == []
    assert world.story() == []


def test_a_run_that_a_person_asked_for_meanwhile_is_not_asked_for_twice(make_world: MakeWorld) -> None:
    world = make_world(retrain_min_labels=100, confirm_checks=1)
    world.deploy()
    world.answer(120, DRIFTED, audit=1.0, labelled=True)
    seen, computed = half_done(world)
    with world.parts.database.write() as session:
        new = NewRun("tickets", "minilm", "by hand", "lora", {})
        run = enqueue_run(session, new, by="ann", now=world.clock()).id
    result = _record(world, seen, computed)
    assert result.policy.action is not Action.RETRAIN
    assert result.policy.blockers == ("open_run",)
    with world.parts.database.read() as session:
        assert [known.id for known in list_runs(session)] == [run]


def test_a_rejected_run_is_not_repeated_on_the_very_same_labels(make_world: MakeWorld) -> None:
    world = make_world(retrain_min_labels=100, confirm_checks=1)
    world.deploy()
    world.answer(120, DRIFTED, audit=1.0, labelled=True)
    queued = run_check(world.parts, "tickets").run
    with world.parts.database.write() as session:
        (run,) = list_runs(session)
        assert run.id == queued
        run.status, run.ended_at = "rejected", world.clock() + timedelta(minutes=5)
    world.clock.advance(days=2)
    world.answer(120, DRIFTED)
    assert run_check(world.parts, "tickets").policy.blockers == ("nothing_new",)
    world.answer(120, DRIFTED, audit=1.0, labelled=True)
    assert run_check(world.parts, "tickets").run is not None


def test_a_check_on_a_retired_base_asks_for_no_run(make_world: MakeWorld) -> None:
    world = make_world(retrain_min_labels=100, confirm_checks=1)
    world.deploy()
    world.answer(120, DRIFTED, audit=1.0, labelled=True)
    with world.parts.database.write() as session:
        retire_base(session, "minilm", why="replaced", by="ann", now=world.clock())
    result = run_check(world.parts, "tickets")
    assert (result.run, result.policy.blockers) == (None, ("base_retired",))


def _record(world: World, seen: Seen, computed: Computed):  # type: ignore[no-untyped-def]  # CheckResult
    rules = policy_from(world.parts.settings)
    with world.parts.database.write() as session:
        return record_check(session, seen, computed, rules, now=world.clock())
