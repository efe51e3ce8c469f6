"""Power: windows in which something did drift, and what sees it, each test at the same false-alarm rate.

Ours is asked at its stated rate. Evidently's tests, every one by itself on every column, get the threshold at which
they raise as many false alarms: the quantile of what they say of windows in which nothing drifted. Which of them is
best is found on one half of the windows in which something did, and all are compared on the other half.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.frame import begin, options, tell
from benchmarks.public_data import OUT_OF_SCOPE, Served, featured, reference_of, served
from engine.cores import usable_cores
from monitor.backtest import exact_interval, window_of
from monitor.joint_test import deals_for, joint_test
from monitor.signals import LABEL, Signals, signals_of

REFERENCE_ROWS, WINDOW_ROWS = 1_000, 500
RATE = 0.01
TRAIN_ROWS = {"clinc150": 7_500, "snips": 3_000}
UNSEEN_DOMAIN = "travel"
OURS = "driftgate"
_NUMERICAL = (
    *("ks", "wasserstein", "jensenshannon", "psi", "kl_div", "hellinger", "anderson", "cramer_von_mises"),
    *("ed", "mannw", "t_test"),
)
_CATEGORICAL = ("chisquare", "jensenshannon", "psi", "kl_div", "hellinger")
_P_VALUES = frozenset({"ks", "anderson", "cramer_von_mises", "mannw", "t_test", "chisquare"})
_MANY_AT_ONCE = 20
"""Windows that a process judges before it reports."""


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    world: str
    share: float = 0.0
    """Of a window's rows, that the model was not made for."""
    weight: float = 1.0
    """How often rows of one class, another in each window, come compared with before."""
    asked: float | None = None
    """Share of windows that must be seen."""


