"""Slices of the traffic, by the tags that callers send: one region or channel may drift where the whole hides it.

The reference of a version has no tags, so a slice is compared with itself: with the first rows that the version
answered. It is looked at while both samples have enough rows, and the largest few
slices only: every further one costs the others power.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from monitor.joint_test import Deals, joint_test
from monitor.signals import Signals, signals_of
from monitor.window import Window, window_from
from store.database import Database
from store.errors import Broken
from store.logs import get_log
from store.predictions import first_sampled
from store.records import Version
from store.reference import Reference

_log = get_log("monitor")

Tags = frozenset[str]
"""Of one row, each as `key=value`."""

MOST_SLICES = 5
SLICE_ROWS = 1_000
BASELINE_ROWS = 2_000
"""First rows of a version, of all slices together."""
NEARLY_ALL = 0.95
"""A slice with this share of the window is the window."""
_KEPT_BASELINES = 16
_SHORT_LOOK, _CALM = 499, 0.05
"""Deals of the look at all slices, too few for an alarm where there are several, and the p-value above which nothing
shows."""
_DEALS_BEYOND = 20
"""Deals that are more extreme than the one that came, at an alarm that is just one."""
_MOST_DEALS = 50_000
"""Where a small rate allows no finer p-values to five slices, fewer are looked at."""


def choose_slices(window: Sequence[Tags], baseline: Sequence[Tags], *, min_rows: int, most: int) -> list[str]:
    """Names, `key=value`, of the slices that are compared: those with most rows in the baseline, which stays the same.
    Each argument: the tags of each row."""
    now, before = _counted(window), _counted(baseline)
    enough = [
        name
        for name, rows in now.items()
        if rows >= min_rows and before[name] >= min_rows and rows < NEARLY_ALL * len(window)
    ]
    return sorted(enough, key=lambda name: (-before[name], name))[:most]


class Baselines:
    """The first rows of the versions looked at last. Owned by one thread at a time.

    What a version answered first never changes, so once it is complete it is read once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._complete: OrderedDict[tuple[str, int], Window] = OrderedDict()

    def get(self, version: Version, labels: Sequence[str]) -> Window:
        """At most `BASELINE_ROWS` rows; none where one of them does not fit the version. Raises StoreUnavailable."""
        key = (version.model, version.number)
        if key in self._complete:
            self._complete.move_to_end(key)
            return self._complete[key]
        with self._database.read() as session:
            recorded = first_sampled(session, *key, rows=BASELINE_ROWS)
        try:
            first = window_from(recorded, labels)
        except Broken as error:
            _log.warning("no_slices", model=version.model, version=version.number, reason=str(error))
            return window_from([], labels)
        if first.rows == BASELINE_ROWS:
            self._complete[key] = first
            while len(self._complete) > _KEPT_BASELINES:
                self._complete.popitem(last=False)
        return first


@dataclass(frozen=True, slots=True, eq=False)
class ComparedSlice:
    """A slice of the window against what the version answered first in it."""

    name: str
    signals: Signals
    window: Window
    """The rows of the slice."""
    p_values: Mapping[str, float]
    """By signal, adjusted for all signals of the slice and not for other slices."""


def compare_slices(
    window: Window, baseline: Window, reference: Reference, *, min_rows: int, rate: float, closely: bool
) -> list[ComparedSlice]:
    """The slices of `window` that can be compared, those with the largest baseline first.

    reference: of the version, whose labels and limits hold for all. rate: of false alarms that all slices share.
    closely: whether the one that shows most, if any shows something, is given p-values fine enough for an alarm. That
    takes a second or a few, in vain where the whole window is known to differ. Those p-values hold by themselves, so
    whatever the short look at all slices did, it raises no false alarm.
    """
    before = baseline.part([row for row, seq in enumerate(baseline.seq) if seq < window.first_seq])
    tags, tags_before = _tags(window), _tags(before)
    most = min(MOST_SLICES, int(rate * _MOST_DEALS / _DEALS_BEYOND))
    found = []
    for name in choose_slices(tags, tags_before, min_rows=min_rows, most=most):
        then = before.part([row for row, names in enumerate(tags_before) if name in names][-SLICE_ROWS:])
        now = window.part([row for row, names in enumerate(tags) if name in names][-then.rows :])
        signals = signals_of(_as_reference(then, reference), now)
        found.append(ComparedSlice(name, signals, now, _p_values(signals, permutations=_SHORT_LOOK)))
    if not found or not closely:
        return found
    first = min(range(len(found)), key=lambda index: min(found[index].p_values.values()))
    if min(found[first].p_values.values()) <= _CALM:
        permutations = ceil(_DEALS_BEYOND * len(found) / rate) - 1
        found[first] = replace(found[first], p_values=_p_values(found[first].signals, permutations=permutations))
    return found


def _p_values(signals: Signals, *, permutations: int) -> dict[str, float]:
    deals = Deals(signals.reference_rows, signals.window_rows, permutations=permutations)
    return {name: test.p_value for name, test in joint_test(signals, deals).items()}


def _tags(rows: Window) -> list[Tags]:
    return [frozenset(f"{key}={value}" for key, value in tags.items()) for tags in rows.tags]


def _counted(rows: Sequence[Tags]) -> Counter[str]:
    return Counter(name for tags in rows for name in tags)


def _as_reference(rows: Window, like: Reference) -> Reference:
    return replace(
        like,
        probabilities=rows.probabilities,
        sketches=rows.sketches,
        length_tokens=rows.length_tokens,
        length_chars=rows.length_chars,
        unknown_tokens=rows.unknown_tokens,
        true_label=np.full(rows.rows, -1),
    )
