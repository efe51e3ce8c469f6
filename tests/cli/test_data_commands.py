import json

import pytest

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
