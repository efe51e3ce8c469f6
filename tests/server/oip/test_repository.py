import shutil
from dataclasses import replace

from server.oip import repository
from store.clock import utc_now
from store.versions import archive_version
from tests.server.conftest import TEXT, Start
from tests.server.oip.asking import body, outputs, refused
from tests.waiting import until


def states(server, **asked):
    answer = server.post("/v2/repository/index", asked or None)
    assert answer.status_code == 200, answer.text
    return [(entry["name"], entry["version"], entry["state"], entry["reason"]) for entry in answer.json()]


def test_the_index_names_every_version(server):
    everything = [("tickets", "1", "READY", ""), ("tickets", "2", "READY", "")]
    assert states(server) == everything
    assert states(server, ready=True) == everything
    refused(server.post("/v2/repository/index", {"ready": "maybe"}), 422, "ready")


def test_an_unloaded_model_is_out_of_service_until_it_is_loaded_again(start: Start):
    server = start()
    assert (
        server.post("/v2/repository/models/tickets/unload", {"parameters": {"unload_dependents": False}}).json() == {}
    )
    why = "unloaded; load it with POST /v2/repository/models/tickets/load"
    refused(server.infer(body(TEXT)), 503, why)
    refused(server.get("/v2/models/tickets/ready"), 503, why)
    assert states(server) == [("tickets", number, "UNAVAILABLE", "unloaded") for number in "12"]
    assert states(server, ready=True) == []
    assert server.post("/v2/repository/models/tickets/unload").json() == {}, "again changes nothing"

    assert server.post("/v2/repository/models/tickets/load", {}).json() == {}
    assert outputs(server.infer(body(TEXT)))
    assert server.get("/v2/models/tickets/ready").status_code == 200
    events = server.get("/v1/models/tickets/history").json()["events"]
    assert [event["kind"] for event in events][-2:] == ["unloaded", "loaded"]


def test_a_second_server_follows(start: Start):
    one, other = start(), start()
    assert outputs(other.infer(body(TEXT)))
    one.post("/v2/repository/models/tickets/unload")
    assert until(lambda: other.infer(body(TEXT)).status_code == 503)
    other.post("/v2/repository/models/tickets/load")
    assert until(lambda: one.infer(body(TEXT)).status_code == 200)


def test_the_index_tells_what_is_not_there_yet_and_what_is_gone(start: Start):
    server = start(deployment_poll_s=1.0)
    with server.database.write() as session:
        archive_version(session, "tickets", 2, by="ann", now=utc_now())
    assert ("tickets", "2", "UNAVAILABLE", "archived") in states(server)
    until(lambda: server.parts.router.route("tickets").revision == 2)
    assert server.get("/v2/models/tickets").json()["versions"] == ["1"]


def test_only_what_exists_can_be_loaded_and_only_as_it_is(server):
    refused(server.post("/v2/repository/models/ticket/load"), 404, "did you mean 'tickets'?")
    refused(server.post("/v2/repository/models/ticket/unload"), 404, "did you mean 'tickets'?")
    asked = {"parameters": {"config": "{}"}}
    refused(server.post("/v2/repository/models/tickets/load", asked), 422, "'config' cannot be given on load")
    refused(server.post("/v2/repository/models/tickets/load", []), 422, "body")
    refused(server.post("/v2/repository/models/tickets/load", content=b"{"), 400, "not valid JSON")


def test_a_version_that_this_server_has_not_followed_yet_is_loading(server):
    ahead = server.parts.router.route("tickets")
    ahead = replace(ahead, revision=ahead.revision + 1)
    entry = repository._entry(server.parts, ahead, 1, "ready")
    assert (entry.state, entry.reason) == ("LOADING", "this server is loading it")
    assert repository._entry(server.parts, ahead, 2, "ready").state == "READY"
    assert repository._entry(server.parts, replace(ahead, model="new"), 1, "ready").state == "LOADING"


def test_a_model_that_cannot_be_loaded_is_unavailable_and_load_says_why(start: Start, tmp_path, tiny, adapters):
    root, shared = tmp_path / "artifacts", tiny.bundle.parents[1]
    for key in (tiny.artifact, *(new.adapter_artifact for new in adapters)):
        shutil.copytree(shared / key, root / key)
    (root / adapters[0].adapter_artifact / "labels.json").unlink()
    server = start(artifacts_url=str(root))
    refused(server.post("/v2/repository/models/tickets/load"), 503, "labels.json is missing")
    (one, two) = states(server)
    assert one[:3] == ("tickets", "1", "UNAVAILABLE")
    assert "labels.json is missing" in one[3]
    assert two == ("tickets", "2", "READY", "")
