"""Writes the tables that the page /advisor works with: recipe, costs, words, models, tasks and how they fit.

    python -m cli.advisor_tables

The server may not import `retrain`, and the page computes in the browser, so it takes them from this file. It is
committed: a change of the recipe is seen for what it does to the page, and a test fails when the file is not current.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from retrain import advice, advice_words, recipe
from retrain.levels import COMPUTE, SIMILARITY
from retrain.matrix import MODELS, TASKS, compatibility

FILE = Path(__file__).parents[1] / "server" / "console" / "advisor.json"


def tables() -> dict[str, Any]:
    """As `advice.js` reads it; `constants` has the names that they have in Python."""
    return {
        "constants": {**_constants(recipe), **_constants(advice), **_constants(advice_words)},
        "costs": {device: asdict(costs) for device, costs in recipe.COSTS.items()},
        "rates": {strategy: asdict(rates) for strategy, rates in recipe.RATES.items()},
        "epochs": dict(recipe.EPOCHS),
        "names": dict(advice_words.NAMES),
        "similarity": dict(SIMILARITY),
        "compute": {word: asdict(level) for word, level in COMPUTE.items()},
        "tasks": {name: asdict(task) for name, task in TASKS.items()},
        "models": {name: asdict(model) for name, model in MODELS.items()},
        "fits": {name: {task: asdict(fit) for task, fit in row.items()} for name, row in compatibility().items()},
    }


def _constants(module: Any) -> dict[str, Any]:
    """Its plain values in capitals."""
    return {name: value for name, value in vars(module).items() if name.isupper() and _is_plain(value)}


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) or (isinstance(value, tuple) and all(map(_is_plain, value)))


def built() -> str:
    return json.dumps(tables(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(built(), "utf-8")
