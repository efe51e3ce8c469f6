"""API keys at the door: hashed, scoped, refreshed from the store."""

import base64
from collections.abc import Mapping
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.params import Depends as Dependency

from server.problems import Forbidden, Unauthorized
from store.database import Database
from store.keys import any_key_made, digest_key, valid_keys


class KeyRing:
    """The keys in force. Until the first one is made callers need none; revoking the last one opens no door."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._scopes: Mapping[str, frozenset[str]] = {}
        self._needed = False

    def refresh(self) -> None:
        """Read the keys anew. Raises StoreUnavailable, and the old ones stay in force."""
        with self._database.read() as session:
            self._scopes = valid_keys(session)
            self._needed = bool(self._scopes) or any_key_made(session)

    @property
    def needed(self) -> bool:
        return self._needed

    def check(self, secret: str | None, scope: str | None) -> None:
        """scope: the one needed, or None for any valid key. Raises Unauthorized or Forbidden."""
        if not self.needed:
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
        except ValueError:  # no base64, or no UTF-8 in it
            return ""
    return None


def refuse_foreign_page(request: Request) -> None:
    """A browser names the page that a POST comes from; another site's page must not act with this person's key.

    Raises Forbidden. Clients that are no browsers send no Origin (RFC 6454, section 7.3).
    """
    origin, host = request.headers.get("origin"), request.headers.get("host")
    if request.method == "POST" and origin is not None and (host is None or _host_of(origin) != host):
        raise Forbidden(f"a page of {origin[:100]} may not send this; requests must come from this server's own pages")


def _host_of(origin: str) -> str | None:
    """With its port; None where there is none to be found, as in `http://[`."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def allow(request: Request, scope: str | None) -> None:
    """Raises Unauthorized, or Forbidden: see KeyRing.check and refuse_foreign_page."""
    refuse_foreign_page(request)
    keys: KeyRing = request.app.state.parts.keys
    if keys.needed:
        keys.check(key_of(request), scope)


def has_scope(request: Request, scope: str) -> bool:
    """For what a page shows to some keys only: whether a key of `scope` is there, or none is needed at all."""
    keys: KeyRing = request.app.state.parts.keys
    try:
        keys.check(key_of(request), scope)
    except (Unauthorized, Forbidden):
        return False
    return True


def needs(scope: str | None) -> Dependency:
    """A route dependency: `dependencies=[needs("admin")]`."""

    async def check(request: Request) -> None:  # not in a worker thread: it never waits
        allow(request, scope)

    return Dependency(check)
