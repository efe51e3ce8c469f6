import pytest

from cli.load.connection import Address
from cli.load.target import Target, is_loopback, read_url
from store.errors import BadInput, Broken, NotFound, Refused
from tests.cli.load.tiny_server import Reply, echo, running


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("http://localhost", Address("localhost", 80)),
        ("http://[::1]:9000/", Address("::1", 9000)),
        ("http://127.8.9.1:1", Address("127.8.9.1", 1)),
    ],
)
def test_a_url_of_this_machine_is_taken(url, address):
    assert read_url(url, remote=False) == address


@pytest.mark.parametrize("host", ["10.0.0.1", "example.com", "localhost.example.com", "[2001:db8::1]"])
def test_another_machine_is_loaded_only_when_that_is_said(host):
    with pytest.raises(Refused, match="--remote"):
        read_url(f"http://{host}:8080", remote=False)
    assert read_url(f"http://{host}:8080", remote=True).port == 8080


@pytest.mark.parametrize("url", ["https://localhost", "localhost:8080", "http://", "http://localhost:x", "http://h/v1"])
def test_what_is_no_url_of_ours_is_refused(url):
    with pytest.raises(BadInput):
        read_url(url, remote=True)


def test_a_name_is_not_looked_up():
    assert is_loopback("localhost")
    assert not is_loopback("localhost.localdomain.example")


@pytest.mark.parametrize(
    ("models", "error"),
    [
        (b'{"models": []}', NotFound),
        (b'{"models": [{"model": "a", "production": null}]}', NotFound),
        (b'{"models": [{"model": "a", "production": 1}, {"model": "b", "production": 1}]}', Refused),
        (b"[]", Broken),
        (b"no json", Broken),
    ],
)
def test_without_a_name_there_must_be_one_model(models, error):
    async def list_models(number: int, body: bytes) -> Reply:
        return Reply(models)

    with running(list_models) as server, pytest.raises(error):
        Target(server.address).only_model()


def test_the_only_model_in_production_is_found_and_the_key_goes_along():
    async def list_models(number: int, body: bytes) -> Reply:
        return Reply(b'{"models": [{"model": "a", "production": null}, {"model": "b", "production": 3}]}')

    with running(list_models) as server:
        assert Target(server.address, "dg_1").only_model() == "b"
    assert "GET /v1/models HTTP/1.1" in server.heads[0]
    assert "Authorization: Bearer dg_1" in server.heads[0]


def test_a_refusal_is_told_in_the_servers_own_words():
    async def refuse(number: int, body: bytes) -> Reply:
        return Reply(b'{"detail": "send a key"}', status=401)

    with running(refuse) as server, pytest.raises(Refused, match="401: send a key; give a key with --key"):
        Target(server.address).try_once("tickets", "text")


def test_nobody_listening_says_how_to_start_a_server():
    with running(echo) as server:
        address = server.address
    with pytest.raises(Broken, match="driftgate serve"):
        Target(address).try_once("tickets", "text")


def test_a_model_name_stays_one_part_of_the_path():
    (request,) = Target(Address("127.0.0.1", 1)).requests("a/../b c", ["x"])
    assert request.startswith(b"POST /v1/models/a%2F..%2Fb%20c/predict HTTP/1.1\r\n")
    with pytest.raises(BadInput):
        Target(Address("127.0.0.1", 1), "k\r\nEvil: 1").requests("a", ["x"])
