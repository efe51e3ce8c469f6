"""FastAPI with a `def` route, the way most are written: one process, a thread pool, ONNX Runtime on all cores."""

from fastapi import FastAPI
from plain_model import CORES, PlainModel
from pydantic import BaseModel

app = FastAPI()
model = PlainModel(threads=CORES)


class Body(BaseModel):
    inputs: list[str]


@app.post("/predict")
def predict(body: Body) -> dict[str, object]:
    return {"predictions": model.predict(body.inputs)}


@app.get("/healthz")
def healthz() -> dict[str, bool]:
    return {"ok": True}
