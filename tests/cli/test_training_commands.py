"""`train`, `run` and `drift` on one real training of the two-layer base."""

import json
import random
import shutil
from pathlib import Path

import pytest

from store.checks import add_check, last_checks
from store.clock import utc_now
from store.database import open_database
from store.events import history
from store.runs import get_run, run_metrics
from store.settings import load_settings
from tests.cli.stock import add_answers, add_imported_base
from tests.store.rows import check

WORDS = {
    "shipping": ["parcel", "courier", "delivery", "truck", "driver", "address", "late", "door", "street", "box"],
    "refund": ["money", "charged", "card", "bank", "paid", "twice", "price", "invoice", "account", "cost"],
}
TRAIN_KEYS = {
    "run",
    "model",
    "version",
    "strategy",
    "trainable_parameters",
    "total_parameters",
    "accuracy",
    "macro_f1",
    "seconds",
}
CHECK_KEYS = {
    "check",
    "model",
    "version",
    "verdict",
    "kinds",
    "signals",
    "window_rows",
    "reference_rows",
    "estimated_accuracy",
}


def sentences(label, count, seed):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS[label], k=rng.randint(3, 9))) for _ in range(count)]


def texts_of(data):
    return [json.loads(line)["text"] for line in data.read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "tickets.jsonl"
    rows = [(text, label) for label in WORDS for text in sentences(label, 300, seed=3)]
    path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    return path


@pytest.fixture(scope="module")
def trained_home(tmp_path_factory, tiny, data):
    """A home in which `driftgate train --promote` has run; tests look at it and do not change it."""
    from typer.testing import CliRunner

    from cli.main import app

    home = tmp_path_factory.mktemp("trained") / "home"
    database = open_database(load_settings(home=home))
    add_imported_base(database, home, tiny)
    database.close()
    command = ["train", "--base", "tiny", "--model", "tickets", "--data", str(data), "--epochs", "6", "--promote"]
    result = CliRunner().invoke(app, ["--home", str(home), *command, "--json"], catch_exceptions=False)
    return home, result


@pytest.fixture
def home(trained_home, tmp_path):
    """A copy of it, to do with as a test likes."""
    return shutil.copytree(trained_home[0], tmp_path / "home")


def test_train_prints_what_outsiders_count_on_and_tells_its_stages(trained_home, ask):
    result = trained_home[1]
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert set(found) >= TRAIN_KEYS
    assert (found["model"], found["version"], found["strategy"]) == ("tickets", 1, "lora")
    assert 0 < found["trainable_parameters"] < found["total_parameters"]
    assert found["accuracy"] > 0.85, "14 classes; near copies of a text never lie in train and test at once"
    for stage in ("snapshot", "training", "evaluation", "gate", "100% done"):
        assert stage in result.stderr
    shown = ask("model", "show", "tickets")
    assert shown["production"] == 1
    checked = shown["versions"][0]["evaluation"]["precision"]
    assert all(check["rows"] > 150 for check in checked.values()), "every validation and test row checks"


def test_runs_are_listed_and_shown_with_their_curves(trained_home, ask, driftgate, refusal):
    (run,) = ask("run", "list", "tickets")["runs"]
    assert run["run"] == json.loads(trained_home[1].stdout)["run"]
    assert ask("run", "show", run["run"])["metrics"]
    shown = driftgate("run", "show", run["run"]).stdout
    assert "evaluation: accuracy" in shown
    for name in ("packages.torch", "threads.torch", "base.weights_sha256", "snapshot.rows_sha256", "kernels"):
        assert f"environment: {name} " in shown
    assert "step" in shown
    assert "no run 'abc'" in refusal("run", "show", "abc")
    assert "did you mean 'tickets'?" in refusal("run", "list", "ticket")


def test_runs_are_compared_side_by_side(ask, driftgate, data):
    options = ["--base", "tiny", "--model", "tickets", "--data", data, "--epochs", 1, "--seed", 7]
    again = ask("train", *options)
    first = ask("run", "list", "tickets")["runs"][0]["run"]
    compared = ask("run", "compare", first, again["run"])
    assert [run["run"] for run in compared["runs"]] == [first, again["run"]]
    assert {"parameter: seed", "parameter: epochs"} <= set(compared["differs"])
    assert "parameter: rank" not in compared["differs"]
    lines = driftgate("run", "compare", first, again["run"]).stdout.splitlines()
    assert any(line.split() == ["*", "parameter:", "seed", "0", "7"] for line in lines)
    stars = [line.startswith("*") for line in lines[2:]]
    assert stars == sorted(stars, reverse=True), "what differs comes first"
    assert {"environment: start.version", "environment: start.artifact"} <= set(compared["differs"])
    assert not any(name.startswith("environment: packages") for name in compared["differs"])


def test_a_run_is_trained_again_from_its_record_to_the_same_bytes_and_nothing_is_deployed(
    trained_home, ask, home, opened
):
    run = json.loads(trained_home[1].stdout)["run"]
    before = ask("model", "show", "tickets")
    found = ask("run", "reproduce", run)
    assert found["reproduced"] is found["identical"] is found["same_snapshot"] is True, found
    assert (found["difference_points"], found["largest_difference"]) == (0.0, 0.0)
    assert [epoch["loss_now"] for epoch in found["epochs"]] == [epoch["loss_then"] for epoch in found["epochs"]]
    assert found["environment"] == {}
    assert ask("model", "show", "tickets") == before
    with opened.read() as session:
        (line,) = history(session, "tickets", kinds=["run_reproduced"])
    assert line.message.startswith("the same came of it: validation accuracy ")
    assert line.links == {"run": run}
    assert not list((home / "work").iterdir())


def test_a_run_whose_accuracy_comes_out_otherwise_is_not_reproduced(trained_home, driftgate, opened):
    run = json.loads(trained_home[1].stdout)["run"]
    with opened.write() as session:
        for metric in run_metrics(session, run):
            if metric.name == "eval_accuracy":
                metric.value -= 0.0031
    result = driftgate("run", "reproduce", run)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"error: run {run} was not reproduced: validation accuracy ")


