"""Dataset snapshots: immutable rows, named by their content.

A snapshot is the one before it plus the labels that came since. Rows keep their split from one to the next, so the
test rows of all versions of a model stay comparable and never teach any of them.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from retrain.audit import Audit, Look, audit_rows, untaught_classes
from retrain.dataset import Row, group_key
from retrain.near_duplicates import find_near_duplicates
from retrain.split import SHARES, SPLITS, split_rows
from store.artifacts import ArtifactStore
from store.database import Database
from store.errors import ArtifactCorrupt, BadInput
from store.feedback import LabelledRow
from store.records import Snapshot
from store.snapshots import add_snapshot, get_snapshot

ROWS_FILE = "rows.jsonl"
SUMMARY_FILE = "snapshot.json"
ARTIFACT_KIND = "snapshots"
_LATER_FIELDS = ("entity", "at")
_ENOUGH_ROWS = 8
"""New rows of a class that reach every split, whatever rounding has left over."""


@dataclass(frozen=True, slots=True)
class SnapshotContent:
    rows: tuple[Row, ...]
    """Each with its split, in canonical order."""
    audit: Audit
    """Of the rows before those that could not be used were left out, and of what the split made of their classes."""
    left_out: Mapping[str, int]
    """Rows that did not go in, by reason: no_text, no_label, flagged_text_measures."""

    @property
    def id(self) -> str:
        """SHA-256 over the canonical rows, as hex; the order in which they came does not matter."""
        return digest_rows(self.rows)

    @property
    def labels(self) -> dict[str, int]:
        """Rows per label, the most frequent first."""
        return dict(sorted(Counter(row.label for row in self.rows).items(), key=lambda item: (-item[1], item[0])))

    def rows_of(self, split: str) -> list[Row]:
        return [row for row in self.rows if row.split == split]

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "rows": len(self.rows),
            "labels": self.labels,
            "splits": dict(sorted(Counter(str(row.split) for row in self.rows).items())),
            "origins": dict(sorted(Counter(row.origin for row in self.rows).items())),
            "left_out": dict(self.left_out),
            "audit": self.audit.as_dict(),
        }


def build_snapshot(
    parent_rows: Sequence[Row],
    new_labelled: Sequence[LabelledRow],
    *,
    seed: int,
    shares: tuple[float, float, float] = SHARES,
    look: Look | None = None,
    allowed_labels: Sequence[str] | None = None,
    own_split: bool = False,
) -> SnapshotContent:
    """The rows of a new snapshot: those of the parent (or of a person's file) and the new verdicts.

    A verdict on a prediction that the parent holds already replaces its label, if it is newer; the row stays in its
    split. A verdict without a label or text is left out and counted. look: shows the rows to a base, for an audit that
    sees label errors too. allowed_labels, own_split: see `audit_rows`. Raises BadInput when the audit finds an error
    or a split would have no rows.
    """
    newest: dict[str, LabelledRow] = {}
    for verdict in sorted(new_labelled, key=lambda verdict: verdict.feedback_seq):
        newest[verdict.prediction_id] = verdict
    left_out: Counter[str] = Counter()
    for prediction_id, verdict in list(newest.items()):
        has_text = group_key(verdict.text) != ""
        if not (has_text and verdict.label.strip()):
            left_out["no_label" if has_text else "no_text"] += 1
            del newest[prediction_id]
    known = {row.prediction_id for row in parent_rows}
    merged = [_corrected(row, newest.get(row.prediction_id or "")) for row in parent_rows]
    merged += [_row_of(verdict) for prediction_id, verdict in newest.items() if prediction_id not in known]

    with_text = [row for row in merged if row.group]
    validated = [row.text for row in parent_rows if row.split == "validation"] if newest else []
    near = find_near_duplicates(row.group for row in with_text)
    audit = audit_rows(
        merged,
        previous=parent_rows if newest else None,
        view=None if look is None else look(merged, known=validated),
        near=near,
        allowed_labels=allowed_labels,
        own_split=own_split,
    )
    audit.require_usable()
    placed = split_rows(with_text, seed=seed, shares=shares, near=near)
    _require_splits(placed, with_text, own_split=own_split)
    whole = {n: row for n, row in enumerate(merged, start=1) if row.group}
    audit = audit.with_findings(untaught_classes(whole, placed))
    left_out["no_text"] += len(merged) - len(with_text)
    left_out["flagged_text_measures"] += len(with_text) - len(placed)
    told = {reason: count for reason, count in sorted(left_out.items()) if count}
    return SnapshotContent(rows=tuple(sorted(placed, key=_canonical)), audit=audit, left_out=told)


def digest_rows(rows: Iterable[Row]) -> str:
    return hashlib.sha256("\n".join(sorted(map(_canonical, rows))).encode()).hexdigest()


def write_snapshot(content: SnapshotContent, folder: Path) -> None:
    """Write `rows.jsonl`, one object a line, and `snapshot.json`, the summary, into an existing folder."""
    lines = "".join(_canonical(row) + "\n" for row in content.rows)
    (folder / ROWS_FILE).write_text(lines, encoding="utf-8", newline="\n")
    (folder / SUMMARY_FILE).write_text(json.dumps(content.as_dict(), indent=1) + "\n", encoding="utf-8")


def read_snapshot(folder: Path) -> list[Row]:
    """The rows that `write_snapshot` wrote. Raises ArtifactCorrupt if they are not those of the summary."""
    try:
        with (folder / ROWS_FILE).open(encoding="utf-8") as file:
            rows = [Row(**json.loads(line)) for line in file]
        named = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))["id"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ArtifactCorrupt(f"snapshot in {folder} cannot be read: {error!r}; restore it from a backup") from error
    found = digest_rows(rows)
    if found != named:
        raise ArtifactCorrupt(f"snapshot in {folder} is named {named[:12]}..., but its rows are {found[:12]}...")
    return rows


def store_snapshot(
    database: Database,
    artifacts: ArtifactStore,
    content: SnapshotContent,
    *,
    model: str,
    parent: str | None,
    feedback_until: int,
    now: datetime,
) -> str:
    """Store artifact, then record; returns the snapshot's id. The same rows for the same model are the same snapshot.

    feedback_until: the highest Feedback.seq that was looked at; only labels after it may judge what is trained on
    this. Raises StoreUnavailable.
    """
    with TemporaryDirectory(prefix="driftgate-snapshot-") as folder:
        write_snapshot(content, Path(folder))
        artifact = artifacts.put(ARTIFACT_KIND, Path(folder))
    record = Snapshot(
        id=hashlib.sha256(f"{model}\n{content.id}".encode()).hexdigest(),
        model=model,
        parent=parent,
        artifact=artifact,
        rows=len(content.rows),
        labels=content.labels,
        audit=content.audit.as_dict(),
        feedback_until=feedback_until,
        created_at=now,
    )
    snapshot_id = record.id
    with database.write() as session:
        add_snapshot(session, record)
    return snapshot_id


def load_snapshot(database: Database, artifacts: ArtifactStore, snapshot_id: str) -> list[Row]:
    """The rows of a snapshot, verified. Raises NotFound, ArtifactCorrupt, StoreUnavailable."""
    with database.read() as session:
        artifact = get_snapshot(session, snapshot_id).artifact
    return read_snapshot(artifacts.fetch(artifact))


def _require_splits(placed: Sequence[Row], asked: Sequence[Row], *, own_split: bool) -> None:
    """Without a split no version comes of it: train teaches, validation chooses what is kept, test measures it.

    asked: the rows before they were placed. Raises BadInput with what to do, by what kept rows out of the split.
    """
    missing = [split for split in SPLITS if not any(row.split == split for row in placed)]
    if not missing:
        return
    free = [row for row in asked if row.split is None]
    together = {"time": {row.at for row in free} - {None}, "group": {row.entity for row in free} - {None}}
    told = [f"rows of one {kind} stay together, and these have {len(each)}" for kind, each in together.items() if each]
    if own_split:
        todo = f"add rows of {' and '.join(missing)} to your split column, or leave cells of it empty: we place those"
    elif told:
        todo = f"{', '.join(told)}: bring rows of more, or leave that column out"
    else:
        todo = f"add rows whose texts are not nearly the same: {_ENOUGH_ROWS} more of one class are enough"
    raise BadInput(f"these {len(asked)} rows leave none for {' and '.join(missing)}; {todo}")


def _corrected(row: Row, verdict: LabelledRow | None) -> Row:
    if verdict is None or (row.feedback_seq is not None and verdict.feedback_seq <= row.feedback_seq):
        return row
    newer = _row_of(verdict)
    if row.origin == "audit":  # it was drawn at random, and a later verdict does not undo that
        newer = replace(newer, origin="audit", inclusion=row.inclusion)
    return replace(newer, split=row.split) if newer.group == row.group else newer


def _row_of(verdict: LabelledRow) -> Row:
    return Row(
        text=verdict.text,
        label=verdict.label,
        origin=verdict.origin,
        inclusion=verdict.inclusion,
        prediction_id=verdict.prediction_id,
        feedback_seq=verdict.feedback_seq,
    )


def _canonical(row: Row) -> str:
    """What came after the first snapshots is left out where it says nothing, so that those keep their ids."""
    fields = asdict(row)
    for field in _LATER_FIELDS:
        if fields[field] is None:
            del fields[field]
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))
