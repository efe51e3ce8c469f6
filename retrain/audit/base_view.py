"""What a base makes of the rows: features and lengths, for those parts of an audit that letters cannot answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from retrain.dataset import Row, group_key

if TYPE_CHECKING:  # an audit without a base does not load the runtime
    from engine.engine import Engine
    from retrain.features import FeatureCache


@dataclass(frozen=True, slots=True, eq=False)
class BaseView:
    features: NDArray[np.float32]
    """[rows, hidden], in the order of the rows."""
    length_tokens: NDArray[np.int64]
    """[rows], before anything is cut off."""
    max_tokens: int
    """Where the base cuts texts off."""
    known: NDArray[np.float32] | None = None
    """[texts, hidden]: of texts that it is known how well the base does on, each once: those that the version in
    production was validated on. None if there are none."""


class Look(Protocol):
    """Shows rows to a base. known: texts that it is known how well it does on."""

    def __call__(self, rows: Sequence[Row], *, known: Sequence[str] = ()) -> BaseView: ...


def view_rows(
    rows: Sequence[Row],
    engine: "Engine",
    cache: "FeatureCache",
    *,
    known: Sequence[str] = (),
    progress: Callable[[float], None] = lambda share: None,
) -> BaseView:
    """engine: of the base, cache: over it. known: see BaseView. progress: called with the share done, 0 to 1."""
    texts = [row.text for row in rows]
    different = list({group_key(text): text for text in known}.values())
    among = texts if set(different) <= set(texts) else ()  # computed with them already
    return BaseView(
        features=cache.of(texts, progress=progress),
        length_tokens=np.array(engine.modality.count_tokens(texts), np.int64),
        max_tokens=engine.spec.max_tokens,
        known=cache.of(different, among=among) if different else None,
    )


def look_with(
    bundle: Path,
    features: Path,
    *,
    provider: str = "auto",
    progress: Callable[[float], None] = lambda share: None,
) -> Look:
    """Shows rows to the base in `bundle`, once they are there. features: folder that keeps frozen features."""

    def look(rows: Sequence[Row], *, known: Sequence[str] = ()) -> BaseView:
        from engine.engine import Engine
        from retrain.features import FeatureCache

        engine = Engine(bundle, slots=2, lanes=1, provider=provider)
        return view_rows(rows, engine, FeatureCache(features, engine), known=known, progress=progress)

    return look
