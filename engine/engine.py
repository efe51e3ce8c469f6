"""The engine: one graph, many adapters, one batch."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.bank import AdapterBank, AdapterKey
from engine.base import BaseSpec, bank_shapes, read_spec
from engine.classification import softmax
from engine.cores import usable_cores
from engine.gather import SlotReader, open_gather
from engine.modality import EncodedRow
from engine.packing import RunCost, TimedRun, fit_run_cost, plan_offline
from engine.precision import Precision
from engine.providers.choose import choose_provider
from engine.sketch import projection
from engine.text import TextModality

WIDE = -1
"""The lane that gives one batch all cores."""
SPARE = -2
"""One more lane of one thread, for whoever does not want to hand over to another thread."""
_PROBES = ((8,), (16, 16), (32, 32, 32, 32), (48, 16, 16, 16, 16, 16))
"""Tokens of each row, in the runs that warm a session up and tell what a run costs."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    logits: NDArray[np.float32]
    """[rows, max_labels]"""
    pooled: NDArray[np.float32]
    """[rows, hidden]"""
    padded_tokens: int
    """Rows times the longest of them: tokens, padding included."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows scored with one adapter, in the order they were given."""

    probabilities: NDArray[np.float32]
    """[rows, classes]"""
    sketches: NDArray[np.float32]
    """[rows, engine.sketch.SKETCH_DIM]"""
    length_tokens: NDArray[np.int64]
    length_chars: NDArray[np.int64]
    """[rows], blanks around the text not counted."""
    unknown_tokens: NDArray[np.int64]


