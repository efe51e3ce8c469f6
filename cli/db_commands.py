"""`driftgate db`: the store's schema."""

import typer
from sqlalchemy.engine import make_url

from cli.group import command_group
from cli.output import AsJson, show
from cli.parts import settings_of
from store.database import Database, open_database, sqlite_path
from store.errors import Broken
from store.migrations import SCHEMA_HEAD
from store.settings import Settings

app = command_group()


@app.command("upgrade", epilog="Example: driftgate db upgrade")
def upgrade(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Bring the store to the schema of this driftgate; a newer one is refused and left alone."""
    settings = settings_of(ctx)
    before = None if store_is_missing(settings) else _revision(settings)
    if settings.embedded:
        open_database(settings).close()
    else:
        database = Database(settings.database)
        database.upgrade()
        database.close()
    did = "was at" if before == SCHEMA_HEAD else f"went from {before or 'none'} to"
    show(
        {"database": shown_url(settings), "before": before, "schema": SCHEMA_HEAD},
        f"store {shown_url(settings)} {did} schema {SCHEMA_HEAD}",
        as_json=as_json,
    )


@app.command("check", epilog="Example: driftgate db check && driftgate serve")
def check(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Whether the store can be used as it is; changes nothing. The exit code is 1 if it cannot."""
    settings = settings_of(ctx)
    found = check_schema(settings)
    show(
        {"database": shown_url(settings), "schema": found, "needed": SCHEMA_HEAD},
        f"store {shown_url(settings)} is at schema {found}, as this driftgate needs it",
        as_json=as_json,
    )


def check_schema(settings: Settings) -> str:
    """The schema the store is at. Raises SchemaMismatch, StoreUnavailable; Broken where there is no store yet."""
    if store_is_missing(settings):
        raise Broken(f"there is no store {shown_url(settings)} yet; the first command that needs it makes it")
    database = Database(settings.database)
    try:
        database.require_schema()
    finally:
        database.close()
    return SCHEMA_HEAD


def store_is_missing(settings: Settings) -> bool:
    """Whether the embedded store was never made; looking must not make it."""
    path = sqlite_path(settings.database)
    return path is not None and not path.exists()


def shown_url(settings: Settings) -> str:
    """The database's URL without its password."""
    return make_url(settings.database).render_as_string()


def _revision(settings: Settings) -> str | None:
    database = Database(settings.database)
    try:
        return database.schema_revision()
    finally:
        database.close()
