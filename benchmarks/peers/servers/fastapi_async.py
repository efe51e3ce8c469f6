"""FastAPI with everything inline in an `async` route: no thread hop, no batching.

Run with one process a core (`uvicorn --workers`) and one ONNX Runtime thread each: with inference on the event loop, a
process does one thing at a time, so a process needs one core and each core a process.
"""

import os

from fastapi import FastAPI
from plain_model import PlainModel
from pydantic import BaseModel

app = FastAPI()
model = PlainModel(threads=1)
singly = os.environ.get("BENCH_SINGLY") == "1"
"""Run the texts of one request one after the other, without padding; by default they are one batch."""


class Body(BaseModel):
    inputs: list[str]


@app.post("/predict")
async def predict(body: Body) -> dict[str, object]:
    if singly:
        return {"predictions": [model.predict([text])[0] for text in body.inputs]}
    return {"predictions": model.predict(body.inputs)}


@app.get("/healthz")
async def healthz() -> dict[str, bool]:
    return {"ok": True}
