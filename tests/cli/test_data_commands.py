import csv
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from retrain.dataset import Row, read_rows
from retrain.snapshot import build_snapshot, store_snapshot
from retrain.split import SPLITS
from store.artifacts import open_artifacts
from store.database import open_database
from store.settings import load_settings
from store.versions import NewVersion, promote, register_version

ROWS = "text,label\n" + "".join(f"my parcel {i} is late,shipping\nmoney back for order {i},refund\n" for i in range(9))


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "tickets.csv"
    path.write_text(ROWS)
    return path


def test_a_good_file_is_usable(ask, driftgate, data):
    found = ask("data", "audit", data)
    assert found["usable"] is True
    assert found["rows"] == 18
    assert found["labels"] == {"refund": 9, "shipping": 9}
    assert "class_counts" in driftgate("data", "audit", data).stdout


def test_what_cannot_be_trained_on_is_shown_and_ends_with_1(driftgate, data):
    data.write_text(ROWS + "a text,\n")
    result = driftgate("data", "audit", data, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["usable"] is False
    shown = driftgate("data", "audit", data)
    assert shown.exit_code == 1
    assert "missing_labels" in shown.stdout
    assert "19" in shown.stdout


def test_columns_of_other_names_can_be_named(ask, refusal, data):
    data.write_text(ROWS.replace("text,label", "body,queue"))
    assert "no column 'text' and no column 'label'; it has 'body', 'queue'" in refusal("data", "audit", data)
    assert ask("data", "audit", data, "--text-column", "body", "--label-column", "queue")["rows"] == 18


def test_a_file_that_is_not_there_is_told_with_its_neighbours(refusal, data):
    assert "did you mean 'tickets.csv'?" in refusal("data", "audit", data.with_name("ticket.csv"))


def test_texts_cannot_speak_to_the_terminal(driftgate, data):
    data.write_text(ROWS.replace("refund", "\x1b[31mre[bold]fund"))
    shown = driftgate("data", "audit", data).stdout
    assert "\x1b" not in shown
    assert "\N{REPLACEMENT CHARACTER}[31mre[bold]fund" in shown


SPLIT = "text,label,customer,day,part\n" + "".join(
    f"{word} number {n},{label},c{n % 7},2026-01-{1 + n:02},{'train' if n < 14 else 'val' if n < 17 else 'test'}\n"
    for n in range(20)
    for word, label in (("parcel", "shipping"), ("money", "refund"))
)


def test_a_split_of_ones_own_that_leaks_is_refused_and_one_that_does_not_is_not(driftgate, ask, data):
    data.write_text(SPLIT)
    own = ("data", "audit", data, "--split-column", "part")
    assert ask(*own, "--time-column", "day")["usable"] is True
    by_group = driftgate(*own, "--group-column", "customer")
    assert by_group.exit_code == 1
    assert "group_leakage" in by_group.stdout
    data.write_text(SPLIT.replace("2026-01-02", "2026-02-02"))
    by_time = driftgate(*own, "--time-column", "day")
    assert by_time.exit_code == 1
    assert "time_leakage" in by_time.stdout


def test_labels_outside_the_list_are_named(driftgate, data):
    names = data.with_name("labels.txt")
    names.write_text("refund\nshiping\n")
    shown = driftgate("data", "audit", data, "--labels", names)
    assert shown.exit_code == 1
    assert "'shipping' (did you mean 'shiping'?)" in shown.stdout


def test_a_base_looks_for_label_errors_too_and_writes_the_suspects(ask, driftgate, data, with_base):
    suspects = data.with_name("suspects.csv")
    found = ask("data", "audit", data, "--base", "tiny", "--suspects", suspects)
    assert found["skipped"] == []
    with suspects.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "text", "label", "likely", "confidence"]
    confidences = [float(row["confidence"]) for row in rows]
    assert 0 < len(rows) <= 18
    assert all(0 <= confidence <= 1 for confidence in confidences)
    assert ask("data", "audit", data)["skipped"] != []
    assert driftgate("data", "audit", data, "--suspects", suspects).exit_code == 2


