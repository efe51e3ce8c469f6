"""The command line as a person has it: a home of its own, and commands that are really run."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from cli.main import app
from store.database import Database, open_database
from store.settings import load_settings
from tests.cli.stock import add_imported_base
from tests.conftest import ImportedBase, MakeAdapter

Driftgate = Callable[..., Result]


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command sends logs to its own stderr, which ends with it."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def driftgate(home: Path) -> Driftgate:
    """Runs a command on `home`; what is no error of ours is raised."""

    def run(*arguments: object) -> Result:
        line = ["--home", str(home), *map(str, arguments)]
        return CliRunner().invoke(app, line, prog_name="driftgate", catch_exceptions=False)

    return run


@pytest.fixture
def ask(driftgate: Driftgate) -> Callable[..., dict[str, Any]]:
    """Runs a command with --json, which must succeed and print one object and nothing else."""

    def run(*arguments: object) -> dict[str, Any]:
        result = driftgate(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        found = json.loads(result.stdout)
        assert isinstance(found, dict)
        return found

    return run


@pytest.fixture
def refusal(driftgate: Driftgate) -> Callable[..., str]:
    """Runs a command that must be refused with exit code 1, one line on stderr and nothing on stdout."""

    def run(*arguments: object) -> str:
        result = driftgate(*arguments)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        return result.stderr

    return run


@pytest.fixture
def opened(home: Path) -> Iterator[Database]:
    database = open_database(load_settings(home=home))
    yield database
    database.close()


@pytest.fixture
def with_base(opened: Database, home: Path, tiny: ImportedBase) -> ImportedBase:
    """`home` knows the base `tiny`."""
    add_imported_base(opened, home, tiny)
    return tiny


@pytest.fixture
def with_model(with_base: ImportedBase, make_adapter: MakeAdapter, ask: Callable[..., dict[str, Any]]) -> ImportedBase:
    """`home` knows the model `tickets`: version 1 in production, version 2 ready."""
    for seed, promote in ((1, ["--promote"]), (2, [])):
        folder = make_adapter(with_base, seed=seed)
        ask("adapter", "import", folder, "--base", "tiny", "--model", "tickets", *promote)
    return with_base
