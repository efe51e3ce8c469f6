"""Compressed request bodies, as tritonclient sends them if asked to: gzip and deflate, with a bound against bombs."""

import zlib

from starlette.exceptions import HTTPException

from server.problems import TooLarge
from store.errors import Malformed

ENCODINGS = ("gzip", "deflate")

_ANY_HEADER = zlib.MAX_WBITS | 32
"""zlib's way to say: gzip or zlib, look at the first bytes."""


def decompress(body: bytes, encoding: str, *, limit_bytes: int) -> bytes:
    """`body` as it was before Content-Encoding `encoding`.

    Raises TooLarge before more than `limit_bytes` are held, Malformed for damaged data, HTTPException (415) for an
    encoding that is not known.
    """
    named = encoding.strip().lower()
    if named in ("", "identity"):
        return body
    if named not in ENCODINGS:
        raise HTTPException(415, f"Content-Encoding {named[:60]!r} is not understood; {' and '.join(ENCODINGS)} are")
    try:
        return _inflate(body, _ANY_HEADER, limit_bytes)
    except zlib.error as error:
        if named == "gzip":
            raise Malformed(f"the body is not {named}: {error}") from None
    try:
        return _inflate(body, -zlib.MAX_WBITS, limit_bytes)  # some send deflate without zlib's header (RFC 9110, 8.4.1)
    except zlib.error as error:
        raise Malformed(f"the body is not {named}: {error}") from None


def _inflate(body: bytes, window_bits: int, limit_bytes: int) -> bytes:
    """Raises zlib.error, Malformed, TooLarge."""
    stream = zlib.decompressobj(window_bits)
    found = stream.decompress(body, limit_bytes + 1)
    if len(found) > limit_bytes:
        raise TooLarge(f"the body is larger than {limit_bytes} bytes once decompressed; send fewer inputs a request")
    if not stream.eof:
        raise Malformed(f"the compressed body ends too early, after {len(body)} bytes")
    if stream.unused_data:
        raise Malformed(f"{len(stream.unused_data)} bytes follow the end of the compressed body")
    return found