SCENARIOS = (
    Scenario("out of scope 20 %", "clinc150", share=0.2, asked=0.95),
    Scenario("out of scope 5 %", "clinc150", share=0.05),
    Scenario("unseen domain 30 %", "clinc150, a domain unseen", share=0.3, asked=0.95),
    Scenario("unseen domain 5 %", "clinc150, a domain unseen", share=0.05),
    Scenario("one class doubled", "snips", weight=2.0),
)


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A model and rows that did not train it, as indices: those that it was made for, and those that it was not."""

    held: Served
    own: NDArray[np.int64]
    strange: NDArray[np.int64]


def main() -> None:
    parser = options("drift_power", __doc__)
    parser.add_argument("--null-windows", type=int, default=2_000, help="for each model (default: %(default)s)")
    parser.add_argument("--windows", type=int, default=400, help="for each scenario (default: %(default)s)")
    asked = begin(parser)
    for name in dict.fromkeys(scenario.world.split(",")[0] for scenario in SCENARIOS):
        featured(name)  # so that the processes find it
    with ProcessPoolExecutor(usable_cores(), initializer=threadpool_limits, initargs=(1,)) as pool:
        for world in dict.fromkeys(scenario.world for scenario in SCENARIOS):
            null = _scores(pool, Scenario("nothing", world), asked.null_windows)
            alarms = int(np.sum(null[OURS] >= -RATE))
            low, high = exact_interval(alarms, asked.null_windows)
            tell(f"{world}, nothing drifts: {alarms / asked.null_windows:.1%} [{low:.1%} to {high:.1%}] at {RATE:.0%}")
            for scenario in SCENARIOS:
                if scenario.world == world:
                    for line in _lines(scenario, null, _scores(pool, scenario, asked.windows)):
                        tell(line)


def _lines(
    scenario: Scenario, null: Mapping[str, NDArray[np.float64]], found: Mapping[str, NDArray[np.float64]]
) -> list[str]:
    windows = len(found[OURS])
    seen = {test: found[test] > np.quantile(null[test], 1 - RATE, method="higher") for test in null if test != OURS}
    seen[OURS] = found[OURS] >= -RATE
    half = windows // 2
    best = sorted(seen.keys() - {OURS}, key=lambda test: -seen[test][:half].mean())[:3]
    ours = int(seen[OURS].sum())
    low, high = exact_interval(ours, windows)
    delay = f"{windows / ours:.1f} windows" if ours else "never"
    asked = ""
    if scenario.asked is not None:
        asked = f" (asked {scenario.asked:.0%}{'' if ours >= scenario.asked * windows else ', MISSED'})"
    difference = seen[OURS][half:].astype(float) - seen[best[0]][half:]
    error = 1.96 * difference.std() / np.sqrt(len(difference))
    behind = ", MISSED" if difference.mean() + error < 0 else ""
    return [
        f"{scenario.name}: seen in {ours / windows:.1%} [{low:.1%} to {high:.1%}] of {windows}{asked}, "
        f"first finding after {delay} on average",
        f"  on the second half: {seen[OURS][half:].mean():.1%}; Evidently's best single tests at the same false-alarm "
        "rate: " + ", ".join(f"{test} {seen[test][half:].mean():.1%}" for test in best),
        f"  ours less the best of them: {difference.mean():+.1%} +- {error:.1%}{behind}",
    ]


def _scores(pool: ProcessPoolExecutor, scenario: Scenario, windows: int) -> Mapping[str, NDArray[np.float64]]:
    """By test, what it says of each window; more is more evidence."""
    seeds = [range(start, min(start + _MANY_AT_ONCE, windows)) for start in range(0, windows, _MANY_AT_ONCE)]
    scores: dict[str, list[float]] = defaultdict(list)
    for part in pool.map(judge, repeat(scenario), seeds):
        for test, values in part.items():
            scores[test] += values
    return {test: np.array(values) for test, values in scores.items()}


_worlds: dict[str, World] = {}


def judge(scenario: Scenario, seeds: range) -> dict[str, list[float]]:
    if scenario.world not in _worlds:
        _worlds.clear()
        _worlds[scenario.world] = _world(scenario.world)
    scores: dict[str, list[float]] = defaultdict(list)
    for seed in seeds:
        rng = np.random.default_rng([*scenario.name.encode(), *scenario.world.encode(), seed])
        signals = _drawn(_worlds[scenario.world], scenario, rng)
        found = joint_test(signals, deals_for(REFERENCE_ROWS, WINDOW_ROWS, RATE))
        scores[OURS].append(-min(signal.p_value for signal in found.values()))
        for test, score in _evidently(signals):
            scores[test].append(score)
    return dict(scores)


def _world(name: str) -> World:
    data, _, without = name.partition(", ")
    strange = UNSEEN_DOMAIN if without else OUT_OF_SCOPE
    unknown = {OUT_OF_SCOPE, strange}
    held = served(featured(data), train_rows=TRAIN_ROWS[data], known=lambda entry: entry.domain not in unknown)
    domains = np.array([entry.domain for entry in held.entries])
    own = np.flatnonzero(~np.isin(domains, sorted(unknown)))
    return World(held, own, np.flatnonzero(domains == strange))


def _drawn(world: World, scenario: Scenario, rng: np.random.Generator) -> Signals:
    order = rng.permutation(world.own)
    reference, rest = order[:REFERENCE_ROWS], order[REFERENCE_ROWS:]
    if scenario.weight != 1:
        label = rng.integers(len(world.held.labels))
        weights = np.where(world.held.true_label[rest] == label, scenario.weight, 1.0)
        rest = rng.choice(rest, WINDOW_ROWS, replace=False, p=weights / weights.sum())
    strange = rng.choice(world.strange, round(scenario.share * WINDOW_ROWS), replace=False)
    rows = np.concatenate([rest[: WINDOW_ROWS - len(strange)], strange])
    return signals_of(reference_of(world.held, reference), window_of(rows, world.held.scored))


def _evidently(signals: Signals) -> Iterator[tuple[str, float]]:
    """Each of its two-sample tests on each column that a check draws; more is more evidence, and least of all where a
    test cannot be made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports, and of what the tests make of columns like these
        import pandas as pd
        from evidently.legacy.calculations.stattests import get_stattest
        from evidently.legacy.core import ColumnType

        for name, signal in signals.by_name.items():
            kind, tests = ("cat", _CATEGORICAL) if name == LABEL else ("num", _NUMERICAL)
            drawn = signal.drawn.astype(str) if name == LABEL else signal.drawn
            reference, window = pd.Series(drawn[: signals.reference_rows]), pd.Series(drawn[signals.reference_rows :])
            still = len(np.unique(drawn)) < 2
            for test in tests:
                score = -np.inf
                if not still:
                    asked = get_stattest(reference, window, ColumnType(kind), test)
                    said, _ = asked.func(reference, window, ColumnType(kind), asked.default_threshold)
                    score = -float(said) if test in _P_VALUES else float(said)
                yield f"{test} of {name}", -np.inf if np.isnan(score) else score


if __name__ == "__main__":
    main()
