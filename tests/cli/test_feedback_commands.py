import csv
import io
import json

import pytest

from retrain.dataset import read_rows
from store.feedback import count_feedback, labelled_rows
from tests.cli.stock import add_answers


@pytest.fixture
def answers(with_model, opened):
    return add_answers(opened, "tickets", ["where is my parcel", "pay me, please", "hello there"], label="no")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_verdicts_come_in_once(ask, opened, answers, tmp_path):
    rows = [
        {"prediction_id": answers[0], "label": "yes", "comment": "late", "by": "ann"},
        {"prediction_id": answers[1], "correct": True},
        {"prediction_id": f"tickets:2:{'0' * 32}", "label": "no", "input": "a text that was not recorded"},
    ]
    file = write(tmp_path / "f.jsonl", rows)
    assert ask("feedback", "import", file, "--by", "bob") == {"file": str(file), "rows": 3, "added": 3, "known": 0}
    assert ask("feedback", "import", file, "--by", "bob")["added"] == 0
    with opened.read() as session:
        labelled = [(row.text, row.label) for row in labelled_rows(session, "tickets")]
    assert labelled == [
        ("where is my parcel", "yes"),
        ("pay me, please", "no"),
        ("a text that was not recorded", "no"),
    ]


def test_a_file_with_flaws_adds_nothing_and_tells_each_by_row(refusal, opened, answers, tmp_path):
    rows = [
        {"prediction_id": answers[0], "label": "yes"},
        {"prediction_id": "nonsense", "label": "yes"},
        {"prediction_id": answers[1]},
        {"prediction_id": answers[1].replace("tickets:1", "tickets:9"), "label": "yes"},
        {"prediction_id": answers[1].replace("tickets", "ticket"), "label": "yes"},
        {"prediction_id": f"tickets:1:{'0' * 32}", "label": "yes"},
        {"prediction_id": answers[2], "correct": "perhaps"},
        {"prediction_id": answers[2], "label": 7},
    ]
    said = refusal("feedback", "import", write(tmp_path / "f.jsonl", rows))
    assert "nothing was imported, 7 of its rows cannot be used" in said
    for flaw in (
        "row 2: prediction_id: 'nonsense' is no prediction id",
        "row 3: it says neither",
        "row 4: no version '9'; known: 1, 2",
        "row 5: no model 'ticket'; did you mean 'tickets'?",
        "row 6: prediction tickets:1:000",
        "row 7: correct: ",
        "row 8: label: ",
    ):
        assert flaw in said
    with opened.read() as session:
        assert count_feedback(session) == 0


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("f.txt", "x", "save it as .jsonl or .csv"),
        ("f.jsonl", "", "has no rows"),
        ("f.jsonl", "{", "row 1: not JSON"),
        ("f.jsonl", "[1]", "row 1: not an object"),
        ("f.jsonl", '{"prediction_id": "a", "lable": "x"}', "unknown columns 'lable'"),
        ("f.csv", "prediction_id,label\na,b,c\n", "row 1: it has not as many cells"),
        ("f.csv", 'prediction_id,label\n"a,b\n', "never closed"),
        ("f.csv", b"prediction_id,label\n\xe9,b\n", "is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(refusal, tmp_path, name, content, complaint):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert complaint in refusal("feedback", "import", path)


def test_a_file_that_is_not_there(refusal, tmp_path):
    assert "cannot read" in refusal("feedback", "import", tmp_path / "none.csv")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_what_is_exported_can_be_trained_on(driftgate, answers, tmp_path, kind, ask):
    rows = [{"prediction_id": answers[1], "label": "yes"}, {"prediction_id": answers[2], "correct": False}]
    ask("feedback", "import", write(tmp_path / "f.jsonl", rows))
    result = driftgate("feedback", "export", "tickets", "--format", kind)
    assert result.stderr == "1 labelled rows from 2 verdicts\n"
    path = tmp_path / f"labelled.{kind}"
    path.write_text(result.stdout)
    assert [(row.text, row.label) for row in read_rows(path)] == [("pay me, please", "yes")]


def test_an_export_is_corrected_in_a_spreadsheet_and_comes_back(driftgate, ask, opened, answers, tmp_path):
    ask("feedback", "import", write(tmp_path / "f.jsonl", [{"prediction_id": answers[0], "correct": True}]))
    exported = driftgate("feedback", "export", "tickets", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(exported)))
    assert (rows[0]["label"], rows[0]["predicted"], rows[0]["origin"]) == ("no", "no", "flagged")
    path = tmp_path / "back.csv"
    path.write_text(exported.replace(",no,no,", ",yes,no,"))
    assert ask("feedback", "import", path)["added"] == 1
    with opened.read() as session:
        assert [row.label for row in labelled_rows(session, "tickets")] == ["yes"]


def test_a_csv_says_true_and_false_as_spreadsheets_do(ask, opened, answers, tmp_path):
    path = tmp_path / "f.csv"
    path.write_text(f"prediction_id,label,correct\n{answers[0]},,TRUE\n{answers[1]},yes,no\n")
    assert ask("feedback", "import", path)["added"] == 2
    with opened.read() as session:
        assert [row.label for row in labelled_rows(session, "tickets")] == ["no", "yes"]


def test_an_unknown_model_has_nothing_to_export(refusal, with_model):
    assert "did you mean 'tickets'?" in refusal("feedback", "export", "ticket")
