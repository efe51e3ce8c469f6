import pytest
from alembic import command
from sqlalchemy import column, delete, insert, table, text, update
from sqlalchemy.exc import DBAPIError

from store.bases import add_base, approve_base, base_story, get_base, retire_base, tell_of_base
from store.database import Database
from store.errors import BadInput, Conflict, NotFound, Refused, StoreUnavailable
from store.events import history
from store.migrate import migration_config
from store.records import Base, BaseEvent
from store.runs import NewRun, enqueue_run
from store.versions import get_deployment, promote, rollback
from tests.store.conftest import NOW
from tests.store.rows import add_model, base
from tests.threads import all_at_once


@pytest.fixture
def candidate(database):
    """A base as it is imported."""
    with database.write() as session:
        add_base(session, base(state="candidate"))
    return database


def approve(database, why="read its card") -> str:
    with database.write() as session:
        return approve_base(session, "minilm", why=why, by="ann", now=NOW).state


def retire(database, why="replaced") -> str:
    with database.write() as session:
        return retire_base(session, "minilm", why=why, by="bob", now=NOW).state


def put(database, number):
    with database.write() as session:
        promote(session, "tickets", number, by="ann", reason="better", now=NOW)


def ask_for_run(database, **parameters):
    with database.write() as session:
        return enqueue_run(session, NewRun("tickets", "minilm", "drift", "lora", parameters), by="t", now=NOW).id


def test_a_base_that_nobody_said_more_of_is_a_candidate(database):
    fresh = base()
    fresh.state = None
    with database.write() as session:
        add_base(session, fresh)
    with database.read() as session:
        found = get_base(session, "minilm")
    assert (found.state, found.card, found.profile, found.parent) == ("candidate", {}, {}, None)


def test_states_are_told_with_who_and_why_and_one_may_come_back(candidate):
    assert approve(candidate) == "approved"
    assert retire(candidate) == "retired"
    assert approve(candidate, " the new one was worse ") == "approved"
    with candidate.read() as session:
        told = [(event.kind, event.by, event.message) for event in base_story(session, "minilm")]
    assert told == [
        ("approved", "ann", "read its card"),
        ("retired", "bob", "replaced"),
        ("approved", "ann", "the new one was worse"),
    ]


@pytest.mark.parametrize("step", [approve, retire])
def test_a_step_needs_a_reason_a_base_and_a_change(candidate, step):
    with pytest.raises(BadInput, match="say why"):
        step(candidate, " ")
    step(candidate)
    with pytest.raises(Conflict, match="already"):
        step(candidate)
    with candidate.read() as session:
        assert len(base_story(session, "minilm")) == 1, "what did not happen is not told"


def test_an_unknown_base_has_no_state(database):
    with pytest.raises(NotFound, match="no base 'minilm'"):
        approve(database)


@pytest.mark.parametrize("round_", range(3))
def test_of_two_approvals_at_once_one_is_told(candidate, round_):
    outcomes = all_at_once([lambda: approve(candidate)] * 3)
    assert outcomes.count("approved") == 1
    with candidate.read() as session:
        assert len(base_story(session, "minilm")) == 1


@pytest.mark.parametrize("change", [update(BaseEvent).values(message="nicer"), delete(BaseEvent)])
def test_the_story_of_a_base_can_only_grow(candidate, change):
    approve(candidate)
    with pytest.raises((DBAPIError, StoreUnavailable), match="append-only"), candidate.write() as session:
        session.execute(change)
    with candidate.read() as session:
        assert [event.message for event in base_story(session, "minilm")] == ["read its card"]


def test_a_new_import_keeps_the_state_and_what_it_does_not_measure_anew(candidate):
    approve(candidate)
    with candidate.write() as session:
        add_base(session, base(state="candidate", card={"benchmarks": []}, profile={"cores": 2}))
    with candidate.write() as session:
        add_base(session, base(state="candidate"))
    with candidate.read() as session:
        found = get_base(session, "minilm")
    assert (found.state, found.card, found.profile) == ("approved", {"benchmarks": []}, {"cores": 2})


@pytest.fixture
def tickets(database):
    """A model with three versions on `minilm`, which is approved."""
    add_model(database, "tickets", versions=3)
    return database


def set_state(database, state):
    with database.write() as session:
        get_base(session, "minilm").state = state


@pytest.mark.parametrize(("state", "said"), [("candidate", "is a candidate"), ("retired", "is retired")])
def test_a_version_is_promoted_only_on_an_approved_base(tickets, state, said):
    set_state(tickets, state)
    with pytest.raises(Refused, match=rf"'minilm', which {said}; .*driftgate base approve minilm --why"):
        put(tickets, 1)
    with tickets.read() as session:
        assert get_deployment(session, "tickets").production is None
        assert history(session, "tickets") == []
    set_state(tickets, "approved")
    put(tickets, 1)


def test_on_a_retired_base_one_can_still_go_back(tickets):
    put(tickets, 1)
    put(tickets, 2)
    retire(tickets)
    with tickets.write() as session:
        assert rollback(session, "tickets", by="ann", reason="worse", now=NOW).production == 1


def test_a_run_for_production_needs_an_approved_base_and_none_runs_on_a_retired_one(tickets):
    set_state(tickets, "candidate")
    with pytest.raises(Refused, match="only approved bases train for production"):
        ask_for_run(tickets)
    assert ask_for_run(tickets, promote=False)
    set_state(tickets, "retired")
    for parameters in ({}, {"promote": False}):
        with pytest.raises(Refused, match="retired and nothing new is trained on it"):
            ask_for_run(tickets, **parameters)


def test_bases_of_before_were_in_use_and_are_approved(empty_settings):
    database = Database(empty_settings.database)
    config = migration_config()
    new = ("state", "card", "profile", "parent")
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        row = base()
        old = table("bases", *(column(c.name, c.type) for c in Base.__table__.columns if c.name not in new))
        values = {c.name: getattr(row, c.name) for c in old.columns}
        connection.execute(insert(old).values({**values, "speeds": {"fp32": 4000.0}}))
    database.upgrade()
    with database.read() as session:
        found = get_base(session, "minilm")
        (event,) = base_story(session, "minilm")
    assert (found.state, found.card, found.profile, found.parent) == ("approved", {}, {}, None)
    assert (event.kind, event.message) == ("approved", "it was in use before bases had states")
    assert event.at.tzinfo is not None
    database.close()


def test_a_base_can_be_taken_back_to_the_schema_before(empty_settings):
    database = Database(empty_settings.database)
    database.upgrade()
    with database.write() as session:
        add_base(session, base())
        session.flush()
        tell_of_base(session, "minilm", "imported", "from here", by="ann", now=NOW)
    config = migration_config()
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
        assert connection.execute(text("SELECT name FROM bases")).scalar() == "minilm"
    database.upgrade()
    with database.read() as session:
        assert [event.kind for event in base_story(session, "minilm")] == ["approved"]
    database.close()