def test_a_run_is_not_trained_again_on_another_base_or_from_half_a_record(trained_home, refusal, opened):
    run = json.loads(trained_home[1].stdout)["run"]
    assert "no run 'abc'" in refusal("run", "reproduce", "abc")
    recorded = edit_environment(
        opened, run, lambda told: {**told, "base": {**told["base"], "weights_sha256": "0" * 64}}
    )
    assert "base 'tiny' has other weights now" in refusal("run", "reproduce", run)
    edit_environment(opened, run, lambda _: {name: value for name, value in recorded.items() if name != "start"})
    assert "its record does not say what it started from" in refusal("run", "reproduce", run)


def edit_environment(database, run, change):
    with database.write() as session:
        row = get_run(session, run)
        before = row.environment
        row.environment = change(before)
    return before


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--base", "tinny"], "did you mean 'tiny'?"),
        (["--base", "tiny", "--text-column", "body"], "no column 'body'; it has 'text', 'label'"),
        (["--base", "tiny", "--set", "seed=7"], "seed is an option of its own: --seed"),
        (["--base", "tiny", "--set", "gradient_clip=abc"], "gradient_clip is 'abc'; it must lie between"),
    ],
)
def test_what_cannot_be_trained_is_refused(driftgate, data, options, complaint):
    result = driftgate("train", *options, "--model", "tickets", "--data", data)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert complaint in result.stderr.splitlines()[-1]


def test_a_damaged_base_is_not_trained_on(driftgate, home, data):
    graph = next((home / "artifacts" / "bases").glob("*/graph.onnx"))
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    result = driftgate("train", "--base", "tiny", "--model", "tickets", "--data", data)
    assert result.exit_code == 1
    assert "file 'graph.onnx' has checksum" in result.stderr.splitlines()[-1]
    assert len(json.loads(driftgate("run", "list", "--json").stdout)["runs"]) == 1, "nothing was queued"


def test_drift_is_checked_listed_and_shown(driftgate, ask, refusal, opened, home, monkeypatch):
    monkeypatch.setenv("DRIFTGATE_WINDOW_MIN_ROWS", "20")
    assert ask("drift", "check", "tickets")["verdict"] == "not_enough_data"
    add_answers(opened, "tickets", ["a word that nobody knew"] * 60, label="refund")
    found = ask("drift", "check", "tickets", "--window", 50)
    assert set(found) >= CHECK_KEYS
    assert (found["verdict"], found["window_rows"]) == ("suspected", 50)
    assert 0 <= found["estimated_accuracy"] <= 1
    assert found["expected_days_between_findings"] == pytest.approx(100 / 24)  # 1 % of checks, one an hour
    assert any(signal["drifted"] for signal in found["signals"].values())
    listed = ask("drift", "list", "tickets")["checks"]
    assert [check["verdict"] for check in listed] == ["not_enough_data", "suspected"]
    assert found["check"] in driftgate("drift", "list", "tickets").stdout
    shown = ask("drift", "show", found["check"])
    assert set(shown) >= CHECK_KEYS
    assert "<html" in Path(shown["page"]).read_text()
    assert shown["page"] in driftgate("drift", "show", found["check"]).stdout
    assert "below DRIFTGATE_WINDOW_MIN_ROWS=20" in refusal("drift", "check", "tickets", "--window", 5)

    report = home / "artifacts" / shown["report"] / "report.html"
    report.write_text("another page")
    assert "file 'report.html' has checksum" in refusal("drift", "show", found["check"])


