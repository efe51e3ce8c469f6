import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain.audit import BaseView
from retrain.dataset import Row
from retrain.snapshot import (
    build_snapshot,
    digest_rows,
    load_snapshot,
    read_snapshot,
    store_snapshot,
    write_snapshot,
)
from store.artifacts import open_artifacts
from store.database import open_database
from store.errors import ArtifactCorrupt, BadInput, NotFound
from store.feedback import LabelledRow, NewFeedback, add_feedback, labelled_rows, last_feedback_seq
from store.records import AuditSample
from store.settings import load_settings
from store.snapshots import get_snapshot

UNHURRIED = settings(deadline=None)  # a busy machine looks ten times as long for near duplicates

NOW = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)


@pytest.fixture
def house(tmp_path):
    opened = load_settings(home=tmp_path)
    database = open_database(opened)
    yield database, open_artifacts(opened)
    database.close()


def seed_rows(count=60):
    return [Row(f"question {n} about {label}", label) for n in range(count) for label in ("billing", "login")]


def day(number):
    return f"2026-01-{number:02}T00:00:00.000000+00:00"


def verdict(seq, text="a new question", label="login", *, prediction_id=None, inclusion=None):
    return LabelledRow(
        feedback_seq=seq,
        prediction_id=prediction_id or f"p{seq}",
        version=1,
        text=text,
        label=label,
        predicted="billing",
        inclusion=inclusion,
        at=NOW,
    )


def by_prediction(content):
    return {row.prediction_id: row for row in content.rows if row.prediction_id}


@UNHURRIED
@given(st.randoms(use_true_random=False))
def test_the_same_rows_are_the_same_snapshot_whatever_their_order(rng):
    rows = seed_rows(8)
    verdicts = [verdict(n, f"asked {n}", "ab"[n % 2], inclusion=0.1) for n in range(1, 9)]
    one = build_snapshot(rows, verdicts, seed=0)
    other = build_snapshot(rng.sample(rows, len(rows)), rng.sample(verdicts, len(verdicts)), seed=0)
    assert one.rows == other.rows
    assert one.id == other.id


def test_any_difference_in_a_row_is_another_snapshot():
    rows = build_snapshot(seed_rows(), [], seed=0).rows
    ids = {digest_rows(rows), digest_rows(rows[1:]), digest_rows([*rows, rows[0]])}
    ids.add(digest_rows([Row(rows[0].text, rows[0].label, split="none"), *rows[1:]]))
    assert len(ids) == 4


def test_feedback_rows_carry_how_they_were_chosen():
    verdicts = [verdict(1, "drawn", inclusion=0.02), verdict(2, "flagged")]
    rows = by_prediction(build_snapshot(seed_rows(), verdicts, seed=0))
    assert (rows["p1"].origin, rows["p1"].inclusion, rows["p1"].feedback_seq) == ("audit", 0.02, 1)
    assert (rows["p2"].origin, rows["p2"].inclusion, rows["p2"].split) == ("flagged", None, "train")


def test_rows_keep_their_split_from_one_snapshot_to_the_next():
    first = build_snapshot(seed_rows(), [], seed=0)
    verdicts = [verdict(n, f"asked {n}", ["login", "billing"][n % 2], inclusion=0.1) for n in range(100)]
    second = build_snapshot(first.rows, verdicts, seed=1)
    assert set(first.rows) <= set(second.rows)
    new_tests = [row for row in second.rows_of("test") if row.origin == "audit"]
    assert abs(len(new_tests) - 15) <= 1


def test_a_flagged_copy_of_a_test_text_is_left_out_and_counted():
    first = build_snapshot(seed_rows(), [], seed=0)
    measured = first.rows_of("test")[0]
    second = build_snapshot(first.rows, [verdict(1, measured.text.upper(), "login")], seed=0)
    assert second.left_out == {"flagged_text_measures": 1}
    assert second.rows == first.rows


