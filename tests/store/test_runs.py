from datetime import timedelta

import pytest

from store.bases import add_base
from store.errors import Conflict, NotFound, Refused
from store.events import history
from store.records import Run
from store.runs import (
    LeaseLost,
    NewRun,
    add_metrics,
    claim_next_run,
    enqueue_run,
    finish_run,
    get_run,
    is_run_waiting,
    last_run,
    list_rollouts,
    list_runs,
    open_rollout,
    renew_lease,
    report_progress,
    run_metrics,
)
from store.versions import NewVersion, register_version
from tests.store.conftest import NOW
from tests.store.rows import base
from tests.threads import all_at_once

LEASE_S = 10.0
EXPIRED = NOW + timedelta(seconds=LEASE_S + 1)


@pytest.fixture
def queue(database):
    """A store in which runs may be asked for."""
    with database.write() as session:
        add_base(session, base())
    return database


def ask(database, model="tickets", *, now=NOW) -> str:
    with database.write() as session:
        return enqueue_run(session, NewRun(model, "minilm", "drift", "lora", {}), by="monitor", now=now).id


def claim(database, owner="w1", *, now=NOW, max_attempts=3, run_id=None) -> Run | None:
    with database.write() as session:
        return claim_next_run(
            session, owner=owner, lease_s=LEASE_S, max_attempts=max_attempts, now=now, run_id=run_id
        )  # fmt: skip


def end(database, run, owner="w1", *, status="succeeded", now=NOW) -> None:
    with database.write() as session:
        finish_run(session, run, owner=owner, status=status, reason="done", now=now, version=None)


def progress(database, run, owner="w1", *, stage="train", to=0.5) -> None:
    with database.write() as session:
        report_progress(session, run, owner=owner, stage=stage, progress=to)


def told(database) -> list[str]:
    with database.read() as session:
        return [event.kind for event in history(session, "tickets")]


def test_a_run_is_queued_claimed_and_ended_and_its_story_told(queue):
    run = ask(queue)
    claimed = claim(queue)
    assert claimed is not None
    assert (claimed.id, claimed.status, claimed.owner, claimed.attempts) == (run, "running", "w1", 1)
    end(queue, run)
    with queue.read() as session:
        ended = get_run(session, run)
    assert (ended.status, ended.progress, ended.lease_until, ended.ended_at) == ("succeeded", 1.0, None, NOW)
    assert told(queue) == ["run_queued", "run_started", "run_succeeded"]
    assert claim(queue) is None


def test_a_model_has_one_open_run_at_a_time(queue):
    run = ask(queue)
    with pytest.raises(Conflict, match=f"open run already: {run}"):
        ask(queue)
    claim(queue)
    with pytest.raises(Conflict, match="open run already"):
        ask(queue)
    ask(queue, "other")
    end(queue, run)
    assert ask(queue) != run


def test_a_tuned_base_and_another_one_than_the_models_are_refused_at_once(queue):
    with queue.write() as session:
        tuned, other = base(), base()
        tuned.name, tuned.parent, other.name = "tickets.tuned", "minilm", "larger"
        for one in (tuned, other):
            add_base(session, one)
        register_version(session, NewVersion("tickets", "minilm", "adapters/a", 8, ("a", "b")), by="ann", now=NOW)
    for name, told in (
        ("tickets.tuned", "was tuned for one version and is not trained on; train on base 'minilm'"),
        ("larger", "model 'tickets' stands on base 'minilm'; train on that, or under another model name"),
    ):
        with pytest.raises(Refused, match=told), queue.write() as session:
            enqueue_run(session, NewRun("tickets", name, "a test", "lora", {}), by="ann", now=NOW)


def test_of_two_who_ask_at_the_same_moment_one_is_told_of_the_other(queue):
    outcomes = all_at_once([lambda: ask(queue)] * 4)
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 3, outcomes
    with queue.read() as session:
        assert len(list_runs(session, "tickets")) == 1


def test_the_oldest_run_goes_first(queue):
    second = ask(queue, "b", now=NOW + timedelta(seconds=1))
    first = ask(queue, "a")
    claimed = [claim(queue), claim(queue), claim(queue)]
    assert [run and run.id for run in claimed] == [first, second, None]


def test_what_could_be_claimed_is_waiting_and_nothing_else(queue):
    def waiting(now=NOW):
        with queue.read() as session:
            return is_run_waiting(session, now=now)

    assert not waiting()
    run = ask(queue)
    assert waiting()
    claim(queue)
    assert not waiting()
    assert waiting(EXPIRED), "its worker fell silent"
    end(queue, run)
    assert not waiting(EXPIRED)


