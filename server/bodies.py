"""Reads request bodies: bounded, decoded once, with errors that say where."""

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from server.callers import Within
from server.problems import CallerGone, TooLarge, TooSlow
from store.errors import BadInput, Malformed

M = TypeVar("M", bound=BaseModel)

BODY_TIMEOUT_S = 30.0
"""A caller that sends its body more slowly holds a connection for nothing."""


T = TypeVar("T")


def without_nul(value: T) -> T:
    """A validator for text that goes into the store: PostgreSQL cannot hold a NUL."""
    if isinstance(value, str) and "\x00" in value:
        raise PydanticCustomError("nul", "holds a NUL character; remove it")
    return value


class StoredBody(BaseModel):
    """A body whose texts go into the store as they are."""

    model_config = ConfigDict(extra="forbid", strict=True)

    _no_nul = field_validator("*")(without_nul)


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The raw body.

    Raises TooLarge before more than `limit_bytes` are held, TooSlow after BODY_TIMEOUT_S, CallerGone if the rest never
    comes.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    try:
        with Within(BODY_TIMEOUT_S):
            return await _read(request, limit_bytes)
    except TimeoutError:
        raise TooSlow(f"the body was not complete within {BODY_TIMEOUT_S:g} s; send it faster, or in parts") from None


async def _read(request: Request, limit_bytes: int) -> bytes:
    """As request.stream() would, without a generator: nearly every body is one message."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise CallerGone("the caller left before its request was complete")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        if not message.get("more_body", False):
            return b"".join([*chunks, chunk]) if chunks else chunk
        chunks.append(chunk)


def parse_body(model: type[M], raw: bytes) -> M:
    """A validated body. Raises Malformed for wrong JSON or encoding, BadInput that names the field."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise Malformed(f"the body is not valid JSON in UTF-8: {_json_complaint(raw, first['msg'])}") from None
        where = "/" + "/".join(str(part) for part in first["loc"])
        got = _shown(first["input"])
        raise BadInput(f"{where.strip('/') or 'body'}: {first['msg']} (got {got})", where=where) from None


def describe_body(model: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a body that is read by `parse_body`."""
    schema = model.model_json_schema()
    whole = _inlined(schema, schema.pop("$defs", {}))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": whole}}}}


def _inlined(part: Any, definitions: dict[str, Any]) -> Any:
    """`part` of a schema with each reference replaced by what it names: an OpenAPI page has no place for `$defs`."""
    if isinstance(part, list):
        return [_inlined(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(definitions[part["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in part.items()}


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit_bytes} bytes; send fewer inputs a request")


def _json_complaint(raw: bytes, message: str) -> str:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"byte {error.start} is not UTF-8"
    return message.removeprefix("Invalid JSON: ")


def _shown(value: object) -> str:
    """A short form of a bad value; whole bodies do not belong in errors."""
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
