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
from store.records import Base

Kind = Literal["permissive", "copyleft", "other", "non_commercial", "none_stated"]

NONE_STATED = "none stated"

_STRICTNESS: tuple[Kind, ...] = ("permissive", "copyleft", "other", "non_commercial", "none_stated")
"""From what needs no second look to what needs most of one."""
_NOTHING = frozenset({"", "none", NONE_STATED, "unknown", "n/a", "noassertion"})
_PERMISSIVE = re.compile(
    r"apache-2\.0|mit|0?bsd|cc0(-1\.0)?|cc-by(-\d(\.\d)?(-(at|au|de|igo|nl|us))?)?"
    r"|bsd-[1-4]-clause|bsd-2-clause-(freebsd|netbsd|patent|views)|bsd-3-clause-(attribution|clear|lbnl)|bsd-4-clause-uc"
)
"""Each by its name: there are licences called BSD that forbid something, or are copyleft."""
_NON_COMMERCIAL = re.compile(r".*(^|-)nc(-|$).*|.*non-?commercial.*|.*research.*|apple-amlr|deepfloyd-if-license")
_COPYLEFT = re.compile(r"[al]?gpl(-.*)?|gfdl(-.*)?|cc-by-sa(-.*)?|eupl(-.*)?|osl-.*|odbl(-.*)?|cdla-sharing-.*")
_JOINED = re.compile(r"\s+(?:and|or|with)\s+|[(),;|&]|(?<!\bn)/|/(?!a\b)|\s\+|\+(?=[\w(])")
"""Between the parts of an expression. `GPL-2.0+` is one name, and so is `n/a`."""


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


def judge_licence(licence: str | None, denied: Sequence[str], *, card_says: str | None = None) -> LicenceVerdict:
    """denied: names of licences, in which `*` stands for anything. card_says: where a person stated another licence.

    An expression of several (`MIT OR Apache-2.0`) is as strict as its strictest part: which of them holds is for a
    person to read. So is which is right where the model card is stricter than the person.
    """
    stated = " ".join((licence or "").split())
    parts = [part.strip() for part in _JOINED.split(stated.lower()) if part.strip()] or [NONE_STATED]
    parts = [NONE_STATED if part in _NOTHING else part for part in parts]
    kind = max((_kind(part) for part in parts), key=_STRICTNESS.index)
    forbidden = any(fnmatchcase(name, entry.lower()) for part in parts for name in _spellings(part) for entry in denied)
    stated = NONE_STATED if kind == "none_stated" and len(parts) == 1 else stated
    verdict = LicenceVerdict(stated, kind, forbidden, _denial(stated) if forbidden else _warning(stated, kind))
    return verdict if forbidden or card_says is None else _beside_card(verdict, judge_licence(card_says, denied))


def require_licence(licence: str | None, denied: Sequence[str], *, what: str, card_says: str | None = None) -> None:
    """Raises Refused where the deny-list forbids it. what: names the base in the sentence."""
    verdict = judge_licence(licence, denied, card_says=card_says)
    if verdict.denied:
        raise Refused(f"{what} cannot be used here: {verdict.warning}")


def require_licence_of(base: Base, denied: Sequence[str]) -> None:
    """The same for a base in the store."""
    require_licence(base.license, denied, what=f"base {base.name!r}", card_says=card_says_of(base))


def card_says_of(base: Base) -> str | None:
    """The licence on the model card of `base`, where a person stated another one."""
    said: str | None = base.card.get("licence", {}).get("card_says")
    return said


def _beside_card(said: LicenceVerdict, card: LicenceVerdict) -> LicenceVerdict:
    if card.licence == NONE_STATED:
        return said
    strictest = max(said.kind, card.kind, key=_STRICTNESS.index)
    told = f"its model card says {card.licence!r}, which "
    if card.denied:
        return LicenceVerdict(
            said.licence, strictest, True, f"{told}DRIFTGATE_LICENSES_DENIED forbids whatever --license says"
        )
    if strictest == said.kind:
        return said
    told += f"is stricter than {said.licence!r}; read which of them holds"
    return LicenceVerdict(said.licence, strictest, False, told)


def _spellings(part: str) -> list[str]:
    """What a deny-list may mean by it: `cc by-nc 4.0` is written with blanks, `mit cc-by-nc-4.0` is two names."""
    return [part, part.replace(" ", "-"), *part.split()]


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
