import asyncio
import shutil
import threading
from dataclasses import replace

import pytest

from engine.base import spec_from_json
from server.process import open_parts
from store.artifacts import open_artifacts
from store.bases import get_base
from store.clock import utc_now
from store.records import Base
from store.settings import load_settings
from store.versions import archive_version, keep_precision_checks, promote, register_version, set_unloaded
from tests.server.conftest import LABELS, Start
from tests.server.problems import problem
from tests.threads import all_at_once
from tests.waiting import until


@pytest.fixture
def own_artifacts(tmp_path, tiny, adapters):
    """A store of artifacts that a test may damage; the folder of version 2's adapter in it."""
    root, shared = tmp_path / "artifacts", tiny.bundle.parents[1]
    for key in (tiny.artifact, *(new.adapter_artifact for new in adapters)):
        shutil.copytree(shared / key, root / key)
    return root


def test_a_damaged_adapter_leaves_the_version_before_it_in_service(start: Start, own_artifacts, adapters):
    server = start(artifacts_url=str(own_artifacts))
    weights = own_artifacts / adapters[1].adapter_artifact / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    server.promote(2)
    problems = until(lambda: server.get("/readyz").json()["problems"])
    assert "file 'adapter_model.safetensors' has checksum" in problems["tickets"]
    assert server.get("/readyz").status_code == 200, "one bad deployment does not take every model out of service"
    assert server.predict().json()["version"] == 1
    problem(server.predict(version=2), 503, "adapter_model.safetensors")
    weights.write_bytes(whole)  # restored from a backup
    until(lambda: server.predict().json()["version"] == 2)
    assert server.get("/readyz").json()["problems"] == {}


def test_a_server_that_can_load_nothing_is_not_ready_and_says_why(start: Start, own_artifacts, adapters):
    (own_artifacts / adapters[0].adapter_artifact / "labels.json").unlink()
    server = start(artifacts_url=str(own_artifacts))
    not_ready = until(lambda: (r := server.get("/readyz")).json()["problems"] and r)
    assert (not_ready.status_code, not_ready.json()["status"]) == (503, "not ready")
    assert "labels.json is missing" in not_ready.json()["problems"]["tickets"]
    assert server.get("/v2/health/ready").status_code == 503
    assert server.get("/healthz").status_code == 200
    problem(server.predict(), 503, "production version of 'tickets' is not loaded", "labels.json")


def test_a_first_deployment_that_cannot_be_loaded_concerns_its_model_alone(start: Start, own_artifacts, adapters):
    server = start(artifacts_url=str(own_artifacts))
    (own_artifacts / adapters[1].adapter_artifact / "labels.json").unlink()
    with server.database.write() as session:
        number = register_version(session, replace(adapters[1], model="orders"), by="t", now=utc_now())
    until(lambda: "no production version yet" in server.predict(model="orders").text)
    with server.database.write() as session:
        promote(session, "orders", number, by="t", reason="go", now=utc_now())
    until(lambda: "orders" in server.get("/readyz").json()["problems"])
    problem(server.predict(model="orders"), 503, "production version of 'orders' is not loaded", "labels.json")
    assert server.get("/readyz").status_code == 200
    assert server.predict().status_code == 200


def test_a_new_model_that_cannot_be_loaded_takes_no_server_out_of_service(start: Start, own_artifacts, adapters):
    server = start(artifacts_url=str(own_artifacts))
    (own_artifacts / adapters[1].adapter_artifact / "labels.json").unlink()
    with server.database.write() as session:  # as `adapter import --promote` does it
        number = register_version(session, replace(adapters[1], model="orders"), by="t", now=utc_now())
        promote(session, "orders", number, by="t", reason="go", now=utc_now())
    until(lambda: "orders" in server.get("/readyz").json()["problems"])
    assert server.get("/readyz").status_code == 200
    assert server.predict().status_code == 200


