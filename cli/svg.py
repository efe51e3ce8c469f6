"""What all pictures share: paper and ink that follow the reader's light or dark mode, and text."""

from html import escape
from pathlib import Path

from store.errors import BadInput

STYLE = """
 svg { color-scheme: light dark; background: #ffffff;
       font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
 .paper { fill: #ffffff } .ink { fill: #1d2733 } .soft { fill: #64707d }
 .grid { stroke: #e4e8ec } .axis { stroke: #9aa5b1 }
 @media (prefers-color-scheme: dark) {
  svg { background: #12171d }
  .paper { fill: #12171d } .ink { fill: #e7ecf1 } .soft { fill: #98a4b0 }
  .grid { stroke: #27303a } .axis { stroke: #55606c }
 }
"""


def opening(width: int, height: int, *, title: str, style: str = "") -> list[str]:
    """The start of a picture; "</svg>" ends it."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}{style}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]


def text(
    x: float,
    y: float,
    words: str,
    colour: str,
    *,
    anchor: str = "start",
    size: int = 12,
    weight: int = 400,
    more: str = "",
) -> str:
    return (
        f'<text class="{colour}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}" {more}>{escape(words)}</text>'
    )


def write_picture(path: Path, picture: str) -> None:
    """Raises BadInput for a path that cannot be written."""
    try:
        path.write_text(picture, "utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}", where="picture") from None
