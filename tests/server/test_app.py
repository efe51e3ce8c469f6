import re

import pytest

from tests.server.conftest import Start
from tests.waiting import until

PROMISED = [
    "driftgate_requests_total",
    "driftgate_request_seconds",
    "driftgate_queue_seconds",
    "driftgate_batch_size",
    "driftgate_batch_tokens",
    "driftgate_padding_ratio",
    "driftgate_queue_tokens",
    "driftgate_adapter_slots",
    "driftgate_adapter_load_seconds",
    "driftgate_predictions_recorded_total",
    "driftgate_predictions_dropped_total",
    "driftgate_feedback_total",
    "driftgate_prediction_score",
    "driftgate_predicted_label_total",
    "driftgate_rollout_stage",
    "driftgate_rollout_traffic_ratio",
]


def test_a_server_says_that_it_lives_and_is_ready(server):
    assert server.get("/healthz").json() == {"status": "ok"}
    ready = server.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "problems": {}})


def test_every_promised_metric_is_exposed_with_its_help(server):
    answer = server.predict()
    server.post("/v1/feedback", {"prediction_id": answer.json()["predictions"][0]["id"], "correct": True})
    text = server.get("/metrics").text
    for name in PROMISED:
        assert f"# HELP {name} " in text, name
        assert re.search(rf"^{name}(_bucket|_count)?[{{ ]", text, re.MULTILINE), f"{name} has no value"
    assert 'driftgate_adapter_slots{base="tiny",state="pinned"} 1.0' in text
    assert 'driftgate_predictions_dropped_total{reason="store_down"} 0.0' in text


def test_metrics_count_what_happened(start: Start):
    server = start()
    server.predict("a", "b", "c")
    assert server.metric("driftgate_request_seconds_count") == 1
    assert server.metric("driftgate_queue_seconds_count") == 3
    assert server.metric("driftgate_batch_size_sum") == 3
    assert server.metric("driftgate_batch_tokens_sum") == 9, "[CLS] letter [SEP], three times, without padding"
    assert server.metric("driftgate_prediction_score_count", model="tickets") == 3
    until(lambda: server.metric("driftgate_predictions_recorded_total") == 3)


def test_the_page_that_describes_the_api_is_whole(server):
    page = server.get("/openapi.json")
    described = page.json()
    for reference in set(re.findall(r'"\$ref": ?"([^"]+)"', page.text)):
        found = described
        for part in reference.removeprefix("#/").split("/"):
            assert part in found, f"{reference} leads nowhere"
            found = found[part]
    body = described["paths"]["/v1/models/{model}/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert set(body["schema"]["properties"]) == {"inputs", "version", "tags", "probabilities", "truncate"}
    assert server.get("/docs").status_code == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/feedback HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \xe9\xff\r\nConnection: close\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://elsewhere/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
def test_bytes_that_no_decent_client_sends_do_no_harm(server, request_):
    answer = server.raw(request_, half_close=True)
    assert b" 500 " not in answer[:20]
    assert b"Traceback" not in answer
    assert server.get("/healthz").status_code == 200