def test_what_goes_wrong_with_one_deployment_ends_nothing_else(start: Start, monkeypatch):
    server = start()
    until(lambda: server.get("/readyz").status_code == 200)
    load = server.parts.fleet.load

    def full_disk(*of, **how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(server.parts.fleet, "load", full_disk)  # no disk here can be filled up
    server.promote(2)
    problems = until(lambda: server.get("/readyz").json()["problems"])
    assert "No space left on device" in problems["tickets"]
    answer = server.predict()
    assert answer.json().get("version") == 1, answer.text
    monkeypatch.setattr(server.parts.fleet, "load", load)
    assert server.post("/v2/repository/models/tickets/load").status_code == 200, "whoever asks need not wait"
    assert server.predict().json()["version"] == 2


def test_a_look_that_is_cancelled_leaves_its_work_to_the_next_one(tmp_path, tiny, stocked_home, monkeypatch):
    """As when the caller of gRPC's RepositoryModelLoad gives up."""
    home = tmp_path / "home"
    shutil.copytree(stocked_home, home)
    settings = load_settings(home=home, artifacts_url=str(tiny.bundle.parents[1]), slots=4)

    async def follow() -> int | None:
        async with open_parts(settings) as parts:
            await parts.router.refresh()
            with parts.database.write() as session:
                promote(session, "tickets", 2, by="t", reason="go", now=utc_now())
            loading, gate, load = threading.Event(), threading.Event(), parts.fleet.load

            def slow_load(*of, **how):
                loading.set()
                assert gate.wait(30)
                load(*of, **how)

            monkeypatch.setattr(parts.fleet, "load", slow_load)
            look = asyncio.create_task(parts.router.refresh())
            await asyncio.to_thread(loading.wait, 30)
            look.cancel()
            gate.set()
            with pytest.raises(asyncio.CancelledError):
                await look
            assert parts.router.route("tickets").production == 1
            await parts.router.refresh()
            return parts.router.route("tickets").production

    assert asyncio.run(follow()) == 2


def test_an_archived_version_is_served_no_more(start: Start):
    server = start()
    assert server.predict(version=2).status_code == 200
    with server.database.write() as session:
        archive_version(session, "tickets", 2, by="ann", now=utc_now())
    until(lambda: server.predict(version=2).status_code == 409)
    problem(server.predict(version=2), 409, "version 2 of 'tickets' is archived")
    assert server.predict(version=1).status_code == 200


def test_more_versions_than_slots_take_turns(start: Start, adapters, tiny, make_adapter, artifacts):
    server = start(slots=2)
    with server.database.write() as session:
        for seed in (3, 4):
            key = artifacts.put("adapters", make_adapter(tiny, labels=LABELS, seed=seed))
            new = replace(adapters[0], adapter_artifact=key)
            register_version(session, new, by="t", now=utc_now())
    alone = {v: server.predict("a text", version=v).json()["predictions"][0]["score"] for v in (1, 2, 3, 4)}
    assert len(set(alone.values())) == 4

    def ask(version):
        answers = []
        for _ in range(6):
            # Two versions that are not pinned share one slot: whoever finds it taken is told to come back.
            answer = until(lambda: (r := server.predict("a text", version=version)).status_code != 429 and r)
            answers.append(answer.json()["predictions"][0]["score"])
        return answers

    for version, scores in zip((1, 2, 3, 4), all_at_once([lambda v=v: ask(v) for v in (1, 2, 3, 4)]), strict=True):
        assert scores == pytest.approx([alone[version]] * 6, abs=1e-4), "never another version's answer"
    assert server.nothing_leased()


def test_more_deployed_models_than_slots_take_turns_and_none_is_pinned(
    start: Start, adapters, tiny, make_adapter, artifacts
):
    server = start(slots=2)
    with server.database.write() as session:
        for seed, model in ((5, "b"), (6, "c")):
            key = artifacts.put("adapters", make_adapter(tiny, labels=LABELS, seed=seed))
            new = replace(adapters[0], model=model, adapter_artifact=key)
            number = register_version(session, new, by="t", now=utc_now())
            promote(session, model, number, by="t", reason="go", now=utc_now())
    until(lambda: "c" in server.parts.router.models)
    assert server.get("/readyz").json() == {"status": "ready", "problems": {}}
    for _ in range(2):
        for model in ("tickets", "b", "c"):
            assert server.predict(model=model).status_code == 200
    assert server.metric("driftgate_adapter_slots", base="tiny", state="pinned") == 0
    assert server.metric("driftgate_adapter_slots", base="tiny", state="resident") == 2
    assert server.metric("driftgate_adapter_lookups_total", base="tiny", result="miss") >= 4


def test_models_share_a_base_and_its_batches(start: Start, adapters, stuck_engine):
    server = start()
    with server.database.write() as session:
        other = replace(adapters[1], model="orders")
        number = register_version(session, other, by="t", now=utc_now())
        promote(session, "orders", number, by="t", reason="go", now=utc_now())
    until(lambda: server.predict(model="orders").status_code == 200)
    alone = {
        model: server.predict("same text", model=model).json()["predictions"][0] for model in ("tickets", "orders")
    }
    assert alone["tickets"]["score"] != alone["orders"]["score"]
    before = server.metric("driftgate_batch_size_count")
    with stuck_engine(server) as engine:
        calls = engine.send(server, 1)
        engine.wait_until_running()
        pool = engine._pool
        mixed = {m: pool.submit(server.predict, "same text", model=m) for m in ("tickets", "orders")}
        until(lambda: server.metric("driftgate_queue_tokens", base="tiny") == 8)
    for model, call in mixed.items():
        (answer,) = call.result(30).json()["predictions"]
        assert answer["score"] == pytest.approx(alone[model]["score"], abs=1e-5)
    assert calls[0].result(30).status_code == 200
    assert server.metric("driftgate_batch_size_count") == before + 3, "warm call, stuck call, and both models in one"


def test_the_base_that_is_served_is_the_one_in_the_store(server, tiny):
    with server.database.read() as session:
        assert spec_from_json(get_base(session, "tiny").spec) == tiny.spec
    assert open_artifacts(server.settings).fetch(tiny.artifact) == tiny.bundle


PASSED = {"int8": {"rows": 5000, "lost": 2, "gained": 2}}
FAILED = {"int8": {"rows": 5000, "lost": 90, "gained": 2}}


def served_in(server) -> str | None:
    target = server.parts.router.resident("tickets", None)
    return target and target.precision


def check(server, found) -> None:
    """As `driftgate model precision` leaves it, on a base that is faster in int8; the server runs in fp32 till then."""
    until(lambda: server.predict().status_code == 200)
    assert served_in(server) == "fp32"
    with server.database.write() as session:
        session.get_one(Base, "tiny").speeds = {"fp32": 1000.0, "int8": 2500.0}
        keep_precision_checks(session, "tickets", 1, found, reason="checked", by="ann", now=utc_now())


def test_a_version_is_served_in_a_faster_precision_once_its_check_has_passed(start: Start):
    server = start()
    until(lambda: server.predict().status_code == 200)
    before = server.predict("where is my parcel?").json()["predictions"][0]
    check(server, PASSED)
    until(lambda: served_in(server) == "int8")
    after = server.predict("where is my parcel?").json()["predictions"][0]
    assert after["score"] == pytest.approx(before["score"], abs=0.05)
    assert after["score"] != before["score"], "it computes in the same way"


def test_a_version_that_lost_too_much_stays_in_fp32(start: Start):
    server = start()
    check(server, FAILED)
    until(lambda: server.parts.router.route("tickets").revision > 1)
    assert served_in(server) == "fp32"


@pytest.mark.parametrize(("asked", "found", "expected"), [("fp32", PASSED, "fp32"), ("int8", FAILED, "fp32")])
def test_a_precision_asked_by_name_serves_only_what_passed(start: Start, asked, found, expected):
    server = start(precision=asked)
    check(server, found)
    until(lambda: server.parts.router.route("tickets").revision > 1)
    assert served_in(server) == expected


def test_versions_in_different_precisions_answer_side_by_side(start: Start):
    server = start()
    check(server, PASSED)
    until(lambda: served_in(server) == "int8")
    versions = [1, 2] * 8
    answers = all_at_once([lambda v=v: server.predict("where is my parcel?", version=v) for v in versions])
    assert [answer.json()["version"] for answer in answers] == versions


def test_an_unloaded_model_frees_its_slots_and_answers_again_once_loaded(start: Start):
    server = start()
    server.predict()
    with server.database.write() as session:
        set_unloaded(session, "tickets", True, by="ann", now=utc_now())
    until(lambda: server.predict().status_code == 503)
    assert "unloaded" in server.predict().json()["detail"]
    until(lambda: server.metric("driftgate_adapter_slots", base="tiny", state="pinned") == 0)
    with server.database.write() as session:
        set_unloaded(session, "tickets", False, by="ann", now=utc_now())
    until(lambda: server.predict().status_code == 200)


def test_far_more_adapters_than_slots_all_answer_and_the_server_stays_alive(
    start: Start, adapters, tiny, make_adapter, artifacts
):
    """Adapters push each other out all the time here; whoever waits for one gets it all the same."""
    server = start(slots=2)
    with server.database.write() as session:
        for seed in range(10, 18):
            key = artifacts.put("adapters", make_adapter(tiny, labels=LABELS, seed=seed))
            register_version(session, replace(adapters[0], adapter_artifact=key), by="t", now=utc_now())
    versions = list(range(1, 11)) * 4

    def ask(version: int) -> int:
        return until(lambda: (r := server.predict(version=version)).status_code != 429 and r).json()["version"]

    assert all_at_once([lambda v=v: ask(v) for v in versions]) == versions
    assert until(server.nothing_leased)
