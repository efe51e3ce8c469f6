"""What whoever published a base says of it: read from the front matter of its README and from its config.

Nothing is invented: what is not stated is not in the card, so that a reader can tell "none" from "unknown".
"""

import json
import re
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

_CONFIG_KEYS = ("model_type", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings")
_FRONT_MATTER = re.compile(r"\s*---\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", re.DOTALL)
_HEADING = re.compile(r"(#{1,6})\s+(.*)$")
_SETTING = re.compile(r"\s*[-*]\s+([^\s:=][^:=]{0,80})[:=](.*)$")
"""Name and value still in their quotes. Both patterns read a line once: a stranger wrote it."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ .-]{0,40}")

_KNOWN_SETTING = re.compile(
    r"learning|^lr|epoch|batch|warm|decay|optimi|schedul|dropout|length|seed|rank|alpha|steps|precision|clip",
    re.IGNORECASE,
)
"""Lists below such headings hold results and links, too."""


def read_base_card(folder: Path, *, licence: str | None = None) -> dict[str, Any]:
    """What is stated, under the keys that are stated:

    licence: `name`, `link`, and `stated_by` (`model card` or `person`); pretrained_on: `datasets`, `base_models`,
    `languages`; benchmarks: a list of `task`, `dataset`, `metric`, `value`; fine_tuning: recommended settings by name,
    and hyperparameters: those that it was made with, both as written in lists of the README; config: sizes.
    licence: what a person says it is; it wins over the card.
    """
    data, text = _read_readme(folder / "README.md")
    config = _read_json(folder / "config.json")
    card = {
        "licence": _licence(data, licence),
        "pretrained_on": _stated(
            datasets=_names(data.get("datasets")),
            base_models=_names(data.get("base_model")),
            languages=_names(data.get("language")),
        ),
        "benchmarks": _benchmarks(data.get("model-index")),
        "fine_tuning": _settings_below(text, r"fine-?tun"),
        "hyperparameters": _settings_below(text, r"hyper-?\s?parameter"),
        "intended_task": data.get("pipeline_tag"),
        "config": _stated(**{key: config.get(key) for key in _CONFIG_KEYS}),
    }
    return _stated(**card)


def _read_readme(path: Path) -> tuple[Mapping[str, Any], str]:
    """Front matter and the text after it; a front matter that nobody can read says nothing.

    Every value is a string: YAML itself takes Norwegian, `no`, for a refusal.
    """
    content = path.read_text("utf-8", errors="replace") if path.exists() else ""
    parts = _FRONT_MATTER.match(content)
    if parts is None:
        return {}, content
    try:
        data = yaml.load(parts[1], Loader=yaml.BaseLoader)  # noqa: S506  # makes nothing but strings, lists and dicts
    except yaml.YAMLError:
        data = {}
    return _mapping(data), content[parts.end() :]


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return _mapping(found)


def _licence(data: Mapping[str, Any], said: str | None) -> dict[str, str] | None:
    stated = " AND ".join(_names(data.get("license")))
    if stated.lower() in ("", "other"):
        stated = str(data.get("license_name") or stated)
    if said is not None:
        return _stated(name=said, stated_by="person", card_says=stated if stated and stated != said else None)
    return _stated(name=stated, link=data.get("license_link"), stated_by="model card") if stated else None


def _benchmarks(index: Any) -> list[dict[str, Any]]:
    """Published results of a `model-index` (github.com/huggingface/hub-docs, modelcard.md)."""
    found = []
    for model in _list(index):
        for result in _list(model.get("results")):
            task, dataset = _mapping(result.get("task")), _mapping(result.get("dataset"))
            for metric in _list(result.get("metrics")):
                one = _stated(
                    task=task.get("name") or task.get("type"),
                    dataset=dataset.get("name") or dataset.get("type"),
                    metric=metric.get("name") or metric.get("type"),
                    value=_number(metric.get("value")),
                )
                if "value" in one:
                    found.append(one)
    return found


def _settings_below(text: str, heading: str) -> dict[str, str]:
    """`- name: value` lines below headings that hold `heading`, up to the next heading that is not below it."""
    found: dict[str, str] = {}
    level = 0
    for line in text.splitlines():
        title = _HEADING.match(line)
        if title and re.search(heading, title[2], re.IGNORECASE):
            level = len(title[1])
        elif title and len(title[1]) <= level:
            level = 0
        elif level and (setting := _setting_of(line)) and _KNOWN_SETTING.search(setting[0]):
            found.setdefault(*setting)
    return found


def _setting_of(line: str) -> tuple[str, str] | None:
    """`- **name**: `value``, with any of these marks or none."""
    parts = _SETTING.match(line)
    if parts is None:
        return None
    name, value = parts[1].strip(" \t`*"), parts[2].strip()
    value = value.removeprefix("**").lstrip().removeprefix("`").removesuffix("`").strip()
    return (name, value) if _NAME.fullmatch(name) and value else None


def _names(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [str(name) for name in listed if name is not None and str(name).strip()]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _number(value: Any) -> Any:
    """A number where it is one; what else is written there stays as it is."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value if isinstance(value, str) else None
    return number if isfinite(number) else None


def _stated(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}
