"""API keys: shown once, stored hashed, limited to scopes."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.errors import BadInput, NotFound
from store.ids import new_id
from store.records import ApiKey

SCOPES = ("predict", "feedback", "review", "admin")
PREFIX = "dg_"


def create_key(session: Session, scopes: Sequence[str], *, note: str, now: datetime) -> tuple[str, ApiKey]:
    """Make a key; returns the secret, which is stored nowhere, and its record. Raises BadInput for an unknown scope."""
    for scope in scopes:
        if scope not in SCOPES:
            raise BadInput(f"unknown scope {scope!r}; scopes are {', '.join(SCOPES)}", where="scope")
    if not scopes:
        raise BadInput(f"a key needs at least one scope of {', '.join(SCOPES)}", where="scope")
    secret = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=new_id(now),
        digest=digest_key(secret),
        scopes=sorted(set(scopes)),
        note=note,
        created_at=now,
        revoked_at=None,
    )
    session.add(key)
    return secret, key


def digest_key(secret: str) -> str:
    """SHA-256 of a key. Its 256 random bits cannot be guessed, so a slow password hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def valid_keys(session: Session) -> dict[str, frozenset[str]]:
    """Scopes by digest of every key that is not revoked."""
    rows = session.execute(select(ApiKey.digest, ApiKey.scopes).where(ApiKey.revoked_at.is_(None)))
    return {digest: frozenset(scopes) for digest, scopes in rows}


def any_key_made(session: Session) -> bool:
    """Whether there was ever a key, revoked ones included."""
    return session.scalar(select(ApiKey.id).limit(1)) is not None


def list_keys(session: Session) -> list[ApiKey]:
    return list(session.scalars(select(ApiKey).order_by(ApiKey.created_at)))


def revoke_key(session: Session, key_id: str, *, now: datetime) -> None:
    key = session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(f"no key with id {key_id!r}; `driftgate keys list` shows them")
    if key.revoked_at is None:
        key.revoked_at = now
