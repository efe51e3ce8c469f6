import contextlib
import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from server.oip.content_encoding import decompress
from server.problems import TooLarge
from store.errors import Malformed


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


PACKED = {"gzip": gzip.compress, "deflate": zlib.compress, "Deflate ": raw_deflate}


@given(body=st.binary(max_size=2000), encoding=st.sampled_from(list(PACKED)))
def test_what_was_packed_is_unpacked(body, encoding):
    assert decompress(PACKED[encoding](body), encoding, limit_bytes=2000) == body


def test_without_an_encoding_nothing_happens():
    assert decompress(b"{}", "", limit_bytes=10) == b"{}"
    assert decompress(b"{}", "identity", limit_bytes=10) == b"{}"


@pytest.mark.parametrize("encoding", PACKED)
def test_a_bomb_is_refused_before_it_is_held(encoding):
    bomb = PACKED[encoding](b"\x00" * 10_000_000)
    tracemalloc.start()
    with pytest.raises(TooLarge, match="larger than 1000 bytes once decompressed"):
        decompress(bomb, encoding, limit_bytes=1000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000, f"{most} bytes were held for a limit of 1000"


@given(cut=st.integers(0, 10_000), encoding=st.sampled_from(list(PACKED)))
def test_a_body_that_ends_too_early_is_malformed(cut, encoding):
    packed = PACKED[encoding](bytes(range(256)))
    with pytest.raises(Malformed):
        decompress(packed[: cut % len(packed)], encoding, limit_bytes=1000)


@pytest.mark.parametrize("encoding", PACKED)
def test_what_follows_the_end_is_malformed(encoding):
    with pytest.raises(Malformed, match="3 bytes follow"):
        decompress(PACKED[encoding](b"{}") + b"abc", encoding, limit_bytes=1000)


@given(noise=st.binary(max_size=100), encoding=st.sampled_from(["gzip", "deflate"]))
def test_noise_is_malformed_or_means_something(noise, encoding):
    with contextlib.suppress(Malformed, TooLarge):
        decompress(noise, encoding, limit_bytes=1000)


@pytest.mark.parametrize("encoding", ["br", "gzip, deflate", "zstd"])
def test_another_encoding_is_not_supported(encoding):
    with pytest.raises(HTTPException) as refused:
        decompress(b"", encoding, limit_bytes=1000)
    assert refused.value.status_code == 415
    assert "gzip and deflate" in refused.value.detail
