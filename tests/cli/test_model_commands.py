import csv
import getpass

import pytest

from cli.demo.tickets import World, tickets
from store.bases import get_base
from store.clock import utc_now
from store.events import tell


def test_models_are_listed_with_what_they_answer_with(ask, driftgate, with_model):
    (tickets,) = ask("model", "list")["models"]
    assert (tickets["model"], tickets["production"], tickets["stage"]) == ("tickets", 1, "none")
    assert "tickets" in driftgate("model", "list").stdout


def test_a_model_is_shown_with_its_versions(ask, driftgate, with_model):
    shown = ask("model", "show", "tickets")
    assert [version["version"] for version in shown["versions"]] == [1, 2]
    lines = driftgate("model", "show", "tickets").stdout.splitlines()
    assert any(line.split()[:3] == ["1", "ready", "production"] for line in lines)


def test_promote_rollback_and_archive(ask, driftgate, refusal, with_model):
    assert "has no earlier production version" in refusal("model", "rollback", "tickets")
    promoted = ask("model", "promote", "tickets", 2, "--reason", "better on refunds")
    assert (promoted["production"], promoted["previous"]) == (2, 1)
    assert "in production already" in refusal("model", "promote", "tickets", 2)
    assert "promote another one first" in refusal("model", "archive", "tickets", 2)
    said = driftgate("model", "rollback", "tickets", "--reason", "complaints").stdout
    assert said == "version 1 of 'tickets' is in production; `driftgate model rollback tickets` returns to 2\n"
    assert ask("model", "archive", "tickets", 2)["state"] == "archived"
    assert "is archived; it cannot be promoted" in refusal("model", "promote", "tickets", 2)


def test_history_reads_as_a_story(ask, driftgate, with_model):
    ask("model", "promote", "tickets", 2, "--reason", "better on refunds")
    ask("model", "rollback", "tickets")
    events = ask("model", "history", "tickets")["events"]
    assert [event["kind"] for event in events[-2:]] == ["promoted", "rolled_back"]
    assert events[-2]["message"] == "better on refunds"
    assert events[-2]["by"] == getpass.getuser()
    story = driftgate("model", "history", "tickets").stdout.splitlines()
    at = next(i for i, line in enumerate(story) if "better on refunds" in line)
    assert story[at - 1].endswith(f"promoted, version 2, by {getpass.getuser()}")
    assert any(line.strip().startswith("adapter adapters/") for line in story)
    assert len(ask("model", "history", "tickets", "--limit", 1)["events"]) == 1


def test_a_story_may_begin_before_the_first_version(ask, opened, refusal):
    with opened.write() as session:
        tell(session, "orders", "run_queued", "the first one", by="ann", now=utc_now(), run="r1")
    assert ask("model", "history", "orders")["events"][0]["links"] == {"run": "r1"}
    assert "no model 'ordres'" in refusal("model", "history", "ordres")


def test_wrong_names_and_numbers_bring_near_matches(refusal, with_model):
    for command in (["show"], ["history"], ["rollback"]):
        assert "no model 'ticket'; did you mean 'tickets'?" in refusal("model", *command, "ticket")
    assert "no version '7'; known: 1, 2" in refusal("model", "promote", "tickets", 7)


@pytest.fixture
def held_out(tmp_path):
    """700 labelled rows, of which each text comes once."""
    path = tmp_path / "held-out.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["body", "label"])
        texts = [ticket.text for ticket in tickets(World.BEFORE, 700, seed=9)]
        writer.writerows((text, ("no", "yes")[i % 2]) for i, text in enumerate(texts + texts[:50]))
    return path


@pytest.fixture
def with_speeds(opened, with_model):
    with opened.write() as session:
        get_base(session, "tiny").speeds = {"fp32": 100.0, "int8": 250.0}


def test_a_version_that_was_not_checked_is_served_in_fp32_and_says_so(ask, driftgate, with_speeds):
    found = ask("model", "precision", "tickets")
    assert (found["version"], found["served"]["precision"]) == (1, "fp32")
    assert found["precisions"]["int8"] | {"bound": 1.0} == {
        "rows": 0,
        "lost": 0,
        "gained": 0,
        "bound": 1.0,
        "allowed": False,
        "why": "int8 has not been checked on this version's own data",
        "speedup": 2.5,
    }
    assert driftgate("model", "precision", "tickets").stdout.splitlines()[-1].startswith("served in fp32: int8 has not")


def test_a_check_is_kept_told_and_noticed_by_servers(ask, driftgate, monkeypatch, with_speeds, held_out):
    before = ask("model", "show", "tickets")["revision"]
    checked = ask("model", "precision", "tickets", "--data", held_out, "--text-column", "body", "--max-loss", 0.9)
    int8 = checked["precisions"]["int8"]
    assert (checked["version"], int8["rows"], int8["allowed"]) == (1, 700, True)
    assert (checked["max_loss"], checked["served"]["precision"]) == (0.9, "int8")
    shown = ask("model", "show", "tickets")
    assert shown["revision"] == before + 1, "servers look again when the revision grows"
    kept = {name: int8[name] for name in ("rows", "lost", "gained")}
    assert shown["versions"][0]["evaluation"] == {"precision": {"int8": kept}}
    told = ask("model", "history", "tickets")["events"][-1]
    assert (told["kind"], told["version"]) == ("precision_checked", 1)
    assert told["message"].startswith(f"int8 passed: int8 lost {int8['lost']} and gained {int8['gained']} of 700 rows")
    strict = ask("model", "precision", "tickets", "--max-loss", 0.000001)
    assert (strict["served"]["precision"], strict["precisions"]["int8"]["allowed"]) == ("fp32", False)
    monkeypatch.setenv("DRIFTGATE_PRECISION_MAX_LOSS", "0.9")
    assert ask("model", "precision", "tickets")["served"]["precision"] == "int8"
    monkeypatch.setenv("DRIFTGATE_PRECISION", "fp32")
    assert driftgate("model", "precision", "tickets").stdout.splitlines()[-1] == "served in fp32: fp32 was asked for"


def test_a_check_of_a_version_that_is_not_deployed_disturbs_nobody(ask, with_speeds, held_out):
    before = ask("model", "show", "tickets")["revision"]
    ask("model", "precision", "tickets", 2, "--data", held_out, "--text-column", "body")
    assert ask("model", "show", "tickets")["revision"] == before


def test_a_check_that_cannot_be_made_is_refused_with_the_reason(driftgate, refusal, with_model, held_out, tmp_path):
    assert "no column 'text'; it has 'body', 'label'" in refusal("model", "precision", "tickets", "--data", held_out)
    other = tmp_path / "other.csv"
    other.write_text("text,label\nhello,maybe\n")
    assert "no row has a label of the version" in refusal("model", "precision", "tickets", "--data", other)
    assert "no version '7'" in refusal("model", "precision", "tickets", 7)
    assert "did you mean 'tickets'?" in refusal("model", "precision", "ticket")
