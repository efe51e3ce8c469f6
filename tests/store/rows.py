"""Rows for tests, with as little said as possible."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from store.bases import add_base
from store.database import Database
from store.feedback import NewFeedback
from store.ids import new_id
from store.predictions import NewPrediction
from store.records import Base, Check
from store.versions import NewVersion, register_version
from tests.store.conftest import NOW


def base(name: str = "minilm", **columns: Any) -> Base:
    values = {
        "source": "here",
        "revision": "1",
        "license": "Apache-2.0",
        "task": "text-classification",
        "modality": "text",
        "pooling": "mean",
        "spec": {},
        "artifact": f"bases/{name}",
        "state": "approved",
        "created_at": NOW,
    }
    return Base(name=name, **{**values, **columns})


def add_model(database: Database, model: str = "tickets", *, versions: int = 2) -> None:
    """A model with versions 1 to `versions`, none of them deployed."""
    with database.write() as session:
        add_base(session, base())
        session.flush()
        for i in range(versions):
            new = NewVersion(model, "minilm", f"adapters/{model}-{i}", 8, ("billing", "refund"))
            register_version(session, new, by="test", now=NOW)


def prediction(number: int = 1, *, model: str = "tickets", version: int = 1, **fields: Any) -> NewPrediction:
    row = NewPrediction(
        id=prediction_id(number, model=model, version=version),
        model=model,
        version=version,
        input=f"text {number}",
        label="billing",
        score=0.9,
        probabilities=b"\x00\x01",
        sketch=b"\x00\x01",
        length_tokens=4,
        unknown_tokens=0,
        latency_s=0.01,
        reason="sample",
        inclusion=1.0,
        tags={"region": "eu"},
        request_id="r",
        at=NOW,
    )
    return replace(row, **fields)


def prediction_id(number: int, *, model: str = "tickets", version: int = 1) -> str:
    return f"{model}:{version}:{number:032x}"


def verdict(number: int = 1, **fields: Any) -> NewFeedback:
    new = NewFeedback(prediction_id(number), "tickets", 1, None, None, None, None, "ann")
    return replace(new, **fields)


def check(model: str = "tickets", *, at: datetime = NOW, **columns: Any) -> Check:
    values = {
        "version": 1,
        "verdict": "stable",
        "kinds": [],
        "signals": {"length": {"statistic": 0.1, "p_value": 0.5, "threshold": 0.01, "drifted": False}},
        "window_rows": 500,
        "window_from": 1,
        "window_until": 500,
        "reference_rows": 400,
        "accuracy": {},
        "decision": {"action": "none"},
        "report": None,
    }
    return Check(id=new_id(at), model=model, at=at, **{**values, **columns})


def any_id(now: datetime = NOW) -> str:
    return new_id(now)
