import asyncio

import pytest
from starlette.exceptions import HTTPException

from server.counting import counted
from server.problems import CallerGone
from store.errors import BadInput, Busy


@pytest.fixture(autouse=True)
def ready(server):
    assert server.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("no"), "422"),
        (Busy("later"), "429"),
        (CallerGone("gone"), "499"),
        (asyncio.CancelledError(), "499"),
        (HTTPException(415), "415"),
        (ZeroDivisionError(), "500"),
    ],
)
def test_a_request_that_fails_counts_by_its_status(server, error, code):
    def count() -> float:
        return server.metric("driftgate_requests_total", model="tickets", version="none", code=code)

    def answer() -> None:
        with counted(server.parts, "tickets") as outcome:
            outcome.version = "1"
            raise error

    before = count()
    with pytest.raises(type(error)):
        answer()
    assert count() == before + 1


def test_an_answer_counts_by_its_version_and_an_unknown_model_as_unknown(server):
    for model, shown in (("tickets", "tickets"), ("nothing", "unknown")):
        before = server.metric("driftgate_requests_total", model=shown, version="2", code="200")
        with counted(server.parts, model) as outcome:
            outcome.version = "2"
        assert server.metric("driftgate_requests_total", model=shown, version="2", code="200") == before + 1
