import pytest

from cli.load.connection import Address
from cli.load.request import post_json


def test_a_request_is_whole_and_its_length_counts_bytes():
    request = post_json(Address("127.0.0.1", 8080), "/v1/x", {"inputs": ["grüße"]}, {"X-API-Key": "dg_1"})
    head, _, body = request.partition(b"\r\n\r\n")
    assert body.decode() == '{"inputs":["grüße"]}'
    assert head.decode().split("\r\n") == [
        "POST /v1/x HTTP/1.1",
        "Host: 127.0.0.1:8080",
        "Content-Type: application/json",
        "X-API-Key: dg_1",
        f"Content-Length: {len(body)}",
    ]


@pytest.mark.parametrize(("path", "key"), [("/x\r\nEvil: 1", "k"), ("/x", "k\nEvil: 1")])
def test_nothing_breaks_out_of_its_line(path, key):
    with pytest.raises(ValueError, match="line break"):
        post_json(Address("::1", 80), path, {}, {"X-API-Key": key})
