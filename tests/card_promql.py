"""Which metrics and labels a PromQL expression speaks of. Reads what this repository writes, not all of PromQL."""

import re
from dataclasses import dataclass

_NAME = r"[a-zA-Z_:][\w:]*"
_KEYWORDS = {"and", "or", "unless", "bool"}


@dataclass(frozen=True, slots=True)
class Spoken:
    metrics: dict[str, set[str]]
    """Labels in the matchers of each metric."""
    grouping: set[str]
    """Labels in by, on and the like."""


def spoken_of(expr: str) -> Spoken:
    rest = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expr)
    rest = re.sub(r"\[[^]]*\]|\boffset\s+\S+", " ", rest)
    grouping: set[str] = set()
    metrics: dict[str, set[str]] = {}

    def group(found: re.Match[str]) -> str:
        grouping.update(re.findall(r"\w+", found[2]))
        return " "

    def selector(found: re.Match[str]) -> str:
        metrics.setdefault(found[1], set()).update(re.findall(r"(\w+)\s*[=!]", found[2]))
        return " "

    rest = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", group, rest)
    rest = re.sub(rf"({_NAME})\s*\{{([^}}]*)\}}", selector, rest)
    for name in re.findall(rf"(?<![\w.]){_NAME}\b(?!\s*\()", rest):
        if name not in _KEYWORDS:
            metrics.setdefault(name, set())
    return Spoken(metrics, grouping)
