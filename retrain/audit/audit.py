"""Looks through labelled rows with everything that this folder knows.

Everything is a finding with the rows it speaks of, so that the person who owns the data can mend it.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from retrain.audit.base_view import BaseView
from retrain.audit.classes import (
    MIN_CLASS_ROWS,
    against_previous,
    class_sizes,
    missing,
    spellings,
    unknown_labels,
)
from retrain.audit.copies import copies, near_copies, torn_copies
from retrain.audit.finding import Audit, Finding, Suspect, by_severity
from retrain.audit.label_errors import label_errors, rank_suspects
from retrain.audit.languages import mixed_languages
from retrain.audit.leakage import groups_and_labels, leaks
from retrain.audit.lengths import too_long
from retrain.audit.outliers import outliers
from retrain.dataset import Row
from retrain.near_duplicates import NearDuplicates, find_near_duplicates
from retrain.units import find_units

_NEEDS_A_BASE = "label errors, texts that are too long and outliers: they need a base to look with"


def audit_rows(
    rows: Sequence[Row],
    *,
    previous: Sequence[Row] | None = None,
    view: BaseView | None = None,
    near: NearDuplicates | None = None,
    allowed_labels: Sequence[str] | None = None,
    own_split: bool = False,
    min_class_rows: int = MIN_CLASS_ROWS,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> Audit:
    """Look through `rows`.

    previous: the snapshot that they follow on. view: what a base makes of them; without it some parts are skipped, as
    the audit then says. near: of these rows, if they were looked for already. own_split: a person chose the splits that
    rows have, so leakage between them is an error. progress: called with what is done next and the share done, 0 to 1.
    """
    if not rows:
        nothing = Finding("no_rows", "error", "there are no rows at all", (), 0)
        return Audit(rows=0, labels={}, findings=(nothing,))
    groups = [row.group for row in rows]
    # Rows that lack a text or a label are reported as such, and as nothing else.
    whole = {n: row for n, row in enumerate(rows, start=1) if groups[n - 1] and row.label.strip()}
    numbers_of: dict[str, list[int]] = {}
    for number in whole:
        numbers_of.setdefault(groups[number - 1], []).append(number)
    counts = Counter(row.label for row in whole.values())
    labels = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    progress("looking for near duplicates", 0.0)
    near = near or find_near_duplicates(numbers_of)
    units = find_units(list(whole.values()), near)
    progress("looking through the rows", 0.4)
    known = () if previous is None else sorted({row.label for row in previous})
    findings = [
        *missing(rows, groups),
        *class_sizes(whole, labels, least=min_class_rows, known=known),
        *spellings(whole, labels),
        *unknown_labels(whole, labels, allowed_labels),
        *copies(whole, numbers_of),
        *near_copies(whole, numbers_of, near),
        *torn_copies(whole, numbers_of, near),
        *leaks(whole, units, own_split=own_split),
        *groups_and_labels(whole),
        *mixed_languages(whole),
        *against_previous(previous, whole, labels, numbers_of),
    ]
    suspects: list[Suspect] = []
    if view is not None and whole:
        progress("looking for label errors", 0.6)
        suspects, wrong = rank_suspects(whole, units, view.features)
        findings += [*label_errors(suspects, wrong), *too_long(whole, view)]
        progress("looking for outliers", 0.9)
        findings += outliers(whole, view, previous=previous or ())
    progress("audited", 1.0)
    return Audit(
        rows=len(rows),
        labels=labels,
        findings=by_severity(findings),
        skipped=() if view is not None else (_NEEDS_A_BASE,),
        suspects=tuple(suspects),
    )
