"""`driftgate keys`: who may call."""

from typing import Annotated

import typer

from cli.group import command_group
from cli.output import AsJson, say, show, table
from cli.parts import open_parts
from store.keys import create_key, list_keys, revoke_key

app = command_group()


@app.command("create", epilog="Example: driftgate keys create --scope predict,feedback --note 'help desk'")
def create(
    ctx: typer.Context,
    scope: Annotated[str, typer.Option(help="Of predict, feedback, review and admin, with commas.")],
    note: Annotated[str, typer.Option(help="Whom it is for.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is printed now and never again: only its digest is stored."""
    with open_parts(ctx) as parts:
        scopes = [name.strip() for name in scope.split(",") if name.strip()]
        with parts.database.write() as session:
            secret, key = create_key(session, scopes, note=note, now=parts.clock())
        show({"id": key.id, "key": secret, "scopes": key.scopes, "note": key.note}, secret, as_json=as_json)
        if not as_json:
            say(f"key {key.id} may {', '.join(key.scopes)}; keep it now, it is not shown again")


@app.command("list", epilog="Example: driftgate keys list")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All keys, without their secrets."""
    with open_parts(ctx) as parts:
        with parts.database.read() as session:
            keys = list_keys(session)
        rows = [(key.id, key.scopes, key.note, key.created_at, key.revoked_at) for key in keys]
        views = [
            {
                "id": key.id,
                "scopes": key.scopes,
                "note": key.note,
                "created_at": key.created_at.isoformat(),
                "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
            }
            for key in keys
        ]
        columns = ("key", "scopes", "note", "created", "revoked")
        show({"keys": views}, table(columns, rows, empty="no key yet"), as_json=as_json)


@app.command("revoke", epilog="Example: driftgate keys revoke 0199c2f4a1b27c3d8e4f5a6b7c8d9e0f")
def revoke(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="The id that `keys list` shows, not the secret.", metavar="ID")],
    as_json: AsJson = False,
) -> None:
    """End a key; servers refuse it within a second or two."""
    with open_parts(ctx) as parts:
        with parts.database.write() as session:
            revoke_key(session, key, now=parts.clock())
        show({"id": key, "revoked": True}, f"key {key} is revoked", as_json=as_json)