def test_a_check_without_a_page_says_why(driftgate, ask, opened):
    row = check("tickets", at=utc_now())
    with opened.write() as session:
        add_check(session, row)
    assert ask("drift", "show", row.id)["page"] is None
    said = driftgate("drift", "show", row.id).stdout
    assert "none: nothing differed and nobody had asked" in said
    assert "driftgate drift check tickets" in said


def test_drift_of_what_is_not_there(refusal, with_model):
    assert "did you mean 'tickets'?" in refusal("drift", "check", "ticket")
    assert "did you mean 'tickets'?" in refusal("drift", "list", "ticket")
    assert "no check 'abc'" in refusal("drift", "show", "abc")


def test_a_model_without_production_cannot_be_checked(ask, refusal, with_base, make_adapter):
    ask("adapter", "import", make_adapter(with_base), "--base", "tiny", "--model", "fresh")
    assert "has no version in production" in refusal("drift", "check", "fresh")


def test_the_monitor_checks_every_deployed_model_once(ask, driftgate, opened, monkeypatch):
    monkeypatch.setenv("DRIFTGATE_WINDOW_MIN_ROWS", "20")
    add_answers(opened, "tickets", ["a word that nobody knew"] * 60, label="refund")
    (found,) = ask("monitor", "--once")["checks"]
    assert (found["model"], found["verdict"]) == ("tickets", "suspected")
    assert "tickets" in driftgate("monitor", "--once").stdout


def test_a_queued_run_is_worked_off(ask, driftgate, opened, data):
    from store.runs import NewRun, enqueue_run

    with opened.write() as session:
        new = NewRun(model="tickets", base="tiny", cause="to see it fail", strategy="lora", parameters={"nonsense": 1})
        run = enqueue_run(session, new, by="test", now=utc_now()).id
    result = driftgate("worker", "--once")
    assert result.exit_code == 0
    assert ask("run", "show", run)["status"] == "failed"


def test_a_queued_run_on_a_base_whose_licence_is_denied_by_now_fails_and_says_so(ask, driftgate, opened, monkeypatch):
    from store.runs import NewRun, enqueue_run

    with opened.write() as session:
        run = enqueue_run(session, NewRun("tickets", "tiny", "drift", "lora", {}), by="test", now=utc_now()).id
    monkeypatch.setenv("DRIFTGATE_LICENSES_DENIED", "none stated")
    assert driftgate("worker", "--once").exit_code == 0
    found = ask("run", "show", run)
    assert (found["status"], found["version"]) == ("failed", None)
    assert found["reason"].startswith("base 'tiny' cannot be used here: its licence, 'none stated', is one that")


def test_a_base_that_is_retired_while_it_is_trained_on_leaves_a_version_that_waits(ask, driftgate, opened):
    from store.runs import NewRun, enqueue_run

    snapshot = ask("model", "show", "tickets")["versions"][0]["snapshot"]
    parameters = {"snapshot": snapshot, "promote": True, "epochs": 6}
    with opened.write() as session:
        run = enqueue_run(session, NewRun("orders", "tiny", "test", "lora", parameters), by="test", now=utc_now()).id
    ask("base", "retire", "tiny", "--why", "replaced")
    assert driftgate("worker", "--once").exit_code == 0
    found = ask("run", "show", run)
    assert (found["status"], found["version"]) == ("succeeded", 1)
    assert found["reason"].startswith(
        "passed the gate but was not promoted: version 1 of 'orders' stands on base 'tiny', which is retired"
    )
    assert ask("model", "show", "orders")["production"] is None


BACKTEST_KEYS = {"windows", "window_rows", "alarms", "rate", "interval", "mean_delay_windows"}


@pytest.fixture
def texts(tmp_path):
    """Writes texts to a file, one a line."""

    def write(name, lines):
        path = tmp_path / f"{name}.txt"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


@pytest.fixture
def usual(texts, data):
    """Three hundred texts like those of the training, and none of them."""
    known = set(texts_of(data))
    fresh = [[t for t in sentences(label, 300, seed=4) if t not in known][:150] for label in WORDS]
    return texts("usual", fresh[0] + fresh[1])


