from datetime import timedelta

import pytest

from monitor.check import REPORT_FILE, run_check
from monitor.decision import KINDS, Verdict
from monitor.policy import Action
from store.bases import approve_base, retire_base
from store.errors import BadInput, Conflict, NotFound
from store.runs import list_runs
from store.versions import NewVersion, register_version
from tests.monitor.conftest import MakeWorld, World
from tests.monitor.traffic import DRIFTED, LABELS, Source


def kinds(world: World) -> list[str]:
    return [event.kind for event in world.story()]


def test_drift_is_suspected_then_confirmed_and_a_run_is_queued_once_labels_suffice(make_world: MakeWorld) -> None:
    world = make_world(window_rows=200, retrain_min_labels=300)
    world.deploy(snapshot=True)

    world.answer(200)
    calm = run_check(world.parts, "tickets")
    assert calm.drift.verdict is Verdict.STABLE
    assert world.story() == []

    world.clock.advance(hours=1)
    world.answer(200, DRIFTED)
    first = run_check(world.parts, "tickets")
    assert first.drift.verdict is Verdict.SUSPECTED
    assert first.policy.action is Action.ALERT
    assert kinds(world) == ["drift_suspected", "accuracy_alert"]

    world.clock.advance(hours=1)
    world.answer(200, DRIFTED, audit=1.0, labelled=True)
    second = run_check(world.parts, "tickets")
    assert second.drift.verdict is Verdict.DRIFT
    assert set(second.drift.kinds) == {"covariate", "data_quality", "prior", "confidence", "unseen"}
    assert second.policy.triggers == ("drift", "accuracy")
    assert second.policy.blockers == ("labels",)
    assert second.run is None

    world.clock.advance(hours=1)
    world.answer(200, DRIFTED, audit=1.0, labelled=True)
    third = run_check(world.parts, "tickets")
    assert third.policy.action is Action.RETRAIN
    with world.parts.database.read() as session:
        (run,) = list_runs(session)
    assert (run.id, run.model, run.base, run.strategy) == (third.run, "tickets", "minilm", "lora")
    assert run.parameters == {"feedback_until": 400, "requires_improvement": True}
    assert run.cause.startswith("drift confirmed (")

    world.clock.advance(hours=1)
    world.answer(200, DRIFTED, audit=1.0, labelled=True)
    assert run_check(world.parts, "tickets").policy.blockers == ("open_run",)

    story = [(event.kind, event.message) for event in world.story()]
    assert [kind for kind, _ in story] == [
        "drift_suspected",
        "accuracy_alert",
        "drift_confirmed",
        "retrain_withheld",
        "retrain_decided",
        "run_queued",
        "retrain_withheld",
    ]
    assert "in 2 checks in a row" in story[2][1]
    assert "only 200 of 300 labelled rows are new" in story[3][1]
    assert f"run {run.id} is open" in story[6][1]
    links = [event.links.get("check") for event in world.story() if event.kind.startswith("drift")]
    assert links == [first.check, second.check], "an event leads back to its check"


def test_drift_that_costs_nothing_is_told_and_trains_nothing(make_world: MakeWorld) -> None:
    world = make_world(retrain_min_labels=50)
    world.deploy()
    began, drawn = world.clock(), list[str]()
    for _ in range(2):
        drawn += world.answer(200, DRIFTED, audit=1.0)
        world.clock.advance(hours=1)
        confirmed = run_check(world.parts, "tickets")
    wanted = confirmed.policy.labels_wanted
    assert wanted is not None
    assert (confirmed.policy.blockers, wanted.labelled, wanted.since) == (("unmeasured",), 0, began)
    assert world.checks()[-1].decision["labels_wanted"] == wanted.as_dict()

    world.judge(drawn[: wanted.planned], correct=True)
    world.clock.advance(minutes=5)
    measured = run_check(world.parts, "tickets")
    assert (measured.drift.verdict, measured.policy.blockers) == (Verdict.NOT_ENOUGH_DATA, ("no_loss",))
    assert measured.check is not None, "what the labels told is told"
    assert run_check(world.parts, "tickets").check is None, "once"
    told = [event.message for event in world.story() if event.kind == "retrain_withheld"]
    assert "please label" in told[0]
    assert "is no loss against" in told[1]
    assert len(told) == 2


