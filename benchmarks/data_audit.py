"""What the audit of training data finds when it is known what is wrong: errors planted into CLINC150.

The 15,000 in-scope training rows, seen by MiniLM. Wrong labels are drawn evenly from the other 149; near duplicates of
training rows are put into validation and test, of every kind that one person writes after another; customers and dates
are given to rows so that a split leaks.
"""

import csv
import random
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.frame import at_least, begin, claim_line, figure_line, options, tell
from benchmarks.public_data import MAX_TOKENS, OUT_OF_SCOPE, Featured, featured
from retrain.audit import BaseView, audit_rows
from retrain.dataset import Row
from retrain.near_duplicates import find_near_duplicates
from retrain.snapshot import build_snapshot
from retrain.split import split_rows
from retrain.units import find_units
from store.errors import BadInput

ROWS = 15_000
NOISE_SHARE, LOOKED_AT_SHARE = 0.10, 0.15
LEAST_FOUND = 0.70
_MIN_WORDS, _MIN_LETTERS = 4, 12
"""Of a text that is copied: in shorter ones two changed letters may be other words."""


def main() -> None:
    parser = options("data_audit", __doc__)
    parser.add_argument("--copies", type=int, default=100, help="planted of each kind (default: %(default)s)")
    asked = begin(parser)
    data = featured("clinc150")
    rows, places = training_rows(data)
    view = view_of(data, places)

    found = [noise_found(rows, view, seed=seed) for seed in range(asked.rounds)]
    name = (
        f"wrong labels ({NOISE_SHARE:.0%} of {len(rows):,} rows) among the first {LOOKED_AT_SHARE:.0%} suspects, share"
    )
    tell(claim_line(name, found, at_least(LEAST_FOUND)))
    tell(figure_line("labels said to be likely wrong where none was changed", likely_wrong(rows, view), "rows"))
    for kind, (seen, planted) in near_duplicates_found(rows, copies=asked.copies, seed=0).items():
        tell(
            claim_line(
                f"near duplicates across splits, {kind} ({planted} planted), share found",
                [seen / planted],
                at_least(1.0),
            )
        )
    largest, linked = groups_in(rows)
    tell(figure_line("rows in the largest group of near duplicates of the set itself", largest, f"of {len(rows):,}"))
    tell(figure_line("texts of the set itself that are nearly the same as another", linked, f"of {len(rows):,}"))
    for kind, leaking in leaking_files(rows, seed=0).items():
        told = "refused" if refused(leaking) else "NOT REFUSED, MISSED"
        tell(f"planted leakage by {kind}: {told} by data audit (exit code 1) and by the snapshot that training takes")
    for size in (2_000, ROWS):
        some = rows[:size]
        part = BaseView(view.features[:size], view.length_tokens[:size], view.max_tokens)
        started, used = time.perf_counter(), time.process_time()
        audit_rows(some, view=part)
        tell(figure_line(f"audit of {size:,} rows with their features at hand", time.perf_counter() - started, "s"))
        tell(figure_line(f"audit of {size:,} rows, of the processor", time.process_time() - used, "s"))


def training_rows(data: Featured, count: int = ROWS) -> tuple[list[Row], list[int]]:
    """The in-scope training rows, in another order, and their places in `data`."""
    places = [i for i, entry in enumerate(data.entries) if entry.label != OUT_OF_SCOPE]
    training = places[3_000:18_000]  # the file has 3,000 validation rows first
    places = [int(place) for place in np.random.default_rng(0).permutation(training)][:count]
    return [Row(data.entries[i].text, data.entries[i].label) for i in places], places


def view_of(data: Featured, places: Sequence[int]) -> BaseView:
    return BaseView(data.features[places], data.length_tokens[places], MAX_TOKENS)


def with_noise(rows: Sequence[Row], *, share: float, seed: int) -> tuple[list[Row], set[int]]:
    """Rows of which a share has a wrong label, any other with the same probability; and the places of those."""
    rng = random.Random(seed)
    labels = sorted({row.label for row in rows})
    wrong = set(rng.sample(range(len(rows)), round(share * len(rows))))
    changed = [
        replace(row, label=rng.choice([label for label in labels if label != row.label])) if place in wrong else row
        for place, row in enumerate(rows)
    ]
    return changed, wrong


def noise_found(rows: Sequence[Row], view: BaseView, *, seed: int) -> float:
    """The share of planted label errors among the audit's first suspects."""
    noisy, wrong = with_noise(rows, share=NOISE_SHARE, seed=seed)
    first = audit_rows(noisy, view=view).suspects[: round(LOOKED_AT_SHARE * len(rows))]
    return len(wrong & {suspect.row - 1 for suspect in first}) / len(wrong)


def likely_wrong(rows: Sequence[Row], view: BaseView) -> int:
    found = [finding.count for finding in audit_rows(rows, view=view).findings if finding.kind == "label_errors"]
    return sum(found)


