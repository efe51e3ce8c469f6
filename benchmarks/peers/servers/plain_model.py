"""The model that every peer serves, used as its users would: tokenize, pad to the longest text, run, softmax.

This folder runs in the peers' own environments: the standard library, NumPy, ONNX Runtime and tokenizers, no driftgate.
"""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

CORES = len(os.sched_getaffinity(0))


class PlainModel:
    """threads: of ONNX Runtime, for one session. A peer with one process a core takes 1, else all cores."""

    def __init__(self, threads: int) -> None:
        folder = Path(os.environ["BENCH_MODEL"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # With more sessions than one, spinning threads would steal the cores from each other; a single session on all
        # cores keeps the default, which is faster for a lone request.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads == CORES else "0")
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.enable_padding()
        self._labels = json.loads((folder / "labels.json").read_text())
        self.predict(["warm up"])

    def predict(self, texts: list[str]) -> list[dict[str, object]]:
        """One answer a text, all of them in one padded batch."""
        encodings = self._tokenizer.encode_batch(texts)
        ids = np.array([encoding.ids for encoding in encodings], np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], np.int64)
        (logits,) = self._session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        probabilities = shifted / shifted.sum(1, keepdims=True)
        best = probabilities.argmax(1)
        return [
            {"label": self._labels[label], "score": float(row[label])}
            for row, label in zip(probabilities, best, strict=True)
        ]
