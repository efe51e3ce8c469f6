"""What the licence of a base means for whoever trains on it. Pure: a name and a deny-list in, a verdict out.

Names are those of SPDX and of the Hugging Face Hub (docs/hub/repositories-licenses in huggingface/hub-docs), compared
without regard to case. Nobody here gives legal advice: a verdict says what a person must read before they approve.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from store.errors import Refused

Kind = Literal["permissive", "copyleft", "other", "non_commercial", "none_stated"]

NONE_STATED = "none stated"

_STRICTNESS: tuple[Kind, ...] = ("permissive", "copyleft", "other", "non_commercial", "none_stated")
"""From what needs no second look to what needs most of one."""
_NOTHING = frozenset({"", "none", NONE_STATED, "unknown", "n/a", "noassertion"})
_PERMISSIVE = re.compile(r"apache-2\.0|mit|0?bsd(-.*)?|cc0(-1\.0)?|cc-by(-\d.*)?")
_NON_COMMERCIAL = re.compile(r".*(^|-)nc(-|$).*|.*non-?commercial.*|.*research.*|apple-amlr|deepfloyd-if-license")
_COPYLEFT = re.compile(r"[al]?gpl(-.*)?|gfdl(-.*)?|cc-by-sa(-.*)?|eupl(-.*)?|osl-.*|odbl(-.*)?|cdla-sharing-.*")
_JOINED = re.compile(r"\s+(?:and|or|with)\s+|[()]")


@dataclass(frozen=True, slots=True)
class LicenceVerdict:
    licence: str
    """As it was stated; NONE_STATED where nothing was."""
    kind: Kind
    denied: bool
    warning: str | None
    """One sentence; None for a permissive licence that is not denied."""

    @property
    def clean(self) -> bool:
        """Whether nobody has to read it first."""
        return self.kind == "permissive" and not self.denied

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge_licence(licence: str | None, denied: Sequence[str]) -> LicenceVerdict:
    """denied: names of licences, in which `*` stands for anything.

    An expression of several (`MIT OR Apache-2.0`) is as strict as its strictest part: which of them holds is for a
    person to read.
    """
    stated = " ".join((licence or "").split())
    parts = [part.strip() for part in _JOINED.split(stated.lower()) if part.strip()] or [NONE_STATED]
    parts = [NONE_STATED if part in _NOTHING else part for part in parts]
    kind = max((_kind(part) for part in parts), key=_STRICTNESS.index)
    forbidden = any(fnmatchcase(part, entry.lower()) for part in parts for entry in denied)
    stated = NONE_STATED if kind == "none_stated" and len(parts) == 1 else stated
    return LicenceVerdict(stated, kind, forbidden, _denial(stated) if forbidden else _warning(stated, kind))


def require_licence(licence: str | None, denied: Sequence[str], *, what: str) -> None:
    """Raises Refused where the deny-list forbids it. what: names the base in the sentence."""
    verdict = judge_licence(licence, denied)
    if verdict.denied:
        raise Refused(f"{what} cannot be used here: {verdict.warning}")


def _kind(part: str) -> Kind:
    if part == NONE_STATED:
        return "none_stated"
    if _NON_COMMERCIAL.fullmatch(part):
        return "non_commercial"
    if _COPYLEFT.fullmatch(part):
        return "copyleft"
    return "permissive" if _PERMISSIVE.fullmatch(part) else "other"


def _denial(licence: str) -> str:
    return f"its licence, {licence!r}, is one that DRIFTGATE_LICENSES_DENIED forbids"


def _warning(licence: str, kind: Kind) -> str | None:
    match kind:
        case "none_stated":
            return "it states no licence, and so gives no right to use it; ask whoever made it"
        case "non_commercial":
            return f"its licence, {licence!r}, allows no commercial use"
        case "copyleft":
            return f"its licence, {licence!r}, is copyleft: what is built on it may have to be given away under it"
        case "other":
            return f"its licence, {licence!r}, is none of the permissive ones that are known here; read its terms"
        case _:
            return None
