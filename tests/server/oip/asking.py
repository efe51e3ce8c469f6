"""Requests of the protocol, and what their answers must look like."""

import json
from typing import Any

import httpx

from server.oip.rest import LENGTH_HEADER
from server.oip.tensors import encode


def body(*texts: str, **more: Any) -> dict[str, Any]:
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}
    return {"inputs": [tensor], **more}


def outputs(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return {tensor["name"]: tensor for tensor in response.json()["outputs"]}


def refused(response: httpx.Response, status: int, *words: str) -> None:
    """Under /v2 an error is the protocol's own."""
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    for word in words:
        assert word in response.json()["error"]


def binary(*texts: str, **more: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers as tritonclient makes them."""
    raw = encode(texts)
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [tensor], **more}).encode()
    return head + raw, {LENGTH_HEADER: str(len(head)), "Content-Type": "application/octet-stream"}
