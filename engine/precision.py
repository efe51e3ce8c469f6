"""The precisions in which the frozen part of a base can compute, and which one may serve a version.

A faster precision rounds more, so it may answer some rows wrongly that fp32 answers rightly, and the other way round.
It serves a version only once that has been counted on the version's own held-out rows, and the loss is small beyond
reasonable doubt (docs/decisions/0007-precision-check.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any, Literal, get_args

Precision = Literal["fp32", "bf16", "int8"]

CONFIDENCE = 0.95
"""With which a loss beyond the allowed one is excluded."""
MIN_SPEEDUP = 1.1
"""`auto` leaves fp32 only for something at least so many times as fast."""
_CORRECTION_ROWS = 0.25
"""Added to the rows lost: it brings the score interval's exact error, up to 6.8 % without it, below 5 %."""
_MOST_ROWS = 10_000_000


@dataclass(frozen=True, slots=True)
class PrecisionCheck:
    """One version in a faster precision against itself in fp32, on the same labelled rows."""

    precision: Precision
    rows: int
    lost: int
    """Rows that only fp32 answered rightly."""
    gained: int
    """Rows that only the faster precision answered rightly."""

    @property
    def loss(self) -> float:
        """Accuracy lost on these rows, 0 to 1; negative for a gain."""
        return (self.lost - self.gained) / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class PrecisionVerdict:
    allowed: bool
    bound: float
    """Accuracy that is lost at most, with the confidence asked for."""
    why: str


@dataclass(frozen=True, slots=True)
class PrecisionChoice:
    precision: Precision
    why: str


def checks_to_json(checks: Mapping[Precision, PrecisionCheck]) -> dict[str, dict[str, int]]:
    """As a version's evaluation keeps them, under the key `precision`."""
    return {name: {"rows": c.rows, "lost": c.lost, "gained": c.gained} for name, c in checks.items()}


def checks_from_json(data: Mapping[str, Any]) -> dict[Precision, PrecisionCheck]:
    """The checks of precisions that are known here."""
    return {
        name: PrecisionCheck(name, data[name]["rows"], data[name]["lost"], data[name]["gained"])
        for name in get_args(Precision)
        if name in data
    }


def speeds_from_json(data: Mapping[str, float]) -> dict[Precision, float]:
    """Tokens/s of the precisions that are known here, as a base's record keeps them."""
    return {name: data[name] for name in get_args(Precision) if name in data}


def loss_upper_bound(rows: int, lost: float, gained: float, *, confidence: float = CONFIDENCE) -> float:
    """One-sided upper confidence bound of the accuracy that is lost, from paired answers.

    Tango's score interval for the difference of paired proportions (1998, Statistics in Medicine 17:891), with a
    quarter of a row added to the lost ones. Without rows it is 1.
    """
    if not (0 <= lost <= rows and 0 <= gained <= rows and lost + gained <= rows):
        raise ValueError(f"{lost} rows lost and {gained} gained of {rows}")
    if rows == 0:
        return 1.0
    z = NormalDist().inv_cdf(confidence)
    low, high = (lost - gained) / rows, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if _score(rows, lost + _CORRECTION_ROWS, gained, middle) > -z:
            low = middle
        else:
            high = middle
    return high


def judge(check: PrecisionCheck, max_loss: float) -> PrecisionVerdict:
    """Whether this precision may serve. max_loss: accuracy that it may cost, 0 to 1."""
    bound = loss_upper_bound(check.rows, check.lost, check.gained)
    found = (
        f"{check.precision} lost {check.lost:,} and gained {check.gained:,} of {check.rows:,} rows against fp32: "
        f"at most {_points(bound)} points of accuracy lost with {CONFIDENCE:.0%} confidence, "
        f"{_points(max_loss)} are allowed"
    )
    if bound <= max_loss:
        return PrecisionVerdict(True, bound, found)
    if check.loss >= max_loss:
        return PrecisionVerdict(False, bound, f"{found}; on these rows alone it lost {_points(check.loss)}")
    needed = rows_needed(check, max_loss)
    more = f"at this rate {needed:,} rows would be needed" if needed else "no number of rows could show it"
    return PrecisionVerdict(False, bound, f"{found}; {more}")


def rows_needed(check: PrecisionCheck, max_loss: float) -> int | None:
    """Rows with which a check that goes on at the same rates would pass; None if more would hardly help."""

    def passes(rows: int) -> bool:
        scale = rows / check.rows if check.rows else 0.0
        return loss_upper_bound(rows, check.lost * scale, check.gained * scale) <= max_loss

    high = max(1, check.rows)
    while not passes(high):
        high *= 2
        if high > _MOST_ROWS:
            return None
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high


def choose_precision(
    asked: Precision | Literal["auto"],
    *,
    speeds: Mapping[Precision, float],
    checks: Mapping[Precision, PrecisionCheck],
    max_loss: float,
) -> PrecisionChoice:
    """The precision that serves a version, and why.

    speeds: tokens/s of what can run here. checks: of this version. `auto` takes the fastest that passed its check and
    is worth it; one asked for by name serves only a version that passed. fp32 always may.
    """
    if asked == "fp32":
        return PrecisionChoice("fp32", "fp32 was asked for")
    if asked == "auto":
        plain = speeds.get("fp32", float("inf"))
        worth = [name for name in speeds if name != "fp32" and speeds[name] >= MIN_SPEEDUP * plain]
        wanted = sorted(worth, key=lambda name: -speeds[name])
        measured = "nothing that runs here is faster than fp32" if speeds else "the base's speeds were never measured"
        refusals = [] if wanted else [measured]
    else:
        wanted = [asked] if asked in speeds else []
        refusals = [] if wanted else [f"{asked} cannot run here"]
    for name in wanted:
        if name not in checks:
            refusals.append(f"{name} has not been checked on this version's own data")
            continue
        verdict = judge(checks[name], max_loss)
        if verdict.allowed:
            return PrecisionChoice(name, verdict.why)
        refusals.append(verdict.why)
    return PrecisionChoice("fp32", "; ".join(refusals))


def _score(rows: int, lost: float, gained: float, loss: float) -> float:
    """Standardised distance of what was counted from a true `loss`; the nuisance parameter is its constrained MLE."""
    a = 2 * rows
    b = (2 * rows - lost + gained) * loss - lost - gained
    c = -gained * loss * (1 - loss)
    gained_share = (sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = rows * (2 * gained_share + loss * (1 - loss))
    return (lost - gained - rows * loss) / sqrt(variance) if variance > 0 else float("-inf")


def _points(share: float) -> str:
    """Percentage points, with enough digits for small ones."""
    return f"{100 * share:.2f}" if abs(share) >= 0.0005 else f"{100 * share:.3f}"
