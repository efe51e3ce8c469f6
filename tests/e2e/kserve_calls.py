"""Asks a server with the KServe SDK and prints what came as one JSON object: `python kserve_calls.py URL HOST:PORT`.

Runs in an environment of its own, which has kserve and nothing of ours.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

TEXTS = ["where is my parcel?", "déjà vu"]
MODEL = "tickets"


def request(*, binary: bool, binary_outputs: bool = False, **more: Any) -> InferRequest:
    tensor = InferInput("text", [len(TEXTS)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in TEXTS], dtype=object), binary_data=binary)
    parameters = {"binary_data_output": True} if binary_outputs else None
    return InferRequest(MODEL, [tensor], request_id="kserve-1", parameters=parameters, **more)


def typed() -> InferRequest:
    """In gRPC's typed contents."""
    return InferRequest(MODEL, [InferInput("text", [len(TEXTS)], "BYTES", data=list(TEXTS))], request_id="kserve-1")


def told(response: Any) -> dict[str, Any]:
    outputs = {output.name: output.as_numpy().ravel().tolist() for output in response.outputs}
    outputs["label"] = [text.decode() if isinstance(text, bytes) else text for text in outputs["label"]]
    return {"id": response.id, "label": outputs["label"], "score": outputs.get("score")}


async def refused(call: Awaitable[object]) -> str:
    try:
        await call
    except httpx.HTTPStatusError as error:
        return f"{error.response.status_code} {error}"
    except grpc.RpcError as error:
        return f"{error.code().name} {error.details()}"  # type: ignore[attr-defined]  # grpcio ships no types
    return "it was answered"


async def over_rest(url: str) -> dict[str, Any]:
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:
        outputs = [RequestedOutput("label", {"binary_data": True}), RequestedOutput("score", {"binary_data": False})]
        return {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model_ready": await client.is_model_ready(url, MODEL),
            "unknown_ready": await client.is_model_ready(url, "nothing"),
            "json": told(await client.infer(url, request(binary=False), MODEL)),
            "raw": told(await client.infer(url, request(binary=True, binary_outputs=True), MODEL)),
            "mixed": told(await client.infer(url, request(binary=True, request_outputs=outputs), MODEL)),
            "unknown": await refused(client.infer(url, request(binary=True), "nothing")),
        }


async def over_grpc(address: str) -> dict[str, Any]:
    async with InferenceGRPCClient(address, retries=0) as client:
        unknown = request(binary=True)
        unknown.model_name = "nothing"
        return {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model_ready": await client.is_model_ready(MODEL),
            "unknown_ready": await refused(client.is_model_ready("nothing")),
            "raw": told(await client.infer(request(binary=True))),
            "typed": told(await client.infer(typed())),
            "unknown": await refused(client.infer(unknown)),
        }


async def main(url: str, address: str) -> None:
    print(json.dumps({"rest": await over_rest(url), "grpc": await over_grpc(address)}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
