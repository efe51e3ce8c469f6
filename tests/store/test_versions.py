import pytest

from store.bases import add_base, get_base
from store.errors import BadInput, Conflict, NotFound, Refused
from store.events import history
from store.records import Deployment, Version
from store.versions import (
    NewVersion,
    archive_version,
    check_name,
    forget_precision_checks,
    get_deployment,
    get_version,
    keep_precision_checks,
    list_models,
    list_versions,
    promote,
    register_version,
    rollback,
    routes,
    served_version,
)
from tests.store.conftest import NOW
from tests.store.rows import add_model, base
from tests.threads import all_at_once


@pytest.fixture
def tickets(database):
    """A model with three versions, none deployed."""
    add_model(database, "tickets", versions=3)
    return database


def put(database, number, **options) -> Deployment:
    with database.write() as session:
        return promote(session, "tickets", number, by="ann", reason="better", now=NOW, **options)


def back(database) -> Deployment:
    with database.write() as session:
        return rollback(session, "tickets", by="ann", reason="worse", now=NOW)


def state(database) -> tuple[int | None, int | None, int]:
    with database.read() as session:
        row = get_deployment(session, "tickets")
        return row.production, row.previous, row.revision


def test_a_new_model_is_deployed_nowhere_and_its_versions_count_from_one(tickets):
    assert state(tickets) == (None, None, 0)
    with tickets.read() as session:
        assert [version.number for version in list_versions(session, "tickets")] == [1, 2, 3]


def test_promote_and_roll_back_go_to_and_fro_and_tell_it(tickets):
    put(tickets, 1)
    assert state(tickets) == (1, None, 1)
    put(tickets, 3)
    assert state(tickets) == (3, 1, 2)
    back(tickets)
    assert state(tickets) == (1, 3, 3)
    back(tickets)
    assert state(tickets) == (3, 1, 4)
    with tickets.read() as session:
        told = [(event.kind, event.version, event.message) for event in history(session, "tickets")]
    better, worse = [("promoted", n, "better") for n in (1, 3)], [("rolled_back", n, "worse") for n in (1, 3)]
    assert told == better + worse


def test_a_promotion_ends_the_rollout(tickets):
    with tickets.write() as session:
        row = get_deployment(session, "tickets")
        row.candidate, row.stage, row.traffic_share = 2, "canary", 0.1
    put(tickets, 2)
    with tickets.read() as session:
        (route,) = routes(session)
    assert (route.production, route.candidate, route.stage, route.traffic_share) == (2, None, "none", 0.0)


def test_what_is_in_production_cannot_be_promoted_again(tickets):
    put(tickets, 1)
    with pytest.raises(Conflict, match="version 1 of 'tickets' is in production already"):
        put(tickets, 1)
    assert state(tickets) == (1, None, 1)


def test_without_an_earlier_version_there_is_no_way_back(tickets):
    put(tickets, 1)
    with pytest.raises(Conflict, match="no earlier production version"):
        back(tickets)


def test_a_decision_on_an_older_revision_is_a_conflict_and_changes_nothing(tickets):
    put(tickets, 1)
    put(tickets, 2)
    with pytest.raises(Conflict, match="changed meanwhile"):
        put(tickets, 3, seen_revision=1)
    assert state(tickets) == (2, 1, 2)
    with tickets.read() as session:
        assert len(history(session, "tickets")) == 2, "what did not happen is not told"


@pytest.mark.parametrize("round_", range(5))
def test_of_two_promotions_on_the_same_revision_exactly_one_wins(tickets, round_):
    put(tickets, 1)
    outcomes = all_at_once([lambda n=n: put(tickets, n, seen_revision=1).production for n in (2, 3)])
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, int)]
    (loser,) = [outcome for outcome in outcomes if not isinstance(outcome, int)]
    assert isinstance(loser, Conflict)
    assert state(tickets) == (winner, 1, 2)
    with tickets.read() as session:
        assert [event.version for event in history(session, "tickets")] == [1, winner]