def near_duplicates_found(rows: Sequence[Row], *, copies: int, seed: int) -> dict[str, tuple[int, int]]:
    """By kind of change, how many copies of training rows are seen in validation and test, and how many there are.

    Seen is a copy that shares a unit with the row that it was made of, so that a split would not have torn them.
    """
    rng = random.Random(seed)
    placed = split_rows(rows, seed=0)
    sources = [row for row in placed if row.split == "train" and _may_be_copied(row.text)]
    planted = [
        (kind, source, Row(change(source.text, rng), source.label, split=rng.choice(("validation", "test"))))
        for kind, change in CHANGES.items()
        for source in rng.sample(sources, copies)
    ]
    planted = [each for each in planted if each[1].group != each[2].group or each[0] == "casing"]
    both = [*placed, *(copy for _, _, copy in planted)]
    units = find_units(both, find_near_duplicates(row.group for row in both))
    found: dict[str, tuple[int, int]] = {}
    for kind, source, copy in planted:
        seen, all_of_kind = found.get(kind, (0, 0))
        found[kind] = seen + (units[source.group] == units[copy.group]), all_of_kind + 1
    return found


def groups_in(rows: Sequence[Row]) -> tuple[int, int]:
    """The largest group of near duplicates, and all texts in groups."""
    near = find_near_duplicates(row.group for row in rows)
    sizes: dict[str, int] = {}
    for leader in near.leaders.values():
        sizes[leader] = sizes.get(leader, 0) + 1
    return max(sizes.values(), default=1), len(near.leaders)


def leaking_files(rows: Sequence[Row], *, seed: int) -> dict[str, list[Row]]:
    """Rows with a split that leaks: 4 % of the customers in two splits; 100 training rows younger than the test."""
    rng = random.Random(seed)
    names = [f"customer {n}" for n in range(len(rows) // 15)]
    entities = [names[n % len(names)] for n in range(len(rows))]
    torn = set(rng.sample(names, len(names) // 25))
    of_entity = {name: rng.choices(("train", "validation", "test"), (70, 15, 15))[0] for name in names}
    by_group = [
        replace(row, entity=entity, split=rng.choice(("train", "test")) if entity in torn else of_entity[entity])
        for row, entity in zip(rows, entities, strict=True)
    ]
    late = set(rng.sample(range(round(0.8 * len(rows))), 100))
    by_time = []
    for place, row in enumerate(rows):
        share = 0.99 if place in late else place / len(rows)
        split = "train" if place < 0.7 * len(rows) or place in late else "test"
        by_time.append(replace(row, at=f"2026-01-{1 + int(share * 28):02}T00:00:00.000000+00:00", split=split))
    return {"group": by_group, "time": by_time}


def refused(rows: Sequence[Row]) -> bool:
    """Whether the command ends with 1 and names the leak, and whether no snapshot can be made of the rows."""
    try:
        build_snapshot(rows, [], seed=0, own_split=True)
    except BadInput as error:
        if "so that training would know" not in str(error) and "training rows are younger" not in str(error):
            return False
    else:
        return False
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        file = Path(folder, "rows.csv")
        with file.open("w", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(("text", "label", "customer", "day", "split"))
            writer.writerows((row.text, row.label, row.entity or "", row.at or "", row.split) for row in rows)
        column = ("--group-column", "customer") if rows[0].entity else ("--time-column", "day")
        command = ["data", "audit", str(file), "--split-column", "split", *column]
        done = subprocess.run(
            [sys.executable, "-c", "from cli.main import main; main()", *command],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode == 1 and "_leakage" in done.stdout


def _may_be_copied(text: str) -> bool:
    return len(text.split()) >= _MIN_WORDS and sum(map(str.isalpha, text)) >= _MIN_LETTERS


def _typo(text: str, rng: random.Random) -> str:
    at = rng.choice([place for place, letter in enumerate(text) if letter.isalpha()])
    other = rng.choice(string.ascii_lowercase.replace(text[at].lower(), ""))
    match rng.randrange(4):
        case 0:
            return text[:at] + other + text[at + 1 :]
        case 1:
            return text[:at] + text[at + 1 :]
        case 2:
            return text[:at] + other + text[at:]
        case _:
            return text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :]


def _filler(text: str, rng: random.Random) -> str:
    words = text.split()
    words.insert(rng.randrange(len(words) + 1), rng.choice(("please", "now", "just", "kindly")))
    return " ".join(words)


def _swapped(text: str, rng: random.Random) -> str:
    words = text.split()
    at = rng.choice([i for i in range(len(words) - 1) if words[i] != words[i + 1]])
    words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def _punctuated(text: str, rng: random.Random) -> str:
    words = text.split()
    at = rng.randrange(len(words))
    words[at] += rng.choice((",", "!", "?", " -", "...", ";"))
    return " ".join(words)


CHANGES: Mapping[str, Callable[[str, random.Random], str]] = {
    "casing": lambda text, rng: rng.choice((text.upper(), text.title())),
    "punctuation": _punctuated,
    "one typo": _typo,
    "two typos": lambda text, rng: _typo(_typo(text, rng), rng),
    "a word more": _filler,
    "two words swapped": _swapped,
}


if __name__ == "__main__":
    main()
