"""The report of a version: all that is measured on its test rows, as plain data (store/report.py keeps it).

Nothing here decides; the gate does, on fewer figures. Everything rests on the same rows, those of `Scores` in the
run's summary, and on nothing that the version was trained on or tuned with.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrain.as_served import AsServed
from retrain.baselines import Baseline
from retrain.bootstrap import DRAWS, Draws, bootstrap_interval, draw_figures
from retrain.calibrate import fit_temperature
from retrain.compare import compare_answers
from retrain.dataset import Row
from retrain.reliability import apply_temperature, measure_reliability
from retrain.robustness import Robustness
from retrain.roc_auc import macro_roc_auc
from retrain.scores import Scores, score_labels
from retrain.slices import measure_slices, slice_rows

SEED = 0
"""Of the draws of the bootstrap, of the rows that are perturbed and of their typos."""
_MOST_CONFUSED = 20


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """What a version, and the one in production, answered to the rows that it is judged on."""

    train: tuple[Row, ...]
    validation: tuple[Row, ...]
    test: tuple[Row, ...]
    """At least one."""
    new: Collection[Row]
    """Test rows that came since production was trained."""
    length_tokens: NDArray[np.int64]
    """[test rows]"""
    version: Baseline
    """With its probabilities."""
    production: Baseline | None
    tuned: NDArray[np.float32]
    """The version's probabilities of the validation rows, [validation rows, classes]."""


def make_report(
    answered: Answered, baselines: Sequence[Baseline], robustness: Robustness, served: AsServed
) -> dict[str, Any]:
    """See docs/evaluation.md for what each key says."""
    rows, version, production = answered.test, answered.version, answered.production
    truth = [row.label for row in rows]
    systems = [version, *([] if production is None else [production]), *baselines]
    scores = [score_labels(truth, system.predicted) for system in systems]
    draws = draw_figures(truth, [system.predicted for system in systems], seed=SEED)
    correct = [_correct(truth, system) for system in systems]
    parts = slice_rows(rows, answered.length_tokens, new=answered.new)
    slices = measure_slices(parts, correct[0], None if production is None else correct[1])
    return {
        "rows": {
            "train": len(answered.train),
            "validation": len(answered.validation),
            "test": len(rows),
            "new": len(answered.new),
        },
        "labels": list(version.labels),
        "systems": [
            {
                **_system(system, own, drawn, truth),
                "difference": None if system is version else asdict(compare_answers(correct[0], answered)),
                "difference_macro_f1": None if system is version else _difference(scores[0], draws[0], own, drawn),
            }
            for system, own, drawn, answered in zip(systems, scores, draws, correct, strict=True)
        ],
        "classes": _classes(scores[0], scores[1] if production is not None else None),
        "confusion": [
            [true, answer, count] for true, found in scores[0].confusion.items() for answer, count in found.items()
        ],
        "confused": _confused(scores[0]),
        "calibration": _calibration(answered, truth),
        "slices": {
            "too_small": slices.too_small,
            "found": [{**asdict(one), "worse": one.worse} for one in slices.found],
        },
        "robustness": asdict(robustness),
        "served": asdict(served),
        "how": {"confidence": 0.95, "bootstrap_draws": DRAWS, "seed": SEED},
    }


def summarise(report: dict[str, Any]) -> dict[str, Any]:
    """What of a report goes into the records of version and run."""
    candidate, *others = report["systems"]
    return {
        "macro_f1_interval": [candidate["macro_f1"]["low"], candidate["macro_f1"]["high"]],
        "roc_auc": candidate["roc_auc"],
        "calibration_error": report["calibration"]["before"]["error"],
        "baselines": {
            system["name"]: {
                "accuracy": system["accuracy"]["value"],
                "macro_f1": system["macro_f1"]["value"],
                "difference": system["difference"]["value"],
                "interval": [system["difference"]["low"], system["difference"]["high"]],
                "p_value": system["difference"]["p_value"],
            }
            for system in others
        },
    }


def _system(system: Baseline, scores: Scores, draws: Draws, truth: Sequence[str]) -> dict[str, Any]:
    bootstrap = bootstrap_interval(scores.accuracy, draws.accuracy)
    low, high = bootstrap_interval(scores.macro_f1, draws.macro_f1)
    return {
        "name": system.name,
        "about": system.about,
        "seconds": system.seconds,
        "accuracy": {
            "value": scores.accuracy,
            "low": scores.interval[0],
            "high": scores.interval[1],
            "bootstrap": list(bootstrap),
        },
        "macro_f1": {"value": scores.macro_f1, "low": low, "high": high},
        "roc_auc": (
            None if system.probabilities is None else macro_roc_auc(system.probabilities, _index(truth, system.labels))
        ),
    }


def _difference(one: Scores, drawn: Draws, other: Scores, drawn_other: Draws) -> dict[str, float]:
    value = one.macro_f1 - other.macro_f1
    low, high = bootstrap_interval(value, drawn.macro_f1 - drawn_other.macro_f1, least=-1.0)
    return {"value": value, "low": low, "high": high}


def _classes(scores: Scores, production: Scores | None) -> list[dict[str, Any]]:
    """The worst first."""
    before = {} if production is None else production.classes
    found = [
        {"label": label, **asdict(own), "production_f1": before[label].f1 if label in before else None}
        for label, own in scores.classes.items()
    ]
    return sorted(found, key=lambda one: (one["f1"], one["label"]))


def _confused(scores: Scores) -> list[dict[str, Any]]:
    """Pairs of labels that are mistaken for each other most often: those with most rows first."""
    pairs: list[dict[str, Any]] = [
        {"true": true, "answered": answer, "rows": count, "of": scores.classes[true].rows}
        for true, found in scores.confusion.items()
        for answer, count in found.items()
        if answer != true
    ]
    return sorted(pairs, key=lambda pair: (-pair["rows"], pair["of"], pair["true"], pair["answered"]))[:_MOST_CONFUSED]


def _calibration(answered: Answered, truth: Sequence[str]) -> dict[str, Any]:
    """As served, and with the temperature that fits the validation rows, which are not those that it is shown on."""
    labels, probabilities = answered.version.labels, answered.version.probabilities
    if probabilities is None:
        raise ValueError("the version itself has no probabilities")
    true_label = _index(truth, labels)
    temperature = fit_temperature(answered.tuned, _index([row.label for row in answered.validation], labels))
    calibrated = apply_temperature(probabilities, temperature)
    return {
        "temperature": temperature,
        "before": asdict(measure_reliability(probabilities, true_label)),
        "after": asdict(measure_reliability(calibrated, true_label)),
    }


def _correct(truth: Sequence[str], system: Baseline) -> NDArray[np.bool_]:
    return np.array([one == other for one, other in zip(truth, system.predicted, strict=True)], np.bool_)


def _index(truth: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    place = {label: i for i, label in enumerate(labels)}
    return np.array([place.get(label, -1) for label in truth], np.int64)