def test_a_base_tells_what_is_far_from_the_rows_that_production_was_validated_on(
    ask, driftgate, refusal, data, opened, with_base, home
):
    compared = ("data", "audit", data, "--base", "tiny", "--model", "tickets")
    assert "no model 'tickets'" in refusal(*compared)
    rows = [Row(f"where is parcel {n} of mine", "ab"[n % 2], split=SPLITS[n // 2 % 3]) for n in range(120)]
    now = datetime(2026, 11, 2, tzinfo=UTC)
    artifacts = open_artifacts(load_settings(home=home))
    content = build_snapshot(rows, [], seed=0)
    put = {"model": "tickets", "parent": None, "feedback_until": 0, "now": now}
    snapshot = store_snapshot(opened, artifacts, content, **put)
    with opened.write() as session:
        for taken in (None, snapshot):
            new = NewVersion("tickets", "tiny", f"adapters/{taken}", 8, ("a", "b"), snapshot=taken)
            register_version(session, new, by="test", now=now)
        promote(session, "tickets", 1, by="test", reason="a test", now=now)
    assert "no production version with a snapshot" in refusal(*compared)
    with opened.write() as session:
        promote(session, "tickets", 2, by="test", reason="a test", now=now)

    far = "".join(
        f'"{word} ! ? # {word} %",{label}\n' for label in "ab" for word in (label + "zq" * n for n in range(1, 20))
    )
    data.write_text("text,label\n" + far)
    assert "far_from_base" in {finding["kind"] for finding in ask(*compared)["findings"]}
    assert "far_from_base" not in {finding["kind"] for finding in ask(*compared[:-2])["findings"]}
    data.write_text("text,label\n" + "".join(f"{row.text},{row.label}\n" for row in rows))
    assert "far_from_base" not in {finding["kind"] for finding in ask(*compared)["findings"]}
    assert driftgate("data", "audit", data, "--model", "tickets").exit_code == 2


@pytest.fixture
def two_snapshots(home, data):
    """Ids of a snapshot of the file, and of one in which a row was relabelled and one added."""
    settings = load_settings(home=home)
    database, artifacts = open_database(settings), open_artifacts(settings)
    ids: list[str] = []
    rows = read_rows(data)
    for number, some in enumerate(
        (rows, [replace(rows[0], label="refund"), *rows[1:], Row("app is down", "app"), Row("app", "app")])
    ):
        content = build_snapshot(some, [], seed=0)
        at = datetime(2026, 11, 2 + number, tzinfo=UTC)
        parent = ids[0] if ids else None
        ids.append(
            store_snapshot(database, artifacts, content, model="tickets", parent=parent, feedback_until=0, now=at)
        )
    database.close()
    return ids


def test_snapshots_are_listed_shown_and_compared(ask, driftgate, refusal, data, two_snapshots):
    first, second = two_snapshots
    listed = ask("data", "list", "tickets")["snapshots"]
    assert [snapshot["snapshot"] for snapshot in listed] == [first, second]
    shown = ask("data", "show", second[:8])
    assert (shown["parent"], shown["rows"]) == (first, 20)
    assert sum(shown["splits"].values()) == 20
    assert "class_counts" in driftgate("data", "show", second).stdout

    found = ask("data", "diff", first[:8], second)
    assert [row["label"] for row in found["added"]] == ["app", "app"]
    assert [row["label"] for row in found["relabelled"]] == [["shipping", "refund"]]
    assert found["labels_added"] == ["app"]
    assert "relabelled" in driftgate("data", "diff", first, second).stdout
    assert ask("data", "diff", first, data)["same"] is True

    assert "no snapshot 'abcdef'" in refusal("data", "diff", "abcdef", first)
    assert "too short" in refusal("data", "show", first[:2])
    assert "no model 'letters'" in refusal("data", "list", "letters")
