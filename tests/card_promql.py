"""Which metrics and labels a PromQL expression speaks of. Reads what this repository writes, not all of PromQL."""

import re
from dataclasses import dataclass

_NAME = r"[a-zA-Z_:][\w:]*"
_KEYWORDS = {"and", "or", "unless", "bool"}
_STRING = r'"(?:[^"\\]|\\.)*"'
_GROUPING = r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)"
_CHOSEN_IN_GRAFANA = {"$__rate_interval": "1m", "$__interval": "15s", "$__range": "1h"}


@dataclass(frozen=True, slots=True)
class Spoken:
    metrics: dict[str, set[str]]
    """Labels in the matchers of each metric."""
    grouping: set[str]
    """Labels in by, on and the like."""


def spoken_of(expr: str) -> Spoken:
    rest = _without_times(re.sub(_STRING, '""', expr))
    grouping: set[str] = set()
    metrics: dict[str, set[str]] = {}

    def group(found: re.Match[str]) -> str:
        grouping.update(re.findall(r"\w+", found[2]))
        return " "

    def selector(found: re.Match[str]) -> str:
        metrics.setdefault(found[1], set()).update(re.findall(r"(\w+)\s*[=!]", found[2]))
        return " "

    rest = re.sub(_GROUPING, group, rest)
    rest = re.sub(rf"({_NAME})\s*\{{([^}}]*)\}}", selector, rest)
    for name in re.findall(rf"(?<![\w.]){_NAME}\b(?!\s*\()", rest):
        if name not in _KEYWORDS:
            metrics.setdefault(name, set())
    return Spoken(metrics, grouping)


def selectors_of(expr: str) -> list[str]:
    """Its selectors as they stand there, such as `x{a="b"}`, without the times they are asked for."""
    rest = re.sub(_GROUPING, " ", expr)
    matchers = rf"\s*\{{(?:[^}}\"]|{_STRING})*\}}"
    found = re.findall(rf"(?<![\w.\"])({_NAME}\b(?:{matchers})?)(?!\s*\()", _without_times(rest))
    return [selector for selector in found if selector not in _KEYWORDS]


def as_asked(expr: str, *, model: str) -> str:
    """What Grafana sends for a panel's expression when `model` is chosen."""
    for variable, value in {**_CHOSEN_IN_GRAFANA, "$model": model}.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr, f"a variable that is not replaced here: {expr}"
    return expr


def _without_times(expr: str) -> str:
    """Without ranges and offsets."""
    return re.sub(r"\[[^]]*\]|\boffset\s+\w+", " ", expr)