@pytest.mark.parametrize("round_", range(5))
def test_a_version_is_never_both_archived_and_deployed(tickets, round_):
    put(tickets, 1)

    def archive() -> None:
        with tickets.write() as session:
            archive_version(session, "tickets", 2, by="bob", now=NOW)

    outcomes = all_at_once([archive, lambda: put(tickets, 2).production])
    assert sum(isinstance(outcome, Conflict | Refused) for outcome in outcomes) == 1, outcomes
    with tickets.read() as session:
        archived = get_version(session, "tickets", 2).state == "archived"
    assert archived == (state(tickets)[0] == 1)


def test_an_archived_version_is_out_of_service_for_good(tickets):
    put(tickets, 1)
    put(tickets, 2)
    before = state(tickets)[2]
    with tickets.write() as session:
        archive_version(session, "tickets", 1, by="ann", now=NOW)
    assert state(tickets) == (2, None, before + 1), "servers notice by the revision, and there is no way back to it"
    with pytest.raises(Refused, match="version 1 of 'tickets' is archived"):
        put(tickets, 1)
    with pytest.raises(Refused, match="is not served any more"), tickets.read() as session:
        served_version(session, "tickets", 1)


@pytest.mark.parametrize("role", ["production", "candidate"])
def test_what_is_deployed_cannot_be_archived(tickets, role):
    with tickets.write() as session:
        setattr(get_deployment(session, "tickets"), role, 2)
    with pytest.raises(Conflict, match="version 2 of 'tickets' is deployed"), tickets.write() as session:
        archive_version(session, "tickets", 2, by="ann", now=NOW)


def test_a_wrong_name_brings_the_near_ones(tickets):
    with tickets.read() as session:
        for name, said in [
            ("ticket", "no model 'ticket'; did you mean 'tickets'?"),
            ("zzz", "no model 'zzz'; known: tickets"),
            ("a\x00b", "known: tickets"),
            ("x" * 5000, r"x\.\.\.'; known: tickets"),
        ]:
            with pytest.raises(NotFound, match=said) as unknown:
                get_deployment(session, name)
            assert len(str(unknown.value)) < 200


@pytest.mark.parametrize("number", [0, -1, 4, 2**31, 10**30])
def test_a_version_that_does_not_exist_brings_those_that_do(tickets, number):
    with pytest.raises(NotFound, match=r"known: 1, 2, 3|did you mean '1'"), tickets.read() as session:
        get_version(session, "tickets", number)


def test_a_version_names_all_that_serving_needs(tickets):
    with tickets.read() as session:
        served = served_version(session, "tickets", 2)
    assert (served.base, served.base_artifact) == ("minilm", "bases/minilm")
    assert (served.adapter_artifact, served.labels) == ("adapters/tickets-1", ("billing", "refund"))


def test_a_model_stays_on_its_base(tickets):
    with tickets.write() as session:
        add_base(session, base("other"))
    with pytest.raises(Refused, match="'tickets' stands on base 'minilm'"), tickets.write() as session:
        register_version(session, NewVersion("tickets", "other", "adapters/x", 8, ("a", "b")), by="t", now=NOW)


def test_the_same_adapter_may_be_two_versions(tickets):
    again = NewVersion("tickets", "minilm", "adapters/tickets-0", 8, ("billing", "refund"))
    with tickets.write() as session:
        assert register_version(session, again, by="test", now=NOW) == 4
    with tickets.read() as session:
        numbers = {version.adapter: version.number for version in list_versions(session, "tickets")}
    assert len(numbers) == 3


@pytest.mark.parametrize("model", ["tickets", "brand-new"])
def test_registrations_at_the_same_moment_get_numbers_of_their_own(tickets, model):
    def register(i: int) -> int:
        with tickets.write() as session:
            new = NewVersion(model, "minilm", f"adapters/race-{i}", 8, ("a", "b"))
            return register_version(session, new, by="test", now=NOW)

    numbers = all_at_once([lambda i=i: register(i) for i in range(4)])
    first = 4 if model == "tickets" else 1
    assert sorted(numbers) == list(range(first, first + 4))


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a b", "a/b", "ä", "a" * 65, "a\x00", "a\n"])
def test_a_name_must_fit_a_path_and_a_label(name):
    with pytest.raises(BadInput, match="is not usable"):
        check_name(name)