def test_workers_at_the_same_moment_never_get_the_same_run(queue):
    asked = {ask(queue, f"m{i}", now=NOW + timedelta(seconds=i)) for i in range(3)}
    claimed = all_at_once([lambda i=i: claim(queue, f"w{i}") for i in range(5)])
    got = [run.id for run in claimed if run is not None]
    assert len(got) == len(set(got))
    got += [run.id for run in iter(lambda: claim(queue), None)]  # a worker that met a locked row looks again
    assert set(got) == asked


def test_a_worker_that_is_alive_keeps_its_run(queue):
    run = ask(queue)
    claim(queue)
    with queue.write() as session:
        renew_lease(session, run, owner="w1", lease_s=LEASE_S, now=EXPIRED - timedelta(seconds=2))
    assert claim(queue, "w2", now=EXPIRED) is None


def test_a_silent_workers_run_is_taken_over_and_the_first_one_notices(queue):
    run = ask(queue)
    claim(queue)
    taken = claim(queue, "w2", now=EXPIRED)
    assert taken is not None
    assert (taken.id, taken.owner, taken.started_at) == (run, "w2", NOW)
    assert told(queue)[-1] == "run_resumed"
    with pytest.raises(LeaseLost, match="not held by w1"), queue.write() as session:
        renew_lease(session, run, owner="w1", lease_s=LEASE_S, now=EXPIRED)
    for too_late in (lambda: progress(queue, run), lambda: end(queue, run)):
        with pytest.raises(LeaseLost, match="not held by w1"):
            too_late()
    end(queue, run, "w2")


def test_a_run_that_ended_cannot_end_again(queue):
    run = ask(queue)
    claim(queue)
    end(queue, run)
    with pytest.raises(LeaseLost):
        end(queue, run, status="failed")
    assert told(queue)[-1] == "run_succeeded"


def test_a_run_that_never_gets_anywhere_fails_and_says_so(queue):
    run = ask(queue)
    now = NOW
    for attempt in range(3):
        taken = claim(queue, now=now)
        assert taken is not None
        assert taken.attempts == attempt + 1
        now += timedelta(seconds=LEASE_S + 1)
    assert claim(queue, now=now) is None
    with queue.read() as session:
        failed = get_run(session, run)
    assert (failed.status, failed.owner) == ("failed", None)
    assert failed.reason == "started 3 times without progress in 'queued'"


def test_a_run_that_fails_so_does_not_hide_the_next_one(queue):
    ask(queue)
    claim(queue)
    following = ask(queue, "other", now=NOW + timedelta(seconds=1))
    taken = claim(queue, "w2", now=EXPIRED, max_attempts=1)
    assert taken is not None
    assert taken.id == following


def test_progress_gives_a_run_its_attempts_back_repeating_does_not(queue):
    run = ask(queue)
    claim(queue)
    progress(queue, run, to=0.5)
    claim(queue, "w2", now=EXPIRED)
    progress(queue, run, "w2", to=0.3)  # goes over what was done already
    with queue.read() as session:
        assert (get_run(session, run).attempts, get_run(session, run).progress) == (2, 0.5)
    progress(queue, run, "w2", to=0.6)
    with queue.read() as session:
        assert (get_run(session, run).attempts, get_run(session, run).progress) == (1, 0.6)


def test_a_certain_run_can_be_claimed(queue):
    ask(queue, "a")
    wanted = ask(queue, "b", now=NOW + timedelta(seconds=1))
    taken = claim(queue, run_id=wanted)
    assert taken is not None
    assert taken.id == wanted
    assert claim(queue, run_id=wanted) is None


def test_a_step_that_is_trained_again_replaces_its_figures(queue):
    run = ask(queue)
    for loss in (0.9, 0.4):
        with queue.write() as session:
            add_metrics(session, run, 1, {"loss": loss, "accuracy": 1 - loss})
    with queue.read() as session:
        assert [(m.step, m.name, m.value) for m in run_metrics(session, run)] == [
            (1, "accuracy", 0.6),
            (1, "loss", 0.4),
        ]


def test_a_rollout_is_begun_once(queue):
    for _ in range(2):
        with queue.write() as session:
            begun = open_rollout(session, "tickets", candidate=2, production=1, run=None, now=NOW)
    with queue.read() as session:
        assert [rollout.id for rollout in list_rollouts(session, "tickets")] == [begun.id]


def test_the_newest_run_of_a_model_and_an_unknown_one(queue):
    run = ask(queue)
    with queue.read() as session:
        assert last_run(session, "other") is None
        newest = last_run(session, "tickets")
        assert newest is not None
        assert newest.id == run
        with pytest.raises(NotFound, match=rf"did you mean '{run}'\?"):
            get_run(session, run[:-1])
