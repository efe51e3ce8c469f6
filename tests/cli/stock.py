"""What tests put into a store before they ask the command line about it."""

import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from engine.base import base_record
from engine.sketch import SKETCH_DIM, pack_floats
from store.bases import add_base
from store.clock import utc_now
from store.database import Database
from store.ids import new_id
from store.predictions import NewPrediction, add_predictions
from tests.conftest import ImportedBase


def add_imported_base(
    database: Database, home: Path, base: ImportedBase, *, name: str | None = None, **columns: Any
) -> None:
    """Leave the store as `driftgate base import --approve` does, with the artifacts copied from the session's base."""
    for key in (base.artifact, base.spec.backbone_artifact):
        source = base.bundle.parents[1] / key
        shutil.copytree(source, home / "artifacts" / key, dirs_exist_ok=True)
    spec = base.spec
    with database.write() as session:
        add_base(
            session,
            base_record(spec, base.artifact, name=name, now=utc_now(), **{"state": "approved", **columns}),
        )


def add_answers(database: Database, model: str, texts: Sequence[str], *, label: str, version: int = 1) -> list[str]:
    """Recorded predictions of a two-class model, a second apart; returns their ids."""
    start = utc_now() - timedelta(seconds=len(texts))
    ids = [f"{model}:{version}:{new_id(start + timedelta(seconds=i))}" for i in range(len(texts))]
    rng = np.random.default_rng(5)
    rows = [
        NewPrediction(
            id=unique,
            model=model,
            version=version,
            input=text,
            label=label,
            score=0.9,
            probabilities=pack_floats(np.array([0.9, 0.1])),
            sketch=pack_floats(rng.standard_normal(SKETCH_DIM)),
            length_tokens=len(text.split()) + 2,
            unknown_tokens=0,
            latency_s=0.01,
            reason="sample",
            inclusion=1.0,
            tags={},
            request_id="r",
            at=start + timedelta(seconds=i),
        )
        for i, (unique, text) in enumerate(zip(ids, texts, strict=True))
    ]
    with database.write() as session:
        add_predictions(session, rows)
    return ids