class Engine:
    """Owns a base's sessions, bank and preprocessing.

    A lane is a place to run a batch: `lanes` narrow ones of one thread each, which share nothing that is written,
    SPARE, and WIDE, which gives a batch all cores. Each lane may be used by one thread at a time.
    """

    def __init__(
        self,
        bundle: Path,
        *,
        slots: int,
        memory_bytes: int | None = None,
        lanes: int | None = None,
        provider: str = "auto",
        precisions: Sequence[Precision] = ("fp32",),
    ) -> None:
        """bundle: verified folder of a base. slots, memory_bytes: see AdapterBank. lanes: one a usable core by default.

        Raises RuntimeBuild, Refused.
        """
        self.bundle = bundle
        self.spec: BaseSpec = read_spec(bundle)
        self.provider = choose_provider(provider)
        self.modality = TextModality(bundle, self.spec)
        self.bank = AdapterBank(self.spec, slots, memory_bytes=memory_bytes)
        self.lanes = lanes or usable_cores()
        self.run_costs: dict[Precision, RunCost] = {}
        """What a run costs on a narrow lane, as measured when its sessions were opened."""
        self._projection = projection(self.spec.hidden)
        self._bound: dict[tuple[Precision, int], _BoundSession] = {}
        gather = open_gather(bundle)
        self._readers = {lane: SlotReader(gather, self.bank) for lane in (*range(self.lanes), WIDE, SPARE)}
        for precision in precisions:
            self.open(precision)

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Those that are open."""
        return tuple(self.run_costs)

    def open(self, precision: Precision) -> None:
        """Open the sessions of one precision, if they are not; takes about as long as reading the graph."""
        if precision in self.run_costs:
            return
        sessions = self.provider.open(self.bundle, precision, lanes=self.lanes)
        by_lane = {**dict(enumerate(sessions.lanes)), WIDE: sessions.wide, SPARE: sessions.spare}
        for lane, session in by_lane.items():
            self._bound[precision, lane] = _BoundSession(session)
        self.run_costs[precision] = self._warm_up(precision)

    def run(
        self, rows: Sequence[EncodedRow], slots: Sequence[int], *, precision: Precision = "fp32", lane: int = WIDE
    ) -> BatchResult:
        """Run one batch; slots[i] is the leased slot of rows[i]."""
        ids, mask = self._padded(rows)
        logits, pooled = self._bound[precision, lane].run(ids, mask, self._readers[lane].read(slots))
        return BatchResult(logits=logits, pooled=pooled, padded_tokens=ids.size)

    def sketch(self, pooled: NDArray[np.float32]) -> NDArray[np.float32]:
        """[rows, hidden] -> [rows, SKETCH_DIM]"""
        return pooled @ self._projection

    def score(
        self,
        texts: Sequence[str],
        key: AdapterKey,
        *,
        labels: int,
        precision: Precision = "fp32",
        budget_tokens: int = 512,
    ) -> Scored:
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
            for batch in plan_offline(lengths.tolist(), budget_tokens=budget_tokens):
                result = self.run([rows[i] for i in batch], [slot] * len(batch), precision=precision)
                probabilities[batch] = softmax(result.logits[:, :labels])
                sketches[batch] = self.sketch(result.pooled)
        finally:
            self.bank.release(key)
        return Scored(
            probabilities=probabilities,
            sketches=sketches,
            length_tokens=lengths,
            length_chars=np.array([len(text.strip()) for text in texts], np.int64),
            unknown_tokens=np.array([row.unknown_tokens for row in rows], np.int64),
        )

    def embed(
        self,
        texts: Sequence[str],
        *,
        precision: Precision = "fp32",
        on_batch: Callable[[float], None] = lambda share: None,
        budget_tokens: int = 512,
    ) -> NDArray[np.float32]:
        """What the base makes of `texts` without any adapter, [texts, hidden], offline, in batches of similar length.

        Texts above the base's limit are cut. on_batch: called with the share of the tokens that are done, 0 to 1.
        """
        rows = self.modality.encode(texts, truncate=True)
        lengths = [row.length_tokens for row in rows]
        total, done = sum(lengths), 0
        found = np.zeros((len(rows), self.spec.hidden), np.float32)
        nothing = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))
            for name, shape in bank_shapes(self.spec, 1).items()
        }
        for batch in plan_offline(lengths, budget_tokens=budget_tokens):
            ids, mask = self._padded([rows[i] for i in batch])
            found[batch] = self._bound[precision, WIDE].run(ids, mask, nothing)[1]
            done += sum(lengths[i] for i in batch)
            on_batch(done / total)
        return found

    def _padded(self, rows: Sequence[EncodedRow]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`input_ids` and `attention_mask`, [rows, longest of them]."""
        longest = max(row.length_tokens for row in rows)
        ids = np.full((len(rows), longest), self.spec.pad_token_id, np.int64)
        mask = np.zeros((len(rows), longest), np.int64)
        for i, row in enumerate(rows):
            ids[i, : row.length_tokens] = row.input_ids
            mask[i, : row.length_tokens] = 1
        return ids, mask

    def _warm_up(self, precision: Precision) -> RunCost:
        """Run every lane once, then time a few runs on the first one."""
        for lane in (*range(1, self.lanes), WIDE, SPARE):
            self._probe(precision, lane, (16, 16))
        probes = [[min(length, self.spec.max_tokens) for length in probe] for probe in _PROBES]
        return fit_run_cost(
            [
                TimedRun(
                    tokens=sum(probe),
                    padding=max(probe) * len(probe) - sum(probe),
                    seconds=min(self._probe(precision, 0, probe) for _ in range(6)),
                )
                for probe in probes
            ]
        )

    def _probe(self, precision: Precision, lane: int, lengths: Sequence[int]) -> float:
        rows = [EncodedRow(np.ones(length, np.int64), 0) for length in lengths]
        began = time.perf_counter()
        self.run(rows, [0] * len(rows), precision=precision, lane=lane)
        return time.perf_counter() - began


class _BoundSession:
    """A session with a binding that is used again, by one thread at a time."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._binding = session.io_binding()

    def run(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64], adapters: Mapping[str, Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        binding = self._binding
        for name, array in (("input_ids", input_ids), ("attention_mask", attention_mask)):
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
        for name, value in adapters.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_output("logits")
        binding.bind_output("pooled")
        self._session.run_with_iobinding(binding)
        logits, pooled = binding.get_outputs()
        return logits.numpy(), pooled.numpy()
