"""Templates and styles: what a page is made of, whether a server shows it or a file holds it."""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_templates = Environment(
    loader=PackageLoader("server.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> str:
    return _templates.get_template(template).render(**values)


def stylesheet_text() -> str:
    return files("server.console").joinpath("static/console.css").read_text("utf-8")
