"""Near duplicates: texts that a reader would take for one text, written twice.

They must not lie in two splits, or training sees what is to measure it. They are looked for by their letters alone, so
that data can be split without a base, and only ever kept together and told, never dropped: a pair too many costs
little. Two texts are near duplicates if their numbers are the same in the same order ("3 to 5" is not "5 to 3"), and

- their letters are the same, or after one letter is taken out of either (from 8 letters on) or two (from 12 to 52):
  blanks, casing, punctuation, and one or two typos;
- or their words are the same in another order, or but for one word that one of them has more (from 3 words on);
- or they share 75 % of their pieces of three letters (Jaccard): longer texts with a few words changed.

The first two are found without exception, by equal keys; the third by MinHash (Broder 1997) in 20 bands of 4, which
finds a pair at the line with a probability of 99.9 % and is then counted exactly. Measured in decision 0018.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MIN_JACCARD = 0.75
MAX_GROUP_SHARE = 0.05
"""Of all texts. Where chains join more than that into one group, shared pieces bind no longer within it."""
_SMALL_GROUP = 20
_TYPO_LETTERS = {1: (8, 120), 2: (12, 52)}
"""How long texts are, by the typos that they may have. In longer ones so many typos leave more than MIN_JACCARD of the
pieces."""
_ONE_WORD_MORE = 3
_PIECE = 3
_MOST_PIECES = 512
"""Of a longer text, those with the lowest hashes stand for all (a bottom-k sketch)."""
_BANDS, _BAND_ROWS = 20, 4
_NEIGHBOURS = 10
"""In a band, a text is compared with this many that follow it: a common phrase must not cost its square."""
_SURE_MARGIN = 0.2
"""Four standard errors of a Jaccard index that 80 hashes estimate."""
_MASK = (1 << 64) - 1
_BASE = 0x9E3779B97F4A7C15
_UNBASE = pow(_BASE, -1, 1 << 64)

_Keys = NDArray[np.uint64]
_Places = NDArray[np.int64]
_Links = set[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Which of some texts are near duplicates; texts by their `retrain.dataset.group_key`."""

    links: tuple[tuple[str, str], ...]
    """Pairs, in order, that were seen to be near duplicates; each once, and not every pair of a group."""
    leaders: Mapping[str, str]
    """The first text of the group that a text belongs to by chains of links; texts without a link are not in it."""

    def leader(self, text: str) -> str:
        return self.leaders.get(text, text)


def find_near_duplicates(groups: Iterable[str]) -> NearDuplicates:
    """Look through texts, given as group keys; neither their order nor the process changes what is found."""
    texts = sorted(set(groups))
    words = [_words(text) for text in texts]
    numbers = [re.findall(r"\d+", text) for text in texts]
    sure = _same_words(words) | _same_letters(words)
    alike = _alike(words)
    kept = {pair for pair in sure if numbers[pair[0]] == numbers[pair[1]]}
    loose = {pair for pair in alike - sure if numbers[pair[0]] == numbers[pair[1]]}
    loose = _without_chains(len(texts), kept, loose)
    links = sorted(kept | loose)
    leaders = join(len(texts), links)
    linked = {place for pair in links for place in pair}
    return NearDuplicates(
        links=tuple((texts[a], texts[b]) for a, b in links),
        leaders={texts[i]: texts[leaders[i]] for i in sorted(linked)},
    )


def join(count: int, links: Iterable[tuple[int, int]]) -> list[int]:
    """The connected components of `count` things: for each the lowest number in its component."""
    above = list(range(count))

    def root(place: int) -> int:
        while above[place] != place:
            above[place] = above[above[place]]
            place = above[place]
        return place

    for a, b in links:
        one, other = sorted((root(a), root(b)))
        above[other] = one
    return [root(place) for place in range(count)]


def _words(text: str) -> list[str]:
    """Runs of letters, marks and digits, without case; an apostrophe within a word is dropped."""
    plain = re.sub(r"(?<=\w)['\N{RIGHT SINGLE QUOTATION MARK}](?=\w)", "", unicodedata.normalize("NFKC", text))
    return re.findall(r"\w+", plain.casefold())


