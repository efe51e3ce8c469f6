"""Requests as bytes, prepared before the clock starts."""

import json
from collections.abc import Mapping
from typing import Any

from cli.load.connection import Address


def post_json(address: Address, path: str, payload: Any, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole POST with a JSON body. Raises ValueError for a path or header that would break out of its line."""
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    lines = [f"POST {path} HTTP/1.1", f"Host: {address}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines.append(f"Content-Length: {len(body)}")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a path or header holds a line break")
    return "\r\n".join([*lines, "", ""]).encode() + body