def test_models_are_listed_by_name(tickets):
    add_model(tickets, "alarms")
    with tickets.read() as session:
        assert [row.model for row in list_models(session)] == ["alarms", "tickets"]


def test_a_base_does_not_change_under_its_name(database):
    for _ in range(2):
        with database.write() as session:
            add_base(session, base())
    other = base()
    other.spec = {**other.spec, "max_rank": 4}
    with pytest.raises(Conflict, match="choose another --name"), database.write() as session:
        add_base(session, other)
    with pytest.raises(NotFound, match="did you mean 'minilm'"), database.read() as session:
        get_base(session, "minlm")


def test_a_base_that_is_imported_again_is_served_as_it_is_exported_now(tickets):
    """So that a store outlives a new way of exporting: its versions go on, on the new graph."""
    with tickets.write() as session:
        add_base(session, base(artifact="bases/b"))
    with tickets.read() as session:
        assert served_version(session, "tickets", 1).base_artifact == "bases/b"


def test_rows_of_a_version_cannot_hang_in_the_air(database):
    with pytest.raises(Exception, match=r"(?i)foreign key"), database.write() as session:
        session.add(
            Version(
                model="nobody", number=1, adapter="x", run=None, snapshot=None, evaluation={}, state="ready",
                created_at=NOW,
            )
        )  # fmt: skip


def test_a_precision_check_joins_the_evaluation_and_a_deployed_version_gets_a_new_revision(tickets):
    put(tickets, 1)

    def keep(number: int, checks: dict) -> None:
        with tickets.write() as session:
            keep_precision_checks(session, "tickets", number, checks, reason="int8 passed", by="ann", now=NOW)

    keep(1, {"int8": {"rows": 700, "lost": 0, "gained": 0}})
    keep(1, {"bf16": {"rows": 700, "lost": 1, "gained": 0}})
    assert state(tickets) == (1, None, 3)
    keep(2, {"int8": {"rows": 10, "lost": 0, "gained": 0}})
    assert state(tickets) == (1, None, 3)
    with tickets.read() as session:
        served = served_version(session, "tickets", 1)
        assert set(served.precision_checks) == {"int8", "bf16"}
        assert served_version(session, "tickets", 3).precision_checks == {}
        told = [(e.kind, e.version, e.message) for e in history(session, "tickets")]
    assert told[1:] == [("precision_checked", n, "int8 passed") for n in (1, 1, 2)]


def test_another_graph_of_a_base_forgets_what_was_checked_on_the_one_before(tickets):
    put(tickets, 1)
    checks = {"int8": {"rows": 700, "lost": 0, "gained": 0}}
    for number in (1, 2):
        with tickets.write() as session:
            keep_precision_checks(session, "tickets", number, checks, reason="int8 passed", by="ann", now=NOW)
    revision = state(tickets)[2]
    with tickets.write() as session:
        assert not add_base(session, base()), "it is the same graph"
        assert add_base(session, base(artifact="bases/another"))
        forgotten = forget_precision_checks(session, "minilm", reason="new graph", by="ann", now=NOW)
    assert forgotten == ["tickets:1", "tickets:2"]
    assert state(tickets)[2] == revision + 1, "servers look again"
    with tickets.read() as session:
        served = served_version(session, "tickets", 1)
        assert (served.base_artifact, served.precision_checks) == ("bases/another", {})
        assert [e.message for e in history(session, "tickets")][-2:] == ["new graph"] * 2


def test_a_base_keeps_the_speeds_that_were_measured_last(tickets):
    with tickets.write() as session:
        add_base(session, base(speeds={"fp32": 4000.0, "int8": 9000.0}))
    with tickets.write() as session:
        add_base(session, base())
    with tickets.read() as session:
        assert served_version(session, "tickets", 1).base_speeds == {"fp32": 4000.0, "int8": 9000.0}
