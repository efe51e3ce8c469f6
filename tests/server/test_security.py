import base64

import pytest

from store.checks import add_check
from store.clock import utc_now
from store.keys import create_key, revoke_key
from store.predictions import add_predictions
from tests.server.conftest import Server, Start
from tests.server.problems import problem
from tests.store.rows import check, prediction, prediction_id
from tests.waiting import until

NO_ID = "tickets:1:" + "0" * 32
ROUTES = {
    "predict": [("POST", "/v1/models/tickets/predict"), ("POST", "/v2/models/tickets/infer")],
    "feedback": [("POST", "/v1/feedback")],
    "review": [("GET", "/v1/review/next?model=tickets"), ("POST", f"/v1/review/{NO_ID}")],
    "admin": [("POST", "/v1/models/tickets/versions/2/promote"), ("POST", "/v1/models/tickets/rollback")],
    None: [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/tickets"),
        ("GET", "/v1/models/tickets/history"),
        ("GET", "/v1/models/tickets/drift"),
        ("GET", "/v1/runs/x"),
        ("GET", "/v2/models/tickets"),
        ("GET", "/v2/models/tickets/ready"),
        ("GET", "/"),
        ("GET", "/models/tickets"),
        ("GET", "/models/tickets/drift"),
        ("GET", "/drift/x"),
    ],
}
OPEN = [
    "/advisor",
    "/static/advice.js",
    "/static/console.css",
    "/healthz",
    "/readyz",
    "/metrics",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/docs",
    "/openapi.json",
]


def make_key(server: Server, *scopes: str) -> tuple[str, str]:
    """Secret and id of a new key, once the server knows it."""
    with server.database.write() as session:
        secret, key = create_key(session, scopes, note="test", now=utc_now())
    until(lambda: server.get("/v1/models", headers=bearer(secret)).status_code == 200 and server.parts.keys.needed)
    until(lambda: server.get("/v1/models").status_code == 401)
    return secret, key.id


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def secrets(server) -> dict[str, str]:
    """A key for each scope."""
    return {scope: make_key(server, scope)[0] for scope in ("predict", "feedback", "review", "admin")}


@pytest.mark.parametrize(
    "path", ["/v1/models/tickets/predict%0A", "/v2/models/tickets/infer%0A", "/v1//models/tickets/predict"]
)
def test_no_spelling_of_a_hot_path_gets_round_the_key(server, secrets, path):
    answer = server.post(path, {"inputs": ["where is my parcel?"]})
    assert answer.status_code in (401, 404), answer.text
    assert "label" not in answer.text


ALL = [(scope, method, path) for scope, routes in ROUTES.items() for method, path in routes]


@pytest.mark.parametrize(("scope", "method", "path"), ALL)
def test_a_route_wants_a_key_of_its_scope(server, secrets, scope, method, path):
    def ask(headers):
        return server.http.request(method, path, headers=headers)

    keyless = ask({})
    assert keyless.status_code == 401
    assert keyless.headers["www-authenticate"].startswith("Basic realm=")
    assert ask(bearer("dg_wrong")).status_code == 401
    for owned, secret in secrets.items():
        allowed = scope in (None, owned) or owned == "admin"
        assert (ask(bearer(secret)).status_code not in (401, 403)) == allowed, owned
        assert allowed or ask(bearer(secret)).status_code == 403


def test_what_callers_sent_is_on_the_drift_page_for_those_who_may_review_it(server, secrets):
    text = "the parcel of Mrs Quibbo was opened"
    with server.database.write() as session:
        add_predictions(session, [prediction(7, input=text)])
        add_check(session, check(verdict="drift", decision={"action": "none", "telling": [prediction_id(7)]}))
    for owned, secret in secrets.items():
        page = server.get("/models/tickets/drift", headers=bearer(secret)).text
        assert "Where it shows most" in page
        assert (text in page) == (owned in ("review", "admin")), owned
        assert ("takes a key with the scope <code>review</code>" in page) == (text not in page), owned


def test_a_refusal_is_a_problem_that_tells_what_to_do(server, secrets):
    problem(server.predict(), 401, "Authorization: Bearer dg_", "driftgate keys create")
    problem(server.get("/v1/models", headers=bearer("dg_guess")), 401, "unknown or revoked")
    forbidden = server.post("/v1/models/tickets/rollback", headers=bearer(secrets["predict"]))
    problem(forbidden, 403, "scope predict; admin is needed")
    assert set(server.infer({}).json()) == {"error"}


@pytest.mark.parametrize("path", OPEN)
def test_probes_and_descriptions_need_no_key(server, secrets, path):
    assert server.get(path).status_code == 200


def test_a_key_may_come_as_header_as_bearer_or_as_a_browsers_password(server, secrets):
    basic = base64.b64encode(f"anybody:{secrets['predict']}".encode()).decode()
    for headers in (
        {"X-API-Key": secrets["predict"]},
        {"Authorization": f"bearer  {secrets['predict']}"},
        {"Authorization": f"Basic {basic}"},
    ):
        assert server.get("/", headers=headers).status_code == 200, headers


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Basic",
        b"Basic !!!",
        b"Basic \xe9\xe9\xe9\xe9",
        b"Basic " + base64.b64encode(b"\xff\xfe"),
        b"Basic " + base64.b64encode(b"no colon"),
        b"Digest x",
        b"Bearer " + b"x" * 8000,
    ],
)
def test_no_credentials_however_broken_open_the_door(server, secrets, value):
    assert server.get("/v1/models", headers={b"Authorization": value}).status_code == 401


def test_a_revoked_key_ends_within_seconds_and_the_last_one_opens_no_door(start: Start):
    server = start()
    assert server.get("/v1/models").status_code == 200, "nobody has made a key yet"
    secret, key = make_key(server, "admin")
    with server.database.write() as session:
        revoke_key(session, key, now=utc_now())
    until(lambda: server.get("/v1/models", headers=bearer(secret)).status_code == 401, within_s=2 + 4)
    problem(server.predict(), 401)
    server.stop()
    problem(start().predict(), 401)
