"""What a version's evaluation measures beside the gate, in the engine that has answered already."""

from collections.abc import Callable, Sequence
from typing import Any

from engine.engine import Engine
from engine.precision import Precision
from retrain.as_served import measure_as_served
from retrain.baselines import Baseline, Taught, answer_as_baselines
from retrain.dataset import Row
from retrain.features import FeatureCache
from retrain.perturb import perturbations
from retrain.report import SEED, Answered, make_report
from retrain.robustness import Robustness, choose_rows, measure_robustness

_FEATURES_SHARE, _BASELINES_SHARE, _ROBUST_SHARE = 0.4, 0.8, 0.9
"""Of the time, when each is done."""


def measure_version(
    engine: Engine,
    key: str,
    answered: Answered,
    *,
    precision: Precision,
    features: FeatureCache,
    others: Sequence[Baseline],
    progress: Callable[[float], None],
) -> dict[str, Any]:
    """The report of the version whose adapter `key` is resident in `engine`.

    precision: the one in which it will be served. features: of the base, for the baselines. others: what further
    baselines answered to the test rows. progress: called with the share that is done, 0 to 1.
    """
    parts = _with_features(features, answered, lambda share: progress(_FEATURES_SHARE * share))
    baselines = answer_as_baselines(
        *parts, progress=lambda share: progress(_FEATURES_SHARE + (_BASELINES_SHARE - _FEATURES_SHARE) * share)
    )
    robustness = _perturbed(engine, key, answered)
    progress(_ROBUST_SHARE)
    texts = [row.text for row in answered.test]
    served = measure_as_served(engine, key, texts, labels=len(answered.version.labels), precision=precision)
    report = make_report(answered, (*baselines, *others), robustness, served)
    progress(1.0)
    return report


def _with_features(
    cache: FeatureCache, answered: Answered, progress: Callable[[float], None]
) -> tuple[Taught, Taught, Taught]:
    """Training, validation and test rows; asked for as one list, which is that of the snapshot."""
    splits: tuple[tuple[Row, ...], ...] = (answered.train, answered.validation, answered.test)
    found = cache.of([row.text for rows in splits for row in rows], progress=progress)
    ends = [0]
    for rows in splits:
        ends.append(ends[-1] + len(rows))
    train, validation, test = (
        Taught(rows, found[start:end]) for rows, start, end in zip(splits, ends, ends[1:], strict=False)
    )
    return train, validation, test


def _perturbed(engine: Engine, key: str, answered: Answered) -> Robustness:
    labels = answered.version.labels

    def answer(texts: Sequence[str]) -> list[str]:
        scored = engine.score(texts, key, labels=len(labels))
        return [labels[i] for i in scored.probabilities.argmax(axis=1)]

    chosen = choose_rows(answered.length_tokens, changes=len(perturbations(SEED)), seed=SEED)
    rows = [answered.test[i] for i in chosen]
    return measure_robustness(
        answer,
        [row.text for row in rows],
        [row.label for row in rows],
        [answered.version.predicted[i] for i in chosen],
        seed=SEED,
    )