def test_the_newest_verdict_on_a_prediction_replaces_the_label_in_its_split():
    first = build_snapshot(seed_rows(), [verdict(n, f"asked {n}", inclusion=0.1) for n in range(1, 41)], seed=0)
    measured = next(row for row in first.rows_of("test") if row.origin == "audit")
    text = measured.text
    newer = verdict(90, text, "billing", prediction_id=measured.prediction_id)  # its audit row is gone meanwhile
    older = verdict(0, text, "fax", prediction_id=measured.prediction_id)
    second = build_snapshot(first.rows, [newer, older], seed=0)
    assert len(second.rows) == len(first.rows)
    row = by_prediction(second)[measured.prediction_id]
    assert (row.label, row.split, row.origin, row.inclusion) == ("billing", "test", "audit", 0.1)
    third = build_snapshot(second.rows, [verdict(50, text, "fax", prediction_id=measured.prediction_id)], seed=0)
    assert by_prediction(third)[measured.prediction_id].label == "billing"


def test_a_verdict_whose_text_changed_is_placed_anew():
    first = build_snapshot(seed_rows(), [verdict(1, "old words")], seed=0)
    second = build_snapshot(first.rows, [verdict(2, first.rows_of("test")[0].text, prediction_id="p1")], seed=0)
    assert second.left_out == {"flagged_text_measures": 1}
    assert "p1" not in by_prediction(second)


def test_verdicts_without_text_or_label_are_left_out_and_counted_but_stop_nothing():
    content = build_snapshot(seed_rows(), [verdict(1, " "), verdict(2, "x", " "), verdict(3, "fine")], seed=0)
    assert content.left_out == {"no_label": 1, "no_text": 1}
    assert set(by_prediction(content)) == {"p3"}


def test_a_persons_rows_without_text_are_left_out_and_those_without_label_stop_it():
    assert build_snapshot([*seed_rows(), Row("", "login")], [], seed=0).left_out == {"no_text": 1}
    with pytest.raises(BadInput, match=r"1 row without a label.*\(row 121\)"):
        build_snapshot([*seed_rows(), Row("x", "")], [], seed=0)


def test_a_folder_gives_back_what_was_written(tmp_path):
    content = build_snapshot(seed_rows(), [verdict(1, "zwölf \u2028 € \x00", inclusion=0.1)], seed=0)
    write_snapshot(content, tmp_path)
    assert tuple(read_snapshot(tmp_path)) == content.rows
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert len(lines) == len(content.rows)
    summary = json.loads((tmp_path / "snapshot.json").read_text())
    assert summary["id"] == content.id
    assert sum(summary["splits"].values()) == summary["rows"] == 121
    assert summary["origins"] == {"audit": 1, "seed": 120}


