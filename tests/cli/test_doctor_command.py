import json

from sqlalchemy import text

from store.migrations import SCHEMA_HEAD


def states(found):
    return {finding["name"]: finding["state"] for finding in found["findings"]}


def test_a_sound_machine_is_found_sound_and_left_as_it_was(ask, home):
    found = ask("doctor")
    assert found["ok"] is True
    assert set(states(found).values()) <= {"ok", "absent"}
    assert not home.exists()


def test_a_store_in_use_is_found_with_its_schema(ask, driftgate, with_model, home):
    before = sorted(home.rglob("*"))
    details = {finding["name"]: finding["detail"] for finding in ask("doctor")["findings"]}
    assert details["store"].endswith(f"is at schema {SCHEMA_HEAD}")
    assert details["artifacts"].endswith("can be written to")
    assert [path for path in sorted(home.rglob("*")) if "driftgate.db" not in path.name] == [
        path for path in before if "driftgate.db" not in path.name
    ]
    assert "ONNX Runtime" in driftgate("doctor").stdout


def test_every_trouble_is_told_and_ends_with_1(driftgate, opened, home):
    with opened.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    (home / "artifacts").write_text("a file where the folder should be")
    result = driftgate("doctor", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["ok"] is False
    assert {name for name, state in states(found).items() if state == "broken"} == {"store", "artifacts"}


def test_a_home_that_cannot_be_made_is_broken(driftgate, home):
    home.write_text("a file where the folder should be")
    result = driftgate("doctor", "--json")
    assert result.exit_code == 1
    assert states(json.loads(result.stdout))["store"] == "broken"
