"""What a batch reads of the bank: the slots that its rows name, laid side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from engine.bank import AdapterBank
from engine.base import GATHER_FILE
from store.errors import Refused


def open_gather(bundle: Path) -> Any:
    """The session that reads slots. Raises Refused."""
    graph = bundle / GATHER_FILE
    if not graph.exists():
        raise Refused(
            f"{bundle} was imported by an earlier driftgate; import the base again under its name, from the same "
            "source and with the same settings (driftgate base show): driftgate base import"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


class SlotReader:
    """Reads slots for one thread at a time.

    One slot is read where it lies. Several are copied, by a graph of their own: it holds the interpreter's lock once,
    where NumPy would take it for every array.
    """

    def __init__(self, session: Any, bank: AdapterBank) -> None:
        self._session = session
        self._bank = bank
        self._outputs = [output.name for output in session.get_outputs()]
        self._binding = session.io_binding()
        for name, value in bank.values.items():
            self._binding.bind_ortvalue_input(name, value)

    def read(self, slots: Sequence[int]) -> Mapping[str, Any]:
        """By graph input; float32 [1, ...] if all rows name the same slot, which holds for any number of rows, else
        [rows, ...]."""
        if len(set(slots)) == 1:
            return self._bank.view(slots[0])
        named = onnxruntime.OrtValue.ortvalue_from_numpy(np.asarray(slots, np.int64))
        self._binding.bind_ortvalue_input("slots", named)
        for name in self._outputs:
            self._binding.bind_output(name)
        self._session.run_with_iobinding(self._binding)
        return dict(zip(self._bank.values, self._binding.get_outputs(), strict=True))
