import pytest

from store.artifacts import open_artifacts
from store.database import Database, open_database
from store.errors import BadInput, StoreUnavailable
from store.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "99999"),
        ("SAMPLE_RATE", "1.5"),
        ("SAMPLE_RATE", "nan"),
        ("SLOTS", "1"),
        ("LOG_STYLE", "pretty"),
        ("PROVIDER", "abacus"),
        ("WINDOW_ROWS", ""),
        ("REPORTS_KEEP_DAYS", "0"),
        ("REPORTS_KEEP_DAYS", "36501"),
        ("REPORTS_KEEP_DAYS", "1.5"),
        ("DATABASE_URL", "not a url"),
        ("DATABASE_URL", "postgresql://ann:s3cret@host:port/db"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(monkeypatch, variable, value):
    monkeypatch.setenv(f"DRIFTGATE_{variable}", value)
    with pytest.raises(BadInput, match=f"DRIFTGATE_{variable}") as refused:
        load_settings()
    assert "s3cret" not in str(refused.value)


def test_all_bad_values_are_named_at_once(monkeypatch):
    monkeypatch.setenv("DRIFTGATE_PORT", "x")
    monkeypatch.setenv("DRIFTGATE_SLOTS", "y")
    with pytest.raises(BadInput, match=r"DRIFTGATE_PORT='x'.*DRIFTGATE_SLOTS='y'"):
        load_settings()


def test_what_is_said_wins_over_the_environment_and_none_says_nothing(monkeypatch):
    monkeypatch.setenv("DRIFTGATE_PORT", "1234")
    assert load_settings(port=5678).port == 5678
    assert load_settings(port=None).port == 1234


def test_no_password_shows_in_settings_or_errors(tmp_path):
    settings = load_settings(home=tmp_path, database_url="postgresql://ann:s3cret@127.0.0.1:9/none")
    assert "s3cret" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert "s3cret" in settings.database, "the driver needs it"
    assert settings.database.startswith("postgresql+psycopg://")
    with pytest.raises(StoreUnavailable, match="check that it is reachable") as down:
        open_database(settings)
    assert "s3cret" not in str(down.value)
    with pytest.raises(BadInput, match="no driver for database") as strange:
        Database("oracle+none://ann:s3cret@host/db")
    assert "s3cret" not in str(strange.value)


def test_no_password_shows_when_artifacts_cannot_be_opened():
    with pytest.raises(BadInput, match="DRIFTGATE_ARTIFACTS_URL") as refused:
        open_artifacts(load_settings(artifacts_url="nosuch://ann:s3cret@host/bucket"))
    assert "s3cret" not in str(refused.value)


def test_every_setting_says_what_it_is():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