def _same_words(words: Sequence[Sequence[str]]) -> _Links:
    """Texts with the same words in any order, or with one more. A set of words is the sum of their hashes."""
    lengths = np.array([len(each) for each in words], np.int64)
    some = np.flatnonzero(lengths)
    if not len(some):
        return set()
    flat = _hashes([word for each in words for word in each])
    owner = np.repeat(np.arange(len(words)), lengths)
    starts = np.concatenate(([0], np.cumsum(lengths[some])[:-1]))
    sums = np.zeros(len(words), np.uint64)
    sums[some] = np.add.reduceat(flat, starts)
    links = set(_linked(sums[some], some))

    order = np.argsort(sums[some], kind="stable")
    known, place = sums[some][order], some[order]
    longer = lengths[owner] >= _ONE_WORD_MORE
    without, of = (sums[owner] - flat)[longer], owner[longer]
    at = np.minimum(np.searchsorted(known, without), len(known) - 1)
    found = known[at] == without
    return links | {_pair(a, b) for a, b in zip(of[found].tolist(), place[at[found]].tolist(), strict=True)}


def _same_letters(words: Sequence[Sequence[str]]) -> _Links:
    """Texts with the same letters after up to two are taken out of each; a digit is never taken out.

    What is left of two texts can only be the same where it is equally long, so keys are made and compared by length.
    """
    letters = ["".join(each) for each in words]
    by_length: dict[int, list[int]] = {}
    for place, text in enumerate(letters):
        by_length.setdefault(len(text), []).append(place)
    prefixes = {length: _Prefixes.of(letters, places) for length, places in by_length.items() if length}
    links: _Links = set()
    for left in sorted({length - taken for length in prefixes for taken in (0, 1, 2)} - {0}):
        keys, places = [], []
        for taken in (0, 1, 2):
            if left + taken in prefixes:
                made = prefixes[left + taken].without(taken)
                keys.append(made[0])
                places.append(made[1])
        links |= set(_linked(np.concatenate(keys), np.concatenate(places)))
    return links


@dataclass(frozen=True, slots=True, eq=False)
class _Prefixes:
    """Polynomial hashes of all beginnings of texts of one length, from which the hash of a part is a difference."""

    places: _Places
    """[texts]"""
    sums: _Keys
    """[texts, length + 1]"""
    digits: NDArray[np.bool_]
    """[texts, length]"""

    @classmethod
    def of(cls, letters: Sequence[str], places: Sequence[int]) -> "_Prefixes":
        codes = np.array([np.frombuffer(letters[i].encode("utf-32-le", "surrogatepass"), "<u4") for i in places])
        digits = np.array([[letter.isdigit() for letter in letters[i]] for i in places])
        powers = np.cumprod(np.full(codes.shape[1], _BASE, np.uint64), dtype=np.uint64)
        sums = np.cumsum(_mixed(codes.astype(np.uint64)) * powers, axis=1, dtype=np.uint64)
        return cls(np.array(places, np.int64), np.pad(sums, ((0, 0), (1, 0))), digits)

    def without(self, taken: int) -> tuple[_Keys, _Places]:
        """Keys of the texts after each choice of `taken` letters is taken out, and the text of each key."""
        sums, whole = self.sums, self.sums[:, -1:]
        length = sums.shape[1] - 1
        one_left, two_left = np.array([_UNBASE, _UNBASE**2 & _MASK], np.uint64)
        if taken == 0:
            return whole[:, 0], self.places
        shortest, longest = _TYPO_LETTERS[taken]
        if not shortest <= length <= longest:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        if taken == 1:
            keys = sums[:, :-1] + (whole - sums[:, 1:]) * one_left
            allowed = ~self.digits
        else:
            a, b = np.triu_indices(length, 1)
            keys = sums[:, a] + (sums[:, b] - sums[:, a + 1]) * one_left + (whole - sums[:, b + 1]) * two_left
            allowed = ~(self.digits[:, a] | self.digits[:, b])
        return keys[allowed], np.broadcast_to(self.places[:, None], keys.shape)[allowed]


