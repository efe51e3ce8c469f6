"""The frame around all commands: help, exit codes, errors, pipes and signals."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from cli.extras import EXTRAS
from cli.main import COMMANDS, app, load_command
from tests.cli.stock import add_imported_base

TOP = Path(__file__).parents[2]


def leaves(path: list[str], command: Any) -> list[list[str]]:
    inner = getattr(command, "commands", None)
    return [path] if inner is None else [leaf for name in inner for leaf in leaves([*path, name], inner[name])]


LEAVES = [leaf for name in COMMANDS for leaf in leaves([name], load_command(name))]


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=TOP, text=True, capture_output=True, check=False, timeout=120, **options
    )


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_the_help_of_every_command_holds_an_example_that_names_it(path):
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    example = " ".join(result.stdout.split()).partition("Example: ")[2]
    assert example.startswith("driftgate ")
    assert " ".join(path) in example


@pytest.mark.parametrize("name", COMMANDS)
def test_every_group_says_what_it_is_for(name):
    result = CliRunner().invoke(app, [name, "--help"])
    assert " ".join(COMMANDS[name].help.split()[:4]) in " ".join(result.stdout.split())


def test_help_imports_no_command_and_nothing_slow():
    ask = "import sys; from cli.main import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    found = python("-c", ask)
    assert "Answer predictions" in found.stdout
    assert set(found.stdout.split()).isdisjoint({"sqlalchemy", "pydantic", "numpy", "torch", "evidently"})


def test_commands_that_train_nothing_import_no_torch(home):
    ask = (
        f"import sys; from cli.main import app; app(['--home', {str(home)!r}, 'model', 'list'], standalone_mode=False)"
    )
    found = python("-c", ask + "; print(*sys.modules)")
    assert "no model yet" in found.stdout
    assert set(found.stdout.split()).isdisjoint({"torch", "transformers", "evidently", "onnxruntime", "fastapi"})


def test_an_unknown_command_is_a_usage_error_with_near_matches(driftgate):
    result = driftgate("modle", "list")
    assert result.exit_code == 2
    assert "Did you mean 'model'?" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["model", "promote", "tickets"],
        ["model", "promote", "tickets", "x"],
        ["serve", "--port", "99999"],
        ["--nonsense"],
    ],
)
def test_wrong_usage_ends_with_2(driftgate, arguments):
    result = driftgate(*arguments)
    assert result.exit_code == 2
    assert "Usage: driftgate" in result.stderr


def test_an_error_is_one_json_object_on_stderr_where_json_was_asked_for(driftgate):
    result = driftgate("model", "show", "tickets", "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert json.loads(result.stderr) == {
        "error": {"kind": "not-found", "detail": "no model 'tickets'; there is none yet"}
    }


def test_a_bad_setting_is_named(refusal, monkeypatch):
    monkeypatch.setenv("DRIFTGATE_SLOTS", "many")
    assert "DRIFTGATE_SLOTS='many'" in refusal("model", "list")


def test_a_home_below_a_regular_file_is_refused_with_advice(tmp_path):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["--home", str(tmp_path / "file" / "home"), "model", "list"])
    assert result.exit_code == 1
    assert "cannot write to DRIFTGATE_HOME" in result.stderr
    assert "name another one" in result.stderr


def test_a_database_that_cannot_be_opened_is_told(refusal, opened, home):
    os.replace(home / "driftgate.db", home / "moved.db")
    (home / "driftgate.db").mkdir()  # root may write anywhere, so the file is one that nobody can open
    assert "store sqlite:" in refusal("keys", "create", "--scope", "predict")


@pytest.mark.parametrize("command", [["model", "list"], ["keys", "create", "--scope", "admin"], ["db", "upgrade"]])
def test_a_store_of_a_newer_driftgate_is_left_alone(refusal, opened, command):
    with opened.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "schema 9999, which is newer" in refusal(*command)
    assert opened.schema_revision() == "9999"


def test_a_bug_shows_its_traceback(opened, home, tiny):
    add_imported_base(opened, home, tiny)
    with opened.write() as session:
        session.execute(text("UPDATE bases SET spec = '{}'"))
    result = python("-m", "cli.main", "--home", str(home), "base", "show", "tiny")
    assert result.returncode == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert "KeyError: 'layers'" in result.stderr


@pytest.mark.parametrize("command", [["model", "list"], ["model", "list", "--json"], ["--help"]])
def test_a_reader_that_has_gone_is_no_traceback(home, command):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = subprocess.run(
            [sys.executable, "-m", "cli.main", "--home", str(home), *command],
            cwd=TOP,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


@pytest.mark.parametrize(
    ("package", "command", "extra"),
    [
        ("torch", ["base", "import", ".", "--name", "x"], "retrain"),
        ("peft", ["train", "--base", "x", "--model", "y", "--data", "z.csv"], "retrain"),
        ("sklearn", ["worker", "--once"], "retrain"),
        ("evidently", ["drift", "check", "x"], "monitor"),
        ("apscheduler", ["monitor", "--once"], "monitor"),
        ("torch", ["up"], "retrain"),
    ],
)
def test_a_command_whose_extra_is_missing_says_how_to_get_it(home, package, command, extra):
    code = f"import sys; sys.modules[{package!r}] = None; from cli.main import main; main()"
    result = python("-c", code, "--home", str(home), *command)
    assert result.returncode == 1
    assert f"error: this command needs: pip install 'driftgate[{extra}]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_extras_are_those_of_the_package():
    declared = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, packages in EXTRAS.items():
        names = {line.partition(">")[0].partition("=")[0].partition("[")[0] for line in declared[extra]}
        assert set(packages) == names - {"driftgate"}  # an extra may stand on other extras


def test_version_is_printed():
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("driftgate ")
