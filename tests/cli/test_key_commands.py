import pytest

from store.keys import digest_key, valid_keys


def test_a_key_is_shown_once_and_stored_as_its_digest(ask, driftgate, opened):
    made = ask("keys", "create", "--scope", "predict, feedback", "--note", "help desk")
    assert made["scopes"] == ["feedback", "predict"]
    with opened.read() as session:
        assert valid_keys(session) == {digest_key(made["key"]): frozenset({"predict", "feedback"})}
    listed = driftgate("keys", "list")
    assert made["id"] in listed.stdout
    assert made["key"] not in listed.output
    assert made["key"] not in str(ask("keys", "list"))


def test_without_json_only_the_key_stands_on_stdout(driftgate):
    result = driftgate("keys", "create", "--scope", "admin")
    assert result.stdout.startswith("dg_")
    assert result.stdout.count("\n") == 1
    assert "not shown again" in result.stderr


def test_a_revoked_key_opens_nothing_and_stays_listed(ask, opened, refusal):
    made = ask("keys", "create", "--scope", "predict")
    assert ask("keys", "revoke", made["id"])["revoked"] is True
    with opened.read() as session:
        assert valid_keys(session) == {}
    assert ask("keys", "list")["keys"][0]["revoked_at"] is not None
    assert "no key with id" in refusal("keys", "revoke", made["key"])


@pytest.mark.parametrize(
    ("scope", "complaint"), [("predict,root", "unknown scope 'root'"), (",", "at least one scope")]
)
def test_scopes_must_exist(refusal, ask, scope, complaint):
    assert complaint in refusal("keys", "create", "--scope", scope)
    assert ask("keys", "list")["keys"] == []
