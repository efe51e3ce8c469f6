"""Checks a version's faster precisions on a person's file; `adapter import` and `model precision` both do."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.extras import require_extra
from cli.parts import Parts
from cli.progress import spinner
from engine.precision import Precision, PrecisionCheck, judge

if TYPE_CHECKING:  # the extra `retrain` may be missing
    from retrain.dataset import Row


def read_check_rows(data: Path, *, text_column: str, label_column: str) -> "list[Row]":
    """Raises ExtraMissing; BadInput for a file that cannot be read."""
    require_extra("retrain")
    from retrain.dataset import read_rows

    return read_rows(data, text_column=text_column, label_column=label_column)


def run_check(
    parts: Parts,
    base_artifact: str,
    adapter: Path,
    rows: "Sequence[Row]",
    *,
    labels: Sequence[str],
    trained: Collection[str] = (),
) -> dict[Precision, PrecisionCheck]:
    """Check the adapter folder. trained: groups of the rows that trained it. Raises BadInput if no row may check it."""
    from retrain.evaluate import check_precisions, rows_to_check

    usable = rows_to_check(rows, labels=labels, trained=trained)
    with spinner(f"checking its precisions on {len(usable):,} rows"):
        return check_precisions(parts.artifacts.fetch(base_artifact), adapter, usable, provider=parts.settings.provider)


def tell_checks(checks: Mapping[Precision, PrecisionCheck], max_loss: float) -> str:
    """All verdicts in one line."""
    verdicts = {name: judge(check, max_loss) for name, check in checks.items()}
    return "; ".join(f"{name} {'passed' if v.allowed else 'failed'}: {v.why}" for name, v in verdicts.items())
