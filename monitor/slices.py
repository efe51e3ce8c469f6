"""Slices of the traffic, by the tags that callers send: one region or channel may drift where the whole hides it.

The reference of a version has no tags, so a slice is compared with itself: with the first rows that the version
answered after it was put into production. It is looked at while both samples have enough rows, and the largest few
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
from store.predictions import first_sampled
from store.records import Version
from store.reference import Reference

MOST_SLICES = 5
SLICE_ROWS = 1_000
BASELINE_ROWS = 2_000
"""First rows of a version, of all slices together."""
NEARLY_ALL = 0.95
"""A slice with this share of the window is the window."""
_KEPT_BASELINES = 16
_SHORT_LOOK, _CALM = 999, 0.05
"""Deals of the first look, and the p-value above which it is the only one."""
_DEALS_BEYOND = 20
"""Deals that are more extreme than the one that came, at an alarm that is just one."""
_MOST_DEALS = 50_000
"""Of a second's work. Where a small rate allows no finer p-values to five slices, fewer are looked at."""


def choose_slices(
    window: Sequence[Mapping[str, str]], baseline: Sequence[Mapping[str, str]], *, min_rows: int, most: int
) -> list[str]:
    """Names, `key=value`, of the slices that are compared, the largest first. Each argument: the tags of each row."""
    now, before = _counted(window), _counted(baseline)
    enough = [
        name
        for name, rows in now.items()
        if rows >= min_rows and before[name] >= min_rows and rows < NEARLY_ALL * len(window)
    ]
    return sorted(enough, key=lambda name: (-now[name], name))[:most]


class Baselines:
    """The first rows of the versions looked at last. Owned by one thread at a time.

    What a version answered first never changes, so once it is complete it is read once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._complete: OrderedDict[tuple[str, int], Window] = OrderedDict()

    def get(self, version: Version, labels: Sequence[str]) -> Window:
        """At most `BASELINE_ROWS` rows. Raises Broken, StoreUnavailable."""
        key = (version.model, version.number)
        if key in self._complete:
            self._complete.move_to_end(key)
            return self._complete[key]
        with self._database.read() as session:
            first = window_from(first_sampled(session, *key, rows=BASELINE_ROWS), labels)
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
    """The slices of `window` that can be compared, the largest first, each in its newest `SLICE_ROWS`.

    reference: of the version, whose labels and limits hold for all. rate: of false alarms that all slices share.
    closely: whether p-values are to be fine enough for an alarm; it takes up to a second a slice, in vain where the
    whole window is known to differ.
    """
    before = baseline.part([row for row, seq in enumerate(baseline.seq) if seq < window.first_seq])
    found = []
    most = min(MOST_SLICES, int(rate * _MOST_DEALS / _DEALS_BEYOND))
    names = choose_slices(window.tags, before.tags, min_rows=min_rows, most=most)
    for name in names:
        now, then = (
            part.part([row for row, tags in enumerate(part.tags) if name in _names(tags)][-SLICE_ROWS:])
            for part in (window, before)
        )
        signals = signals_of(_as_reference(then, reference), now)
        found.append(ComparedSlice(name, signals, now, _p_values(signals, rate / len(names), closely=closely)))
    return found


def _p_values(signals: Signals, rate: float, *, closely: bool) -> dict[str, float]:
    """A short look first, and a long one, at deals of its own, only where it might come to an alarm at `rate`. What is
    called different is so in the long one, whose p-values hold by themselves."""
    looks = (_SHORT_LOOK, ceil(_DEALS_BEYOND / rate) - 1)
    for permutations in looks if closely else looks[:1]:
        deals = Deals(signals.reference_rows, signals.window_rows, permutations=permutations)
        found = {name: test.p_value for name, test in joint_test(signals, deals).items()}
        if min(found.values()) > _CALM:
            break
    return found


def _counted(rows: Sequence[Mapping[str, str]]) -> Counter[str]:
    return Counter(name for tags in rows for name in _names(tags))


def _names(tags: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in tags.items()]


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
