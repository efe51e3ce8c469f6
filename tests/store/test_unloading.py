import pytest

from store.errors import NotFound
from store.events import history
from store.versions import get_deployment, promote, routes, set_unloaded, version_states
from tests.store.conftest import NOW
from tests.store.rows import add_model


@pytest.fixture
def tickets(database):
    add_model(database, "tickets", versions=2)
    return database


def switch(database, unloaded, model="tickets") -> int:
    with database.write() as session:
        return set_unloaded(session, model, unloaded, by="ann", now=NOW).revision


def test_unloading_and_loading_are_deployments_of_their_own_and_are_told(tickets):
    with tickets.write() as session:
        promote(session, "tickets", 2, by="ann", reason="better", now=NOW)
    assert [switch(tickets, unloaded) for unloaded in (True, True, False, False)] == [2, 2, 3, 3], "again is nothing"
    with tickets.read() as session:
        assert [(event.kind, event.by) for event in history(session, "tickets")][-2:] == [
            ("unloaded", "ann"),
            ("loaded", "ann"),
        ]
        deployment = get_deployment(session, "tickets")
        assert (deployment.production, deployment.unloaded) == (2, False), "what is deployed stays"


def test_servers_see_it_in_the_route_and_a_promotion_does_not_change_it(tickets):
    switch(tickets, True)
    with tickets.write() as session:
        promote(session, "tickets", 1, by="ann", reason="better", now=NOW)
    with tickets.read() as session:
        (route,) = routes(session)
        assert (route.production, route.unloaded) == (1, True)


def test_only_a_model_that_exists_can_be_unloaded(tickets):
    with pytest.raises(NotFound, match="did you mean 'tickets'"):
        switch(tickets, True, "ticket")


def test_versions_are_listed_with_their_state(tickets):
    add_model(tickets, "orders", versions=1)
    with tickets.read() as session:
        assert version_states(session) == [("orders", 1, "ready"), ("tickets", 1, "ready"), ("tickets", 2, "ready")]
        assert version_states(session, "orders") == [("orders", 1, "ready")]
        assert version_states(session, "nothing") == []
