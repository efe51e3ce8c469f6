from sqlalchemy import text

from store.migrations import SCHEMA_HEAD


def test_check_makes_no_store_and_upgrade_does(ask, refusal, home):
    assert "there is no store" in refusal("db", "check")
    assert not home.exists()
    upgraded = ask("db", "upgrade")
    assert (upgraded["before"], upgraded["schema"]) == (None, SCHEMA_HEAD)
    assert ask("db", "check")["schema"] == SCHEMA_HEAD
    assert ask("db", "upgrade")["before"] == SCHEMA_HEAD


def test_a_newer_store_fails_the_check(refusal, opened):
    with opened.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "newer than this driftgate knows" in refusal("db", "check")


def test_an_empty_database_is_behind_and_says_what_to_do(refusal, home, opened):
    with opened.write() as session:
        session.execute(text("DROP TABLE alembic_version"))
    assert "run: driftgate db upgrade" in refusal("db", "check")


def test_a_password_is_never_shown(refusal, monkeypatch):
    monkeypatch.setenv("DRIFTGATE_DATABASE_URL", "postgresql://ann:secret@127.0.0.1:1/x")
    for command in ("check", "upgrade"):
        said = refusal("db", command)
        assert "ann:***@127.0.0.1" in said
        assert "secret" not in said
