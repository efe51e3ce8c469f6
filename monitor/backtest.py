"""What the monitor would have said: the check in use, on windows made of a person's own rows.

Two questions before an alarm is switched on. Of rows that are as they should be: how often does it cry wolf? Of rows
of which a share comes from elsewhere: how often does it notice, and after how many windows? Signals, tests and verdict
are those of a scheduled check; only the rows come from a file instead of the store.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from monitor.accuracy import Estimate, estimated_accuracy
from monitor.decision import DriftDecision, DriftRules, PastCheck, Verdict, decide_drift
from monitor.joint_test import deals_for, joint_test
from monitor.signals import signals_of
from monitor.window import Window
from store.errors import BadInput
from store.reference import Reference

if TYPE_CHECKING:  # the monitor itself needs no ONNX Runtime
    from engine.engine import Scored


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """The rows of one window, as indices: of the rows that are to be judged, and of those mixed in."""

    own: NDArray[np.int64]
    other: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Judged:
    """One window."""

    decision: DriftDecision
    estimated: Estimate | None
    """Accuracy as the calibrated confidence has it."""


@dataclass(frozen=True, slots=True)
class Backtest:
    """All windows together."""

    windows: int
    window_rows: int
    alarms: int
    """Windows in which a signal crossed its threshold, confirmed or not: what `false_alarm_rate` bounds."""
    interval: tuple[float, float]
    """95 % interval of `rate`, as if the windows were independent (Clopper and Pearson 1934). They are the less so the
    fewer rows they are drawn from, and all are compared with the same reference."""
    confirmed: int
    """Windows with the verdict `drift`: what may start a training."""
    mean_delay_windows: float | None
    """Windows a stream takes to the verdict `drift`, both ends counted; None if none came to it."""

    @property
    def rate(self) -> float:
        return self.alarms / self.windows


def draw_windows(
    own_rows: int, *, window_rows: int, windows: int, rng: np.random.Generator, other_rows: int = 0, share: float = 0.0
) -> Iterator[Draw]:
    """Windows independent of each other, each drawn without replacement.

    share: of a window's rows, to the nearest row, that comes from the `other_rows`. Raises BadInput if rows are short,
    or for a share of less than half a row.
    """
    other = round(share * window_rows)
    if share and not other:
        raise BadInput(f"a share of {share:g} is less than one of {window_rows} rows", where="share")
    for kind, have, want in (("rows", own_rows, window_rows - other), ("rows to mix in", other_rows, other)):
        if have < want:
            raise BadInput(f"{have} {kind} are too few for windows that take {want} of them", where="window_size")
    return (
        Draw(rng.choice(own_rows, window_rows - other, replace=False), rng.choice(other_rows, other, replace=False))
        for _ in range(windows)
    )


def windows_in_order(rows: int, *, window_rows: int) -> list[Draw]:
    """One window after the other, oldest first; the rows that are left over at the end are in none."""
    if rows < window_rows:
        raise BadInput(f"{rows} rows are too few for one window of {window_rows}", where="window_size")
    starts = range(0, rows - window_rows + 1, window_rows)
    return [Draw(np.arange(start, start + window_rows), np.array([], np.int64)) for start in starts]


def window_of(rows: NDArray[np.int64], scored: "Scored") -> Window:
    """Some of the scored rows, as a check would find them in the store."""
    probabilities = scored.probabilities[rows]
    return Window(
        probabilities=probabilities.astype("<f2").astype(np.float32),
        sketches=scored.sketches[rows].astype("<f2").astype(np.float32),
        length_tokens=scored.length_tokens[rows],
        length_chars=scored.length_chars[rows],
        unknown_tokens=scored.unknown_tokens[rows],
        predicted=probabilities.argmax(axis=1),
        score=probabilities.max(axis=1).astype(np.float64),
    )


def require_reference_rows(reference: Reference, rules: DriftRules) -> None:
    """Raises BadInput for a reference that no check would compare with."""
    if reference.rows < rules.window_min_rows:
        raise BadInput(f"the reference has {reference.rows} rows, {rules.window_min_rows} are needed")


def judge_windows(
    reference: Reference, windows: Iterable[Window], rules: DriftRules, *, streams: bool
) -> Iterator[Judged]:
    """Check one window after the other, each with those before it as its past.

    streams: drift, once confirmed, is dealt with, so that the next window has no past: what is drawn becomes one
    stream after the other, each as long as the monitor took.
    """
    past: deque[PastCheck] = deque(maxlen=rules.confirm_checks)
    for window in windows:
        deals = deals_for(reference.rows, window.rows, rules.false_alarm_rate)
        tests = joint_test(signals_of(reference, window), deals)
        p_values = {name: test.p_value for name, test in tests.items()}
        decision = decide_drift(p_values, window.rows, list(past), rules)
        yield Judged(decision, estimated_accuracy(window.probabilities, reference))
        if streams and decision.verdict is Verdict.DRIFT:
            past.clear()
        else:
            past.append(PastCheck(decision.verdict, frozenset(decision.drifted)))


def summarise(judged: Sequence[Judged], *, window_rows: int, streams: bool) -> Backtest:
    """judged: at least one window, as judge_windows gave them with the same `streams`.

    The mean delay of streams counts the windows of the last, unfinished one too: without them long delays would look
    short (the estimate from censored data, if every window has the same chance).
    """
    alarms = sum(bool(window.decision.drifted) for window in judged)
    ends = [i + 1 for i, window in enumerate(judged) if window.decision.verdict is Verdict.DRIFT]
    delay = (len(judged) / len(ends) if streams else float(ends[0])) if ends else None
    return Backtest(
        windows=len(judged),
        window_rows=window_rows,
        alarms=alarms,
        interval=exact_interval(alarms, len(judged)),
        confirmed=len(ends),
        mean_delay_windows=delay,
    )


def exact_interval(successes: int, trials: int, *, coverage: float = 0.95) -> tuple[float, float]:
    """Interval of a share (Clopper and Pearson 1934, Biometrika 26:404): it never covers less than `coverage`."""
    beyond = (1 - coverage) / 2
    low = stats.beta.ppf(beyond, successes, trials - successes + 1) if successes else 0.0
    high = stats.beta.ppf(1 - beyond, successes + 1, trials - successes) if successes < trials else 1.0
    return float(low), float(high)