def test_a_backtest_tells_false_alarms_power_and_delay(ask, driftgate, opened, texts, usual, tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTGATE_WINDOW_MIN_ROWS", "20")
    asked = ("drift", "backtest", "tickets", "--file", usual, "--windows", 12, "--window-size", 50)
    calm = ask(*asked)
    assert set(calm) >= BACKTEST_KEYS
    assert (calm["windows"], calm["window_rows"], len(calm["verdicts"])) == (12, 50, 12)
    assert calm["rate"] < 0.5
    assert calm == ask(*asked), "the same seed draws the same windows"

    strange = texts("strange", [f"words that nobody knew {i} " * 4 for i in range(60)])
    picture = tmp_path / "backtest.svg"
    found = ask(*asked, "--mix", strange, "--share", 0.6, "--picture", picture)
    assert (found["alarms"], found["rate"], found["mean_delay_windows"]) == (12, 1.0, 2.0)
    assert all(verdict["drifted"] for verdict in found["verdicts"])
    assert picture.read_text().startswith("<svg")
    said = driftgate(*asked, "--mix", strange, "--share", 0.6).stdout
    assert "12, which is 100.0%" in said
    assert "2.0 windows" in said
    with opened.read() as session:
        assert last_checks(session, "tickets") == [], "a backtest records nothing"


def test_a_backtest_in_order_tells_the_story_window_by_window(ask, driftgate, texts, usual, monkeypatch):
    monkeypatch.setenv("DRIFTGATE_WINDOW_MIN_ROWS", "20")
    lines = usual.read_text().splitlines()
    random.Random(1).shuffle(lines)
    story = texts("story", [*lines[:100], *[f"a word that nobody knew {i}" for i in range(110)]])
    asked = ("drift", "backtest", "tickets", "--file", story, "--in-order", "--window-size", 50)
    found = ask(*asked)
    assert [verdict["verdict"] for verdict in found["verdicts"]] == ["stable", "stable", "suspected", "drift"]
    assert found["mean_delay_windows"] == 4.0
    shown = driftgate(*asked).stdout.splitlines()
    assert [line.split()[:2] for line in shown[-4:]] == [
        ["1", "stable"],
        ["2", "stable"],
        ["3", "suspected"],
        ["4", "drift"],
    ]


def test_a_backtest_leaves_out_what_the_version_knows_and_refuses_what_it_cannot_do(
    ask, driftgate, refusal, data, usual, texts, monkeypatch
):
    monkeypatch.setenv("DRIFTGATE_WINDOW_MIN_ROWS", "20")
    both = texts("both", [*usual.read_text().splitlines(), *texts_of(data)[:40]])
    found = driftgate("drift", "backtest", "tickets", "--file", both, "--windows", 2, "--window-size", 50)
    assert found.exit_code == 0
    assert "40 texts trained the version or are its reference: left out" in found.stderr
    ordinary = ("drift", "backtest", "tickets", "--file", usual)
    assert "300 rows are too few for windows that take 400" in refusal(*ordinary, "--window-size", 400)
    assert "below DRIFTGATE_WINDOW_MIN_ROWS=20" in refusal(*ordinary, "--window-size", 5)
    monkeypatch.setenv("DRIFTGATE_WINDOW_MIN_ROWS", "400")
    before_any_scoring = refusal(*ordinary)
    assert "rows, 400 are needed" in before_any_scoring
    assert "did you mean 'tickets'?" in refusal("drift", "backtest", "ticket", "--file", usual)
    assert "cannot read" in refusal("drift", "backtest", "tickets", "--file", "nowhere.txt")
    assert driftgate(*ordinary, "--mix", usual).exit_code == 2
    assert driftgate(*ordinary, "--in-order", "--mix", usual, "--share", 0.1).exit_code == 2
    assert driftgate(*ordinary, "--in-order", "--windows", 5).exit_code == 2


def test_a_candidate_trains_but_not_for_production(tmp_path, tiny, data):
    from typer.testing import CliRunner

    from cli.main import app

    home = tmp_path / "other"
    database = open_database(load_settings(home=home))
    add_imported_base(database, home, tiny, state="candidate")
    database.close()

    def train(*options, **environment):
        command = ["train", "--base", "tiny", "--model", "tickets", "--data", str(data), "--epochs", "1", *options]
        return CliRunner().invoke(app, ["--home", str(home), *command], env=environment, catch_exceptions=False)

    refused = train("--promote")
    assert refused.exit_code == 1
    assert refused.stderr.splitlines()[-1] == (
        "error: base 'tiny' is a candidate, and only approved bases train for production; "
        "say driftgate base approve tiny --why TEXT, or train without promoting"
    )
    denied = train(DRIFTGATE_LICENSES_DENIED="none stated")
    assert "error: base 'tiny' cannot be used here: its licence, 'none stated', is one that" in denied.stderr
    trained = train()
    assert trained.exit_code == 0, trained.stderr
    model = ["--home", str(home), "model", "promote", "tickets", "1"]
    promoted = CliRunner().invoke(app, model, catch_exceptions=False)
    assert "version 1 of 'tickets' stands on base 'tiny', which is a candidate" in promoted.stderr