def _alike(words: Sequence[Sequence[str]]) -> _Links:
    """Texts that share at least MIN_JACCARD of their pieces."""
    pieces = [_pieces(each) for each in words]
    some = np.array([place for place, each in enumerate(pieces) if each], np.int64)
    if len(some) < 2:
        return set()
    signatures = _signatures([pieces[place] for place in some])
    keys = np.zeros((len(some), _BANDS), np.uint64)
    for row in range(_BAND_ROWS):
        keys = _mixed(keys ^ signatures[:, row::_BAND_ROWS])
    candidates: set[tuple[int, int]] = set()
    for band in keys.T:
        for block in _blocks(band):
            candidates |= {(a, b) for i, a in enumerate(block) for b in block[i + 1 : i + 1 + _NEIGHBOURS]}
    if not candidates:
        return set()
    pairs = np.array(sorted(candidates), np.int64)
    close = np.zeros(len(pairs), bool)
    for first in range(0, len(pairs), 65_536):
        part = pairs[first : first + 65_536]
        estimate = (signatures[part[:, 0]] == signatures[part[:, 1]]).mean(axis=1)
        close[first : first + 65_536] = estimate >= MIN_JACCARD - _SURE_MARGIN
    links: _Links = set()
    for a, b in some[pairs[close]].tolist():
        shared = len(pieces[a] & pieces[b])
        if shared >= MIN_JACCARD * (len(pieces[a]) + len(pieces[b]) - shared):
            links.add(_pair(a, b))
    return links


def _pieces(words: Sequence[str]) -> frozenset[str]:
    text = f" {' '.join(words)} " if words else ""
    pieces = {text[i : i + _PIECE] for i in range(len(text) - _PIECE + 1)}
    if len(pieces) > _MOST_PIECES:
        names = sorted(pieces)
        lowest = np.argsort(_hashes(names), kind="stable")[:_MOST_PIECES]
        return frozenset(names[i] for i in lowest)
    return frozenset(pieces)


def _signatures(pieces: Sequence[frozenset[str]]) -> _Keys:
    """MinHash signatures, [texts, bands x rows of a band]; no text is without pieces."""
    known = sorted(set().union(*pieces))
    number = {piece: i for i, piece in enumerate(known)}
    flat = np.array([number[piece] for each in pieces for piece in each], np.int64)
    starts = np.concatenate(([0], np.cumsum([len(each) for each in pieces])[:-1]))
    salts = np.arange(1, _BANDS * _BAND_ROWS + 1, dtype=np.uint64)[:, None] * np.uint64(_BASE)
    signatures = np.empty((len(pieces), len(salts)), np.uint64)
    for column, hashes in enumerate(_mixed(_hashes(known) ^ salts)):
        signatures[:, column] = np.minimum.reduceat(hashes[flat], starts)
    return signatures


def _without_chains(count: int, sure: _Links, loose: _Links) -> _Links:
    """`loose` without the links inside groups so large that one of them would be a part of the data by itself."""
    leaders = np.array(join(count, sure | loose), np.int64)
    sizes = np.bincount(leaders, minlength=count)
    most = max(_SMALL_GROUP, MAX_GROUP_SHARE * count)
    return {pair for pair in loose if sizes[leaders[pair[0]]] <= most}


def _linked(keys: _Keys, places: _Places) -> Iterator[tuple[int, int]]:
    """The first text with a key, paired with each other one that has it too."""
    for block in _blocks(keys):
        first, *others = sorted(set(places[block].tolist()))
        yield from ((first, other) for other in others)


def _blocks(keys: _Keys) -> Iterator[list[int]]:
    """Indices with the same key, in order, where there are several."""
    order = np.argsort(keys)
    again = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    few = order[np.union1d(again, again + 1)]  # of millions of keys
    few = few[np.lexsort((few, keys[few]))]
    starts = np.flatnonzero(np.append(True, keys[few][1:] != keys[few][:-1])[: len(few)]).tolist()
    ordered = few.tolist()
    yield from (ordered[a:b] for a, b in pairwise([*starts, len(ordered)]))


def _pair(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def _hashes(names: Sequence[str]) -> _Keys:
    """64 bits of each name, the same in every process."""
    known: dict[str, int] = {}
    for name in names:
        if name not in known:
            digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            known[name] = int.from_bytes(digest, "little")
    return np.array([known[name] for name in names], np.uint64)


def _mixed(values: _Keys) -> _Keys:
    """Every bit of the result depends on every bit of the value (splitmix64, Steele et al. 2014)."""
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
