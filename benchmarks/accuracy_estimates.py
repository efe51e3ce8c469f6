"""Accuracy without labels: estimates of windows whose inputs shifted, against what was right in them.

Each trial draws a reference and a window anew from rows that did not train the model. In a window domains come in other
shares than in the reference, or one domain nearly alone, or short texts, or long ones; the labels of its rows are as
they always were, so nothing of this is concept drift.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.frame import at_most, begin, claim_line, options, tell
from benchmarks.public_data import OUT_OF_SCOPE, Entry, Served, featured, reference_of, served
from monitor.accuracy import estimated_accuracy
from monitor.backtest import exact_interval
from retrain.calibrate import fit_temperature

SETS = {"clinc150": 7_500, "snips": 3_000}
"""Rows that train the model, by name."""
REFERENCE_ROWS, WINDOW_ROWS = 1_000, 500
OURS, STAYS, RAW = "calibrated confidence", "validation accuracy stays", "mean confidence"
ASKED_POINTS = 2.5

Weights = Callable[[Served, NDArray[np.int64], np.random.Generator], NDArray[np.float64]]
"""How likely each of the rows comes into a window, compared with the others."""


def _as_before(held: Served, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    return np.ones(len(rows))


def _other_mix(held: Served, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    _, domain = np.unique(_domains(held)[rows], return_inverse=True)
    return rng.dirichlet(np.full(domain.max() + 1, 0.3))[domain] + 1e-9


def _one_domain(held: Served, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    domains = _domains(held)[rows]
    return np.where(domains == rng.choice(np.unique(domains)), 1.0, 1e-3)


def _by_length(sign: float) -> Weights:
    def weights(held: Served, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
        length = held.scored.length_tokens[rows].astype(np.float64)
        return np.exp(sign * rng.uniform(0.3, 1.2) * (length - length.mean()) / length.std())

    return weights


SHIFTS: dict[str, Weights] = {
    "nothing": _as_before,
    "another mix of domains": _other_mix,
    "one domain": _one_domain,
    "short texts": _by_length(-1.0),
    "long texts": _by_length(1.0),
}


def main() -> None:
    parser = options("accuracy_estimates", __doc__)
    parser.add_argument("--sets", default=",".join(SETS), help="with commas (default: %(default)s)")
    parser.add_argument("--windows", type=int, default=300, help="for each set and shift (default: %(default)s)")
    asked = begin(parser)
    for name in asked.sets.split(","):
        held = served(featured(name), train_rows=SETS[name], known=_in_scope).only(_in_scope)
        shifted: dict[str, list[float]] = defaultdict(list)
        for shift, weights in SHIFTS.items():
            errors, covered = _trials(held, weights, asked.windows, seed=name + shift)
            low, high = exact_interval(sum(covered), len(covered))
            tell(
                f"{name}, {shift}: mean absolute error in points, "
                + ", ".join(f"{estimate} {np.mean(found):.2f}" for estimate, found in errors.items())
                + f"; the 95 % interval covers {np.mean(covered):.0%} [{low:.0%} to {high:.0%}]"
            )
            if weights is not _as_before:
                for estimate, found in errors.items():
                    shifted[estimate] += found
        tell(claim_line(f"{name}, all shifts: points", [float(np.mean(shifted[OURS]))], at_most(ASKED_POINTS)))
        tell(f"  against {STAYS} {np.mean(shifted[STAYS]):.2f}, {RAW} {np.mean(shifted[RAW]):.2f}")


def _trials(held: Served, weights: Weights, windows: int, *, seed: str) -> tuple[dict[str, list[float]], list[bool]]:
    """Errors in points by estimate, and whether our interval covers what was right."""
    right = held.scored.probabilities.argmax(axis=1) == held.true_label
    errors: dict[str, list[float]] = defaultdict(list)
    covered = []
    for number in range(windows):
        rng = np.random.default_rng([*seed.encode(), number])
        order = rng.permutation(len(held.entries))
        reference = reference_of(held, order[:REFERENCE_ROWS])
        reference = replace(reference, temperature=fit_temperature(reference.probabilities, reference.true_label))
        rest = order[REFERENCE_ROWS:]
        likely = weights(held, rest, rng)
        window = rng.choice(rest, WINDOW_ROWS, replace=False, p=likely / likely.sum())
        answered = held.scored.probabilities[window]
        ours = estimated_accuracy(answered, reference)
        assert ours is not None  # the window has rows
        actual = float(right[window].mean())
        estimates = {OURS: ours.value, STAYS: reference.accuracy, RAW: float(answered.max(axis=1).mean())}
        for estimate, value in estimates.items():
            errors[estimate].append(100 * abs(value - actual))
        covered.append(ours.low <= actual <= ours.high)
    return errors, covered


def _domains(held: Served) -> NDArray[np.str_]:
    return np.array([entry.domain or entry.label for entry in held.entries])


def _in_scope(entry: Entry) -> bool:
    return entry.domain != OUT_OF_SCOPE


if __name__ == "__main__":
    main()
