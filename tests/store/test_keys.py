import pytest

from store.errors import BadInput, NotFound
from store.keys import PREFIX, any_key_made, create_key, digest_key, list_keys, revoke_key, valid_keys
from tests.store.conftest import NOW


def test_a_secret_is_stored_only_as_its_digest(database):
    with database.write() as session:
        secret, key = create_key(session, ["predict", "predict", "feedback"], note="help desk", now=NOW)
    with database.read() as session:
        assert valid_keys(session) == {digest_key(secret): frozenset({"predict", "feedback"})}
        (stored,) = list_keys(session)
    assert secret.startswith(PREFIX)
    assert stored.id == key.id
    assert secret not in str(vars(stored))


def test_two_keys_are_never_alike(database):
    with database.write() as session:
        secrets = {create_key(session, ["predict"], note="", now=NOW)[0] for _ in range(20)}
    assert len(secrets) == 20


def test_a_revoked_key_is_not_valid_but_there_was_one(database):
    with database.read() as session:
        assert not any_key_made(session)
    with database.write() as session:
        _, key = create_key(session, ["admin"], note="", now=NOW)
    with database.write() as session:
        revoke_key(session, key.id, now=NOW)
    with database.write() as session:
        revoke_key(session, key.id, now=NOW)  # once more is no error
    with database.read() as session:
        assert valid_keys(session) == {}
        assert any_key_made(session)
        assert list_keys(session)[0].revoked_at == NOW


@pytest.mark.parametrize(("scopes", "complaint"), [(["root"], "unknown scope 'root'"), ([], "at least one scope")])
def test_scopes_must_be_known(database, scopes, complaint):
    with pytest.raises(BadInput, match=complaint), database.write() as session:
        create_key(session, scopes, note="", now=NOW)
    with database.read() as session:
        assert list_keys(session) == []


def test_revoking_what_is_no_key_says_so(database):
    with pytest.raises(NotFound, match="no key with id 'nope'"), database.write() as session:
        revoke_key(session, "nope", now=NOW)
