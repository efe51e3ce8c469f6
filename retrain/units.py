"""What must lie in one split: a text with all its copies, its near duplicates, and whatever else its entity said."""

from collections.abc import Mapping, Sequence

from retrain.dataset import Row
from retrain.near_duplicates import NearDuplicates, join


def find_units(rows: Sequence[Row], near: NearDuplicates) -> dict[str, str]:
    """For each text (`Row.group`) the unit that it belongs to, named by the first of the unit's texts.

    Rows of one text are always one unit, whatever their entities: so an entity that repeats another's text joins it.
    """
    texts = sorted({row.group for row in rows})
    place = {text: number for number, text in enumerate(texts)}
    links = [(place[text], place[leader]) for text in texts if (leader := near.leader(text)) in place]
    first_of: dict[str, int] = {}
    for row in rows:
        if row.entity is not None:
            number = place[row.group]
            links.append((first_of.setdefault(row.entity, number), number))
    return {text: texts[unit] for text, unit in zip(texts, join(len(texts), links), strict=True)}


def newest_of(rows: Sequence[Row], units: Mapping[str, str]) -> dict[str, str]:
    """When the newest row of a unit came in; units without a time are not in it. Flagged rows say nothing here."""
    newest: dict[str, str] = {}
    for row in rows:
        if row.at is not None and row.origin != "flagged":
            unit = units[row.group]
            newest[unit] = max(newest.get(unit, row.at), row.at)
    return newest