@pytest.mark.parametrize("damage", ["change", "cut", "nonsense"])
def test_a_damaged_folder_is_refused(tmp_path, damage):
    write_snapshot(build_snapshot(seed_rows(), [], seed=0), tmp_path)
    path = tmp_path / "rows.jsonl"
    text = path.read_text()
    path.write_text(
        {"change": text.replace("login", "logout", 1), "cut": text[: len(text) // 2], "nonsense": "{}\n"}[damage]
    )
    with pytest.raises(ArtifactCorrupt):
        read_snapshot(tmp_path)


def test_a_snapshot_from_real_feedback_is_stored_once_and_loads_verified(house):
    database, artifacts = house
    with database.write() as session:
        session.add(AuditSample(prediction_id="drawn", model="tickets", version=1, inclusion=0.02, at=NOW))
        for prediction_id, label in [("drawn", "login"), ("said", "billing"), ("drawn", "billing")]:
            said = NewFeedback(
                prediction_id, "tickets", 1, label, None, f"text of {prediction_id}", None, "ana", "audit"
            )
            add_feedback(session, said, now=NOW)
    with database.read() as session:
        until = last_feedback_seq(session, "tickets")
        new = labelled_rows(session, "tickets", until_seq=until)
    content = build_snapshot(seed_rows(), new, seed=0)
    put = {"model": "tickets", "parent": None, "feedback_until": until}
    snapshot_id = store_snapshot(database, artifacts, content, now=NOW, **put)
    assert store_snapshot(database, artifacts, content, now=NOW, **put) == snapshot_id
    assert tuple(load_snapshot(database, artifacts, snapshot_id)) == content.rows
    with database.read() as session:
        record = get_snapshot(session, snapshot_id)
    assert (record.rows, record.feedback_until, record.labels) == (122, 3, {"billing": 62, "login": 60})
    assert record.audit["usable"]
    rows = by_prediction(content)
    assert (rows["drawn"].label, rows["drawn"].origin) == ("billing", "audit")


def test_an_unknown_or_damaged_snapshot_does_not_load(house, tmp_path):
    database, artifacts = house
    with pytest.raises(NotFound):
        load_snapshot(database, artifacts, "nope")
    content = build_snapshot(seed_rows(), [], seed=0)
    snapshot_id = store_snapshot(database, artifacts, content, model="m", parent=None, feedback_until=0, now=NOW)
    (rows,) = (tmp_path / "artifacts").rglob("rows.jsonl")
    rows.write_text(rows.read_text()[:-50])
    with pytest.raises(ArtifactCorrupt):
        load_snapshot(database, artifacts, snapshot_id)


def test_snapshots_from_before_entities_and_times_keep_their_id():
    rows = [
        Row("where is my parcel?", "shipping", split="train"),
        Row("Rückgeld bitte", "refund", "audit", "test", 0.02, "tickets:1:01a1", 7),
    ]
    assert digest_rows(rows) == "4598cd983387d3623c1e29ed806b2d549fd2eb617c580e98feccbc7ae6b263f5"


def test_entity_and_time_are_part_of_a_row_and_come_back(tmp_path):
    days = [day(n) for n in range(1, 10)]
    rows = [Row(f"t {n}", "ab"[n % 2], entity=f"e{n % 9}", at=days[n % 9]) for n in range(60)]
    content = build_snapshot(rows, [], seed=0)
    write_snapshot(content, tmp_path)
    assert read_snapshot(tmp_path) == list(content.rows)
    assert {row.at for row in content.rows} == set(days)
    assert digest_rows(content.rows) != digest_rows([replace(row, entity=None) for row in content.rows])


def test_a_file_with_a_class_of_one_row_is_refused_and_feedback_with_one_is_not():
    with pytest.raises(BadInput, match="1 of 3 classes have fewer than 2 rows: 'fax'"):
        build_snapshot([*seed_rows(), Row("one only", "fax")], [], seed=0)
    first = build_snapshot(seed_rows(), [], seed=0)
    assert "fax" in build_snapshot(first.rows, [verdict(1, "one only", "fax")], seed=0).labels


def test_classes_that_our_own_split_by_time_never_teaches_are_told():
    old = [replace(row, at=day(1 + n // 5)) for n, row in enumerate(seed_rows())]
    new = [Row(f"the {thing} is gone", "lost", at=day(28)) for thing in ("key", "ring", "card", "dog")]
    content = build_snapshot([*old, *new], [], seed=0)
    assert {row.split for row in content.rows if row.label == "lost"} == {"test"}
    (found,) = [finding for finding in content.audit.findings if finding.kind == "untaught_classes"]
    assert "1 classes are measured and never taught: 'lost'" in found.message
    assert (found.severity, found.rows, found.count) == ("warning", (121, 122, 123, 124), 4)
    ranks = [("error", "warning", "info").index(finding.severity) for finding in content.audit.findings]
    assert ranks == sorted(ranks)


def test_an_untaught_class_of_a_persons_own_split_is_told_once():
    rows = [replace(row, split=("train", "validation", "test")[n // 2 % 3]) for n, row in enumerate(seed_rows())]
    lost = [Row(f"the {thing} is gone", "lost", split="test") for thing in ("key", "ring")]
    found = build_snapshot([*rows, *lost], [], seed=0, own_split=True).audit.findings
    assert [finding.kind for finding in found].count("untaught_classes") == 1


@pytest.mark.parametrize(
    ("change", "own_split", "told"),
    [
        (lambda n: {"split": ("train", "validation")[n % 2]}, True, "none for test; add rows of test to your split"),
        (lambda n: {"split": ("train", "test")[n % 2]}, True, "none for validation; .* leave cells of it empty"),
        (lambda n: {"split": ("validation", "test")[n % 2]}, True, "none for train;"),
        (lambda n: {"split": "train"}, False, "none for validation and test; add rows .*: 8 more of one class"),
        (lambda n: {"at": day(1 + n // 60)}, False, "none for test; rows of one time .* these have 2: bring"),
        (lambda n: {"entity": "ab"[n // 60]}, False, "none for validation and test; rows of one group .* 2: bring"),
    ],
)
def test_rows_that_leave_a_split_empty_are_refused_with_what_to_do(change, own_split, told):
    rows = [replace(row, **change(n)) for n, row in enumerate(seed_rows())]
    with pytest.raises(BadInput, match=f"these 120 rows leave {told}"):
        build_snapshot(rows, [], seed=0, own_split=own_split)


def test_a_few_rows_that_leave_a_split_empty_are_refused_and_eight_more_of_a_class_are_enough():
    few = [Row("where is my parcel", "shipping"), Row("it never came", "shipping")]
    few += [Row("money back", "refund"), Row("you owe me", "refund")]
    with pytest.raises(BadInput, match="these 4 rows leave none for validation and test; add rows whose texts"):
        build_snapshot(few, [], seed=0)
    words = ("door", "window", "roof", "wall", "floor", "stairs", "garden", "fence")
    more = [Row(f"the {word} is broken", "damage") for word in words]
    assert {row.split for row in build_snapshot([*few, *more], [], seed=0).rows} == {"train", "validation", "test"}


def test_what_a_base_makes_of_the_rows_is_asked_for_with_the_rows_that_are_audited():
    asked = []

    def look(rows, *, known=()):
        asked.append(rows)
        assert not known, "nothing is known of a person's file"
        features = np.random.default_rng(0).normal(size=(len(rows), 4)).astype(np.float32)
        return BaseView(features, np.full(len(rows), 9), max_tokens=8)

    content = build_snapshot(seed_rows(), [verdict(1, "a new one")], seed=0, look=look)
    assert len(asked[0]) == 121
    assert "cut_texts" in {finding.kind for finding in content.audit.findings}
    assert content.audit.skipped == ()


def test_a_retraining_tells_new_rows_that_are_far_from_what_production_was_validated_on():
    def features(row):
        """Texts of the file on one side of the space, those that came later on the other."""
        rng = np.random.default_rng(len(row.text))
        return (3 if row.text.startswith("question") else -3) * np.ones(8) + rng.normal(size=8)

    def look(rows, *, known=()):
        texts = {row.text: features(row) for row in rows}
        return BaseView(
            np.array([texts[row.text] for row in rows], np.float32),
            np.full(len(rows), 9),
            max_tokens=99,
            known=np.array([texts[text] for text in known], np.float32) if known else None,
        )

    first = build_snapshot(seed_rows(150), [], seed=0, look=look)
    assert len(first.rows_of("validation")) >= 30
    later = [verdict(n, f"{'x' * n} parcel {n}", inclusion=0.1) for n in range(1, 41)]
    second = build_snapshot(first.rows, later, seed=0, look=look)
    kinds = [{finding.kind: finding for finding in content.audit.findings} for content in (first, second)]
    assert "far_from_base" not in kinds[0]
    found = kinds[1]["far_from_base"]
    assert (found.severity, found.count) == ("warning", 40)
    assert found.message.startswith("40 rows of 40 (100%) far from those that production was validated on")
    few = build_snapshot(first.rows, later[:20], seed=0, look=look)
    assert "far_from_base" not in {finding.kind for finding in few.audit.findings}
