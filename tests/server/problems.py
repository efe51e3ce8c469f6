"""What every error must look like."""

from typing import Any

import httpx


def problem(response: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    """Check the shape of an error and what it says; returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert set(body) - {"where"} == {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert body["type"].startswith("urn:driftgate:")
    for word in words:
        assert word in body["detail"], body
    assert "Traceback" not in response.text
    return body
