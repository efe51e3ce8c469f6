"""The driftgate server that `driftgate bench` loads: where it is, what it serves, and whether it answers at all."""

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote, urlsplit

from cli.load.connection import Address
from cli.load.request import post_json
from store.errors import BadInput, Broken, NotFound, Refused

_SOON_S = 15.0
_TAGS = {"source": "driftgate-bench"}
"""Of every prediction made here, so that its records can be told from those of callers."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server, with the key that it wants, if any."""

    address: Address
    key: str | None = None

    def only_model(self) -> str:
        """Of the models in production. Raises NotFound when there is none, Refused when there are several."""
        listed = self._ask("GET", "/v1/models", None).get("models", [])
        models = sorted(entry["model"] for entry in listed if entry.get("production") is not None)
        if not models:
            raise NotFound(
                f"the server at {self.address} has no model in production; promote one: driftgate model promote"
            )
        if len(models) > 1:
            more = ", ..." if len(models) > 8 else ""
            raise Refused(f"the server has {len(models)} models; name one of them: {', '.join(models[:8])}{more}")
        return str(models[0])

    def try_once(self, model: str, text: str) -> None:
        """One question, so that a load is not made of refusals. Raises with the server's own words."""
        self._ask("POST", _path(model), _body(text))

    def requests(self, model: str, texts: Sequence[str]) -> list[bytes]:
        """Raises BadInput for a key that is no header."""
        try:
            return [post_json(self.address, _path(model), _body(text), self._headers()) for text in texts]
        except ValueError:
            raise BadInput("the key holds a line break", where="key") from None

    def _headers(self) -> Mapping[str, str]:
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}

    def _ask(self, method: str, path: str, body: Any) -> dict[str, Any]:
        connection = HTTPConnection(self.address.host, self.address.port, timeout=_SOON_S)
        headers = {"Content-Type": "application/json", **self._headers()}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            told = json.loads(answer.read())
        except ConnectionRefusedError:
            raise Broken(
                f"nothing listens at {self.address}; start a server with `driftgate serve`, or name one with --url"
            ) from None
        except (OSError, HTTPException, ValueError) as error:
            raise Broken(
                f"what listens at {self.address} is no driftgate server: {error or type(error).__name__}"
            ) from None
        finally:
            connection.close()
        if not isinstance(told, dict):
            raise Broken(f"what listens at {self.address} is no driftgate server: it answers {method} {path} otherwise")
        if answer.status == 200:
            return told
        hint = "; give a key with --key" if answer.status in (401, 403) else ""
        raise Refused(f"the server refuses {method} {path} with {answer.status}: {told.get('detail', told)}{hint}")


def read_url(url: str, *, remote: bool) -> Address:
    """Raises BadInput for what is no URL of ours, Refused for another machine unless `remote` is said."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise BadInput(f"{url!r} has a bad port", where="url") from None
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise BadInput(f"{url!r} is no http://host:port; load is made without TLS, behind what ends it", where="url")
    if not remote and not is_loopback(parts.hostname):
        raise Refused(
            f"{parts.hostname} is not this machine, and a load test may take a server down; "
            "say --remote if it is yours to load"
        )
    return Address(parts.hostname, port or 80)


def is_loopback(host: str) -> bool:
    """Names are not looked up: `localhost` alone is known to be here."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _path(model: str) -> str:
    return f"/v1/models/{quote(model, safe='')}/predict"


def _body(text: str) -> dict[str, Any]:
    return {"inputs": [text], "truncate": True, "tags": _TAGS}
