"""Frozen features: what a base makes of texts before anything is trained on it.

They are what the `head` strategy trains on, and by what data is audited, baselines are fitted and strategies chosen.
So they are computed once for a list of texts and kept, in the worker's own folder, under the digest of base and texts.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from engine.engine import Engine

KEPT_LISTS = 8
"""Lists of features that stay on disk; the one that was longest unused goes first."""
_TENSOR = "features"


class FeatureCache:
    """Features of lists of texts under one base. Belongs to one thread; processes may share its folder."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        """folder: made if it is not there. engine: of the base; its features are those that will be served."""
        self._folder = folder
        self._engine = engine

    def of(
        self,
        texts: Sequence[str],
        *,
        among: Sequence[str] = (),
        progress: Callable[[float], None] = lambda share: None,
    ) -> NDArray[np.float32]:
        """[texts, hidden] float32, in the order of `texts`; equal texts are computed once.

        among: the whole list that `texts` are part of, such as all rows of a snapshot; whoever asks for another part of
        it finds it computed. progress: called with the share that is done, 0 to 1.
        """
        different = sorted({*texts, *among})
        place = {text: i for i, text in enumerate(different)}
        file = self._folder / f"{self._digest(different)}.safetensors"
        features = _read(file, rows=len(different))
        if features is None:
            features = self._engine.embed(different, on_batch=progress)
            self._keep(file, features)
        progress(1.0)
        return features[[place[text] for text in texts]]

    def _digest(self, texts: Sequence[str]) -> str:
        digest = hashlib.sha256(self._engine.bundle.name.encode())  # an artifact folder is named by its content
        for text in texts:
            encoded = text.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
        return digest.hexdigest()

    def _keep(self, file: Path, features: NDArray[np.float32]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        incoming = file.with_suffix(f".{os.getpid()}")
        save_file({_TENSOR: features}, incoming)
        incoming.replace(file)
        kept = sorted(self._folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in kept[KEPT_LISTS:]:
            old.unlink(missing_ok=True)


def _read(file: Path, *, rows: int) -> NDArray[np.float32] | None:
    """What was kept; None where nothing was, or not all of it."""
    try:
        features = load_file(file)[_TENSOR]
    except (FileNotFoundError, SafetensorError, KeyError):
        return None
    if len(features) != rows:
        return None
    os.utime(file)
    return features
