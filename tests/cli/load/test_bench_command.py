"""`driftgate bench` against a server that speaks just enough of /v1."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.cli.load.tiny_server import Reply, running


async def predict(number: int, body: bytes) -> Reply:
    if not body:
        return Reply(b'{"models": [{"model": "tickets", "production": 1}]}')
    asked = json.loads(body)
    assert asked["tags"] == {"source": "driftgate-bench"}
    return Reply(json.dumps({"predictions": [{"label": "a"}] * len(asked["inputs"])}).encode())


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", *map(str, arguments)], prog_name="driftgate", catch_exceptions=False)


def ask(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_each_load_is_a_row_with_its_latencies(tmp_path: Path) -> None:
    picture = tmp_path / "latency.svg"
    with running(predict) as server:
        url = f"http://{server.address}"
        found = ask("--url", url, "--clients", "1,3", "--seconds", 0.2, "--picture", picture)
    assert (found["model"], found["url"]) == ("tickets", url)
    assert [level["clients"] for level in found["levels"]] == [1, 3]
    for level in found["levels"]:
        assert level["errors"] == 0
        assert level["requests_per_s"] > 0
        assert 0 < level["p50_s"] <= level["p95_s"] <= level["p99_s"]
    assert "tickets at 127.0.0.1" in picture.read_text()


def test_people_get_a_table_and_a_chart(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("only this\n")
    with running(predict) as server:
        told = run(
            "tickets",
            "--url",
            f"http://{server.address}",
            "--clients",
            2,
            "--seconds",
            0.1,
            "--texts",
            tmp_path / "t.txt",
        )
    assert told.exit_code == 0
    assert told.stdout.splitlines()[0].split() == [
        "clients",
        "requests/s",
        "p50",
        "ms",
        "p95",
        "ms",
        "p99",
        "ms",
        "errors",
    ]
    assert "log scale" in told.stdout
    assert {json.loads(body)["inputs"][0] for body in server.bodies} == {"only this"}


def test_errors_are_counted_and_make_the_command_fail() -> None:
    async def full(number: int, body: bytes) -> Reply:
        return Reply(b"{}", status=200 if number < 2 else 429)

    with running(full) as server:
        told = run("tickets", "--url", f"http://{server.address}", "--clients", 1, "--seconds", 0.1, "--json")
    assert told.exit_code == 1
    assert json.loads(told.stdout)["levels"][0]["errors"] > 0


@pytest.mark.parametrize("clients", ["", "0", "1,x", "5000", "-1"])
def test_bad_numbers_of_clients_are_wrong_usage(clients: str) -> None:
    assert run("tickets", "--clients", clients).exit_code == 2


def test_another_machine_is_refused() -> None:
    told = run("tickets", "--url", "http://192.0.2.1:8080")
    assert told.exit_code == 1
    assert "--remote" in told.stderr
