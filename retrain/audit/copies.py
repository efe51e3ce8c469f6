"""Texts that are there more than once, word for word or nearly, and what their rows disagree about."""

from collections.abc import Iterable, Mapping

from retrain.audit.finding import Finding, make_finding, names_told, rows_told
from retrain.dataset import Row
from retrain.near_duplicates import NearDuplicates


def copies(whole: Mapping[int, Row], numbers_of: Mapping[str, list[int]]) -> Iterable[Finding]:
    """numbers_of: rows of each text."""
    repeats = sorted(number for numbers in numbers_of.values() for number in numbers[1:])
    if repeats:
        message = f"{rows_told(len(repeats))} repeating the text of an earlier one; copies stay together in one split"
        yield make_finding("duplicates", "info", message, repeats)
    disputed = [numbers for numbers in numbers_of.values() if len({whole[n].label for n in numbers}) > 1]
    if disputed:
        first = disputed[0]
        names = names_told(f"{whole[n].label!r} (row {n})" for n in first)
        message = f"{len(disputed)} texts with more than one label, the first: {names}; decide which is right"
        numbers = sorted(n for numbers in disputed for n in numbers)
        yield make_finding("conflicting_labels", "warning", message, numbers)


def near_copies(
    whole: Mapping[int, Row], numbers_of: Mapping[str, list[int]], near: NearDuplicates
) -> Iterable[Finding]:
    links = [(a, b) for a, b in near.links if a in numbers_of and b in numbers_of]
    if not links:
        return
    first_rows = sorted(tuple(sorted((numbers_of[a][0], numbers_of[b][0]))) for a, b in links)
    texts = {text for pair in links for text in pair}
    message = (
        f"{len(texts)} texts are nearly the same as another, for example rows {first_rows[0][0]} and "
        f"{first_rows[0][1]}; they stay together in one split"
    )
    numbers = sorted({n for text in texts for n in numbers_of[text]})
    yield make_finding("near_duplicates", "info", message, numbers)

    disputed = []
    for a, b in links:
        labels = [{whole[n].label for n in numbers_of[text]} for text in (a, b)]
        if not labels[0] & labels[1]:
            disputed.append((numbers_of[a][0], numbers_of[b][0]))
    if disputed:
        disputed.sort()
        one, other = disputed[0]
        message = (
            f"{len(disputed)} pairs of nearly the same text with different labels, the first: {whole[one].label!r} "
            f"(row {one}), {whole[other].label!r} (row {other}); look whether the difference is meant"
        )
        numbers = sorted({n for pair in disputed for n in pair})
        yield make_finding("near_conflicts", "warning", message, numbers)


def torn_copies(
    whole: Mapping[int, Row], numbers_of: Mapping[str, list[int]], near: NearDuplicates
) -> Iterable[Finding]:
    """Among rows whose split is given."""
    splits_of = {
        text: {split for n in numbers if (split := whole[n].split) is not None} for text, numbers in numbers_of.items()
    }
    torn = [numbers_of[text] for text, splits in splits_of.items() if len(splits) > 1]
    if torn:
        message = f"{len(torn)} texts lie in more than one split, so that training would see what is to measure it"
        yield make_finding("split_overlap", "error", message, sorted(n for numbers in torn for n in numbers))
    families: dict[str, list[str]] = {}
    for text in numbers_of:
        if splits_of[text]:
            families.setdefault(near.leader(text), []).append(text)
    across = [
        texts
        for texts in families.values()
        if len(set().union(*(splits_of[text] for text in texts))) > 1 and not any(len(splits_of[t]) > 1 for t in texts)
    ]
    if across:
        pairs = sorted(sorted(numbers_of[text][0] for text in texts) for texts in across)
        message = (
            f"{len(across)} groups of nearly the same text lie in more than one split, for example rows "
            f"{names_told(map(str, pairs[0]))}; what measures there looks better than it is"
        )
        numbers = sorted(n for texts in across for text in texts for n in numbers_of[text])
        yield make_finding("near_split_overlap", "warning", message, numbers)
    measuring = [n for n, row in whole.items() if row.origin == "flagged" and row.split in ("validation", "test")]
    if measuring:
        message = (
            f"{rows_told(len(measuring))} that were flagged lie in validation or test; only random rows may measure"
        )
        yield make_finding("flagged_measures", "error", message, measuring)
