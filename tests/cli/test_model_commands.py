import getpass

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
