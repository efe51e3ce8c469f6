"""The engine: one graph, many adapters, one batch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.bank import AdapterBank, AdapterKey
from engine.base import GRAPH_FILE, BaseSpec, read_spec
from engine.classification import softmax
from engine.modality import EncodedRow
from engine.packing import plan_batch
from engine.providers import choose_provider, installed_build
from engine.sketch import projection
from engine.text import TextModality


@dataclass(frozen=True, slots=True)
class BatchResult:
    logits: NDArray[np.float32]
    """[rows, max_labels]"""
    pooled: NDArray[np.float32]
    """[rows, hidden]"""
    padded_tokens: int
    """Tokens that were computed, padding included."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows scored with one adapter, in the order they were given."""

    probabilities: NDArray[np.float32]
    """[rows, classes]"""
    sketches: NDArray[np.float32]
    """[rows, engine.sketch.SKETCH_DIM]"""
    length_tokens: NDArray[np.int64]
    unknown_tokens: NDArray[np.int64]


def usable_cores() -> int:
    """Cores this process may use: the affinity mask, cut by the cgroup's quota (cgroup v2 cpu.max)."""
    cores = len(os.sched_getaffinity(0))
    limit = Path("/sys/fs/cgroup/cpu.max")
    if limit.exists():
        quota, period = limit.read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


class Engine:
    """Owns a base's session, bank and preprocessing. `run` may be called by one thread at a time."""

    def __init__(self, bundle: Path, *, slots: int, threads: int | None = None, provider: str = "auto") -> None:
        """bundle: verified folder of a base. threads: of ONNX Runtime, all usable cores by default.

        Raises RuntimeBuild, Refused.
        """
        installed_build()
        self.spec: BaseSpec = read_spec(bundle)
        self.provider = choose_provider(provider)
        self.modality = TextModality(bundle, self.spec)
        self.bank = AdapterBank(self.spec, slots)
        self.threads = threads or usable_cores()
        self._projection = projection(self.spec.hidden)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(bundle / GRAPH_FILE), options, providers=[self.provider])
        self._binding = self._session.io_binding()
        for name, array in self.bank.arrays.items():
            self._binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        self._warm_up()

    def run(self, rows: Sequence[EncodedRow], slots: Sequence[int]) -> BatchResult:
        """Run one batch; slots[i] is the leased slot of rows[i]."""
        longest = max(row.length_tokens for row in rows)
        ids = np.full((len(rows), longest), self.spec.pad_token_id, np.int64)
        mask = np.zeros((len(rows), longest), np.int64)
        for i, row in enumerate(rows):
            ids[i, : row.length_tokens] = row.input_ids
            mask[i, : row.length_tokens] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "slots": np.asarray(slots, np.int64)}
        for name, array in inputs.items():
            self._binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        self._binding.bind_output("logits")
        self._binding.bind_output("pooled")
        self._session.run_with_iobinding(self._binding)
        logits, pooled = (value.numpy() for value in self._binding.get_outputs())
        return BatchResult(logits=logits, pooled=pooled, padded_tokens=ids.size)

    def sketch(self, pooled: NDArray[np.float32]) -> NDArray[np.float32]:
        """[rows, hidden] -> [rows, SKETCH_DIM]"""
        return pooled @ self._projection

    def score(self, texts: Sequence[str], key: AdapterKey, *, labels: int, budget_tokens: int = 1024) -> Scored:
        """Score `texts` with the resident adapter `key`, offline, in batches of similar length.

        Texts above the base's limit are cut: an evaluation must not fail on one long row.
        """
        rows = self.modality.encode(texts, truncate=True)
        lengths = np.array([row.length_tokens for row in rows], np.int64)
        slot = self.bank.lease(key)
        if slot is None:
            raise LookupError(f"adapter {key} is not resident")
        probabilities = np.zeros((len(rows), labels), np.float32)
        sketches = np.zeros((len(rows), self._projection.shape[1]), np.float32)
        try:
            waiting = list(np.argsort(lengths, kind="stable"))
            while waiting:
                plan = plan_batch([int(lengths[i]) for i in waiting[:256]], budget_tokens=budget_tokens)
                batch = [waiting[i] for i in plan]
                chosen = set(batch)
                waiting = [i for i in waiting if i not in chosen]
                result = self.run([rows[i] for i in batch], [slot] * len(batch))
                probabilities[batch] = softmax(result.logits[:, :labels])
                sketches[batch] = self.sketch(result.pooled)
        finally:
            self.bank.release(key)
        return Scored(probabilities, sketches, lengths, np.array([r.unknown_tokens for r in rows], np.int64))

    def _warm_up(self) -> None:
        for tokens in (8, 32):
            row = EncodedRow(np.ones(tokens, np.int64), 0)
            self.run([row, row], [0, 0])