def test_a_drift_begins_once_though_the_signal_that_showed_it_first_calms_down(make_world: MakeWorld) -> None:
    world = make_world(confirm_checks=1)
    world.deploy(reference_rows=1_000)
    began = world.clock()
    for source in (Source(length_mean=40.0), Source(length_mean=40.0, margin=1.5), Source(margin=1.5)):
        world.answer(300, source)
        world.clock.advance(hours=1)
        found = run_check(world.parts, "tickets")
        assert found.episode is not None
        assert found.episode.since == began, found.drift.reason
    assert found.signals["confidence"]["since"] != began.isoformat()
    world.answer(300)
    calm = run_check(world.parts, "tickets")
    assert calm.drift.verdict is Verdict.STABLE
    assert calm.policy.labels_wanted is None
    world.answer(300, Source(margin=1.5))
    again = run_check(world.parts, "tickets").episode
    assert again is not None
    assert again.since == began, "one calm check is not the end of it"


def test_right_answers_that_changed_are_told_though_the_inputs_are_as_ever(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    world.judge(world.answer(150, audit=1.0), correct=True)
    assert "concept" not in run_check(world.parts, "tickets").drift.kinds
    world.judge(world.answer(150, audit=1.0), correct=False)
    found = run_check(world.parts, "tickets")
    assert (found.drift.verdict, found.drift.kinds) == (Verdict.STABLE, ("concept",))
    assert found.policy.triggers == ("accuracy",)
    assert world.checks()[-1].kinds == ["concept"]
    told = [event.message for event in world.story() if event.kind == "concept_drift"]
    assert len(told) == 1
    assert told[0].startswith("of 300 labelled answers 50.0% are right, of which the model was ")
    run_check(world.parts, "tickets", asked=True)
    assert [event.kind for event in world.story()].count("concept_drift") == 1, "once"


def test_the_record_says_what_the_result_says(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    world.answer(150, DRIFTED, audit=0.5, labelled=True)
    result = run_check(world.parts, "tickets", asked=True)
    (check,) = world.checks()
    said = result.as_dict()
    assert (check.id, check.verdict, check.kinds, check.signals) == (
        said["check"],
        said["verdict"],
        said["kinds"],
        said["signals"],
    )
    assert (check.window_rows, check.window_from, check.window_until) == (150, 1, 150)
    assert (check.reference_rows, check.at) == (500, world.clock())
    assert set(check.accuracy) == {"validation", "estimated", "labelled"}
    assert check.accuracy["estimated"]["value"] == said["estimated_accuracy"]
    assert check.accuracy["validation"]["value"] > check.accuracy["labelled"]["value"]
    assert check.decision["action"] == said["decision"]["action"]
    assert set(check.signals) == set(KINDS)
    assert set(check.signals["length"]) == {
        *("statistic", "p_value", "threshold", "drifted"),
        *("telling", "change", "since"),
    }
    assert check.report is not None
    assert b"Drift in column" in (world.parts.artifacts.fetch(check.report) / REPORT_FILE).read_bytes()


def test_a_check_says_since_when_and_shows_in_which_inputs(make_world: MakeWorld) -> None:
    world = make_world(window_rows=300)
    world.deploy()
    world.answer(200)
    world.clock.advance(hours=2)
    began = world.clock()
    world.answer(100, DRIFTED)
    world.clock.advance(hours=2)
    first = run_check(world.parts, "tickets")
    assert first.signals["embedding"]["since"] == began.isoformat()
    assert len(first.telling) == 10
    assert set(first.telling) <= {f"p{number}" for number in range(200, 300)}
    assert world.checks()[-1].decision["telling"] == list(first.telling)

    world.answer(100, DRIFTED)
    second = run_check(world.parts, "tickets")
    assert second.drift.verdict is Verdict.DRIFT
    assert second.signals["embedding"]["since"] == began.isoformat(), "since the first of the checks that agree"
    assert all(found["since"] is None for found in second.signals.values() if not found["drifted"])


def test_a_page_is_drawn_where_somebody_will_look(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    world.answer(150)
    assert run_check(world.parts, "tickets").report is None
    world.answer(150)
    assert run_check(world.parts, "tickets", asked=True).report is not None
    world.answer(150, DRIFTED)
    assert run_check(world.parts, "tickets").report is not None


def test_windows_of_consecutive_checks_share_no_row(make_world: MakeWorld) -> None:
    world = make_world(window_rows=500)
    world.deploy()
    for rows in (120, 180, 150):
        world.answer(rows)
        run_check(world.parts, "tickets")
        world.clock.advance(hours=1)
    spans = [(check.window_from, check.window_until) for check in world.checks()]
    assert spans == [(1, 120), (121, 300), (301, 450)]


def test_too_few_rows_are_recorded_only_when_a_person_asks_and_stay_in_the_next_window(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    world.answer(60)
    quiet = run_check(world.parts, "tickets")
    assert (quiet.check, quiet.drift.verdict, world.checks()) == (None, Verdict.NOT_ENOUGH_DATA, [])
    asked = run_check(world.parts, "tickets", asked=True)
    assert [check.id for check in world.checks()] == [asked.check]
    assert asked.drift.reason == "60 of 100 predictions since the last check"
    assert asked.report is None
    world.answer(60)
    assert run_check(world.parts, "tickets").window_rows == 120


def test_a_version_without_a_reference_cannot_be_judged(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy(reference_rows=None)
    world.answer(200)
    result = run_check(world.parts, "tickets", asked=True)
    assert result.drift.verdict is Verdict.NOT_ENOUGH_DATA
    assert result.drift.reason == "no reference: version 1 was registered without validation rows"
    assert result.as_dict()["estimated_accuracy"] is None


def test_a_tiny_reference_cannot_judge_either(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy(reference_rows=40)
    world.answer(200)
    reason = run_check(world.parts, "tickets", asked=True).drift.reason
    assert reason == "the reference has 40 rows, 100 are needed"


def test_labels_that_arrive_when_traffic_has_gone_still_lead_to_a_run(make_world: MakeWorld) -> None:
    world = make_world(retrain_min_labels=100)
    world.deploy()
    for _ in range(2):
        world.answer(30, DRIFTED, audit=1.0, labelled=True)
        world.answer(90, DRIFTED)
        world.clock.advance(hours=1)
        confirmed = run_check(world.parts, "tickets")
    assert confirmed.policy.blockers == ("labels",)
    world.answer(39, DRIFTED, labelled=True)
    assert run_check(world.parts, "tickets").policy.blockers == ("labels",)
    world.answer(1, version=2, labelled=True)
    result = run_check(world.parts, "tickets")
    assert (result.drift.verdict, result.policy.action) == (Verdict.NOT_ENOUGH_DATA, Action.RETRAIN)
    assert result.run is not None
    assert len(world.checks()) == 3, "what acts is recorded"


def test_a_month_without_training_asks_for_a_run(make_world: MakeWorld) -> None:
    world = make_world(retrain_min_labels=50)
    world.deploy()
    world.answer(50, audit=1.0, labelled=True)
    world.clock.advance(days=31)
    result = run_check(world.parts, "tickets")
    assert result.policy.triggers == ("date",)
    assert result.run is not None


def test_what_was_tuned_from_a_base_is_retrained_on_that_base_and_not_once_that_is_retired(
    make_world: MakeWorld,
) -> None:
    world = make_world(retrain_min_labels=50)
    world.deploy(own_graph=True)
    world.answer(50, audit=1.0, labelled=True)
    world.clock.advance(days=31)
    with world.parts.database.write() as session:
        retire_base(session, "minilm", why="its licence changed", by="test", now=world.clock())
    assert run_check(world.parts, "tickets").policy.blockers == ("base_retired",)
    with world.parts.database.write() as session:
        approve_base(session, "minilm", why="it changed back", by="test", now=world.clock())
    assert run_check(world.parts, "tickets").run is not None
    with world.parts.database.read() as session:
        (run,) = list_runs(session)
    assert run.base == "minilm"


def test_only_labels_after_the_snapshot_of_the_version_are_new(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy(snapshot=True)
    world.answer(130, audit=1.0, labelled=True)
    result = run_check(world.parts, "tickets")
    assert result.accuracy["labelled"]["rows"] == 130
    assert result.accuracy["labelled"]["low"] < result.accuracy["validation"]["value"]


def test_what_cannot_be_checked_says_why(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    with pytest.raises(NotFound, match="no model 'ticket'; did you mean 'tickets'"):
        run_check(world.parts, "ticket")
    with pytest.raises(BadInput, match="a window of 50 rows is below DRIFTGATE_WINDOW_MIN_ROWS=100"):
        run_check(world.parts, "tickets", window_rows=50)
    with world.parts.database.write() as session:
        new = NewVersion("mails", "minilm", "adapters/mails", 8, LABELS)
        register_version(session, new, by="test", now=world.clock())
    with pytest.raises(Conflict, match="no version in production"):
        run_check(world.parts, "mails")


def test_a_person_may_ask_for_another_window(make_world: MakeWorld) -> None:
    world = make_world()
    world.deploy()
    world.answer(400)
    result = run_check(world.parts, "tickets", asked=True, window_rows=150)
    assert result.window_rows == 150
    assert result.at - world.clock() == timedelta(0)
