"""The card of a version as one file, for somebody who has no access to the server."""

from server.console.card import load_card
from server.console.rendering import render, stylesheet_text
from store.artifacts import ArtifactStore
from store.database import Database


def card_in_one_file(database: Database, artifacts: ArtifactStore, model: str, number: int) -> str:
    """HTML with its styles in it, without scripts and links. Raises NotFound, ArtifactCorrupt, StoreUnavailable."""
    return render("card.html", **load_card(database, artifacts, model, number), styles=stylesheet_text())
