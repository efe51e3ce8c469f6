"""API keys at the door: hashed, scoped, refreshed from the store."""

import base64
import binascii
from collections.abc import Mapping

from fastapi import Request
from fastapi.params import Depends as Dependency

from server.problems import Forbidden, Unauthorized
from store.database import Database
from store.keys import digest_key, valid_keys


class KeyRing:
    """The keys in force. While there is none, loopback callers need none."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._scopes: Mapping[str, frozenset[str]] = {}

    def refresh(self) -> None:
        """Read the keys anew. Raises StoreUnavailable, and the old ones stay in force."""
        with self._database.read() as session:
            self._scopes = valid_keys(session)

    @property
    def empty(self) -> bool:
        return not self._scopes

    def check(self, secret: str | None, scope: str | None) -> None:
        """scope: the one needed, or None for any valid key. Raises Unauthorized or Forbidden."""
        if self.empty:
            return
        if secret is None:
            raise Unauthorized("send a key as 'Authorization: Bearer dg_...'; make one with: driftgate keys create")
        scopes = self._scopes.get(digest_key(secret))
        if scopes is None:
            raise Unauthorized("this key is unknown or revoked; `driftgate keys list` shows those in force")
        if scope is not None and scope not in scopes and "admin" not in scopes:
            raise Forbidden(f"this key has scope {', '.join(sorted(scopes))}; {scope} is needed")


def key_of(request: Request) -> str | None:
    """The key a request carries: as bearer token, as X-API-Key, or as the password of HTTP Basic (for browsers)."""
    if (own := request.headers.get("x-api-key")) is not None:
        return own
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return None


def needs(scope: str | None) -> Dependency:
    """A route dependency: `dependencies=[needs("admin")]`."""

    def check(request: Request) -> None:
        request.app.state.parts.keys.check(key_of(request), scope)

    return Dependency(check)
