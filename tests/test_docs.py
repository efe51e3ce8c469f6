"""The pages say what the code does: every setting, command, metric and route, and every link leads somewhere."""

import asyncio
import re
import shlex
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from cli.main import COMMANDS, app, load_command
from monitor.metrics import MonitorMetrics
from retrain.metrics import WorkerMetrics
from retrain.strategy import TrainingPlan
from server.app import create_surface
from server.console import pages
from server.metrics import ServerMetrics
from server.process import open_parts
from store.settings import Settings, load_settings

TOP = Path(__file__).parents[1]
DOCS = TOP / "docs"
NOT_OURS = {"build", "dist", "node_modules"}


def _pages() -> Iterator[Path]:
    for path in sorted(TOP.rglob("*.md")):
        folders = path.relative_to(TOP).parts[:-1]
        if not any(name.startswith(".") or name in NOT_OURS or name.endswith(".egg-info") for name in folders):
            yield path


PAGES = {str(path.relative_to(TOP)): path for path in _pages()}
GUIDES = {name: path for name, path in PAGES.items() if path.parent == DOCS}


def read(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def table_rows(text: str) -> Iterator[list[str]]:
    """Cells of every table row whose first cell is code, without the backticks around that code."""
    for line in text.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            yield [cells[0].strip("`"), *cells[1:]]


# Settings


def shown_default(value: object) -> str:
    """A default as a person would write it into the environment."""
    match value:
        case None:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
    return f"`{value}`"


SETTINGS = {name: (default, meaning) for name, default, meaning in table_rows(read("settings.md"))}


def test_the_table_of_settings_has_all_of_them_and_no_other() -> None:
    assert list(SETTINGS) == [f"DRIFTGATE_{name.upper()}" for name in Settings.model_fields]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_is_told_with_its_default_and_its_meaning(name: str) -> None:
    default, meaning = SETTINGS[f"DRIFTGATE_{name.upper()}"]
    field = Settings.model_fields[name]
    assert default == shown_default(field.default)
    assert field.description
    assert field.description in meaning, "the class and the page must not tell different things"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_settings_that_exist(page: str) -> None:
    named = {name.lower() for name in re.findall(r"\bDRIFTGATE_([A-Z_]+)\b", PAGES[page].read_text("utf-8"))}
    assert named <= set(Settings.model_fields)


# Training


def test_every_parameter_of_a_training_is_in_the_table() -> None:
    named = {name for row in table_rows(read("training.md")) for name in re.findall(r"\w+", row[0])}
    assert {field.name for field in fields(TrainingPlan)} - {"strategy", "targets"} <= named


# Commands


def _leaves(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner: Mapping[str, Any] | None = getattr(command, "commands", None)
    if inner is None:
        yield path, command
    else:
        for name in inner:
            yield from _leaves((*path, name), inner[name])


COMMAND_OF = {" ".join(path): found for name in COMMANDS for path, found in _leaves((name,), load_command(name))}


def options_of(command: Any) -> set[str]:
    """Those that `--help` shows; a hidden one is for processes of our own."""
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    return {option for parameter in shown for option in parameter.opts if option.startswith("--")} - {"--help"}


def _global_options() -> set[str]:
    from typer.main import get_command

    return options_of(get_command(app))


GLOBAL = _global_options()


def sections(text: str) -> dict[str, str]:
    """Text below each `### driftgate ...` heading, up to the next heading."""
    parts = re.split(r"^(#{1,6} .*)$", text, flags=re.MULTILINE)
    return {
        title.removeprefix("### driftgate ").strip(): body
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
        if title.startswith("### driftgate ")
    }


COMMAND_SECTIONS = sections(read("commands.md"))


def test_every_command_has_its_section_and_no_section_is_of_a_command_that_is_gone() -> None:
    assert set(COMMAND_SECTIONS) == set(COMMAND_OF)


@pytest.mark.parametrize("name", COMMAND_OF)
def test_the_section_of_a_command_tells_every_option_and_argument_and_shows_an_example(name: str) -> None:
    text, command = COMMAND_SECTIONS[name], COMMAND_OF[name]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", prose))
    assert options_of(command) - named == set(), "options that are not told"
    assert named - options_of(command) - GLOBAL == set(), "options that do not exist"
    for argument in (p for p in command.params if p.param_type_name == "argument"):
        assert f"`{(argument.metavar or argument.name).split()[0]}" in prose
    assert re.search(rf"^(\$ )?driftgate (--home \S+ )?{name}\b", text, flags=re.MULTILINE), "no example"


def test_the_options_of_driftgate_itself_are_told() -> None:
    page = read("commands.md")
    assert {option for option in GLOBAL if option not in page} == set()


def _shown_commands() -> Iterator[tuple[str, str]]:
    for name, path in PAGES.items():
        for block in re.findall(r"^```[a-z]*\n(.*?)^```", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                shown = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*driftgate (.+)", line)
                if shown:
                    yield name, shown[1]


@pytest.mark.parametrize(("page", "line"), sorted(set(_shown_commands())))
def test_a_command_that_a_page_shows_exists_with_these_options(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    while words and words[0].startswith("--"):
        assert words[0] in GLOBAL
        words = words[2:] if words[0] == "--home" else words[1:]
    if not words:
        return
    assert words[0] in COMMANDS, f"driftgate has no command {words[0]!r}"
    command = load_command(words.pop(0))
    while inner := getattr(command, "commands", None):
        assert words, "a subcommand is missing"
        assert words[0] in inner
        command = inner[words.pop(0)]
    end = next((i for i, word in enumerate(words) if word in ("|", ">", "&&", ";", "&")), len(words))
    assert {word for word in words[:end] if word.startswith("--")} <= options_of(command)


# Metrics


def _metrics() -> dict[str, tuple[str, ...]]:
    """Labels by name, as a person would query it: counters with `_total`."""
    found: dict[str, tuple[str, ...]] = {}
    for metrics in (ServerMetrics, MonitorMetrics, WorkerMetrics):
        for metric in vars(metrics(CollectorRegistry())).values():
            if isinstance(metric, MetricWrapperBase):
                suffix = "_total" if metric._type == "counter" else ""  # no public way to these
                found[f"{metric._name}{suffix}"] = tuple(metric._labelnames)
    return found


METRICS = _metrics()
TOLD_METRICS = {cells[0]: cells[1:] for cells in table_rows(read("watcher.md")) if cells[0].startswith("driftgate_")}


def test_the_watcher_is_told_every_metric_and_no_other() -> None:
    assert METRICS
    assert set(TOLD_METRICS) == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_told_with_its_labels_and_its_meaning(name: str) -> None:
    labels, meaning = TOLD_METRICS[name]
    assert set(re.findall(r"`(\w+)`", labels)) == set(METRICS[name])
    assert len(meaning) > len("meaning")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_metrics_that_exist(page: str) -> None:
    text = PAGES[page].read_text("utf-8")
    named = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"`(driftgate_[a-z_]+)\b", text)}
    assert named <= set(METRICS) | {"driftgate_"}


# Routes


def routes(tmp_path: Path) -> set[str]:
    """`GET /path` of every route of our own: those that the API itself describes, and the pages that it does not."""

    async def ask() -> dict[str, Any]:
        async with open_parts(load_settings(home=tmp_path / "home")) as parts:
            transport = httpx.ASGITransport(create_surface(parts).app)
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                described: dict[str, Any] = (await client.get("/openapi.json")).json()
                return described

    described = {f"{method.upper()} {path}" for path, one in asyncio.run(ask())["paths"].items() for method in one}
    shown = {
        f"{method} {route.path}"
        for route in (*pages.router.routes, *pages.open_router.routes)
        if isinstance(route, APIRoute)
        for method in route.methods or set()
    }
    return described | shown


def test_every_route_is_told_to_one_of_the_readers_and_none_that_is_gone(tmp_path: Path) -> None:
    text = "".join(read(page) for page in ("caller.md", "watcher.md", "corrector.md"))
    told = set(re.findall(r"`((?:GET|POST|PUT|DELETE|PATCH) /[^`\s?]*)`", text))
    known = routes(tmp_path)
    assert {"POST /v1/models/{model}/predict", "GET /"} <= known, "the list of routes is not whole"
    assert known - told == set(), "routes that no page tells"
    assert told - known == set(), "routes that do not exist"


# Links and paths


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    kept = "".join(c for c in text if c in " -_" or unicodedata.category(c)[0] in "LNM")
    return kept.replace(" ", "-")


def anchors(path: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+?)\s*#*$", text, flags=re.MULTILINE):
        name, number = slug(heading), 1
        while name in found:
            name = f"{slug(heading)}-{number}"
            number += 1
        found.add(name)
    return found


def _links() -> Iterator[tuple[str, str]]:
    for name, path in PAGES.items():
        text = re.sub(r"^```.*?^```|`[^`\n]*`", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)", text):
            if not re.match(r"[a-z][a-z0-9+.-]*:", target):
                yield name, target


@pytest.mark.parametrize(("page", "target"), sorted(set(_links())))
def test_a_link_leads_to_a_file_and_a_heading(page: str, target: str) -> None:
    file, _, anchor = target.partition("#")
    path = (PAGES[page].parent / file).resolve() if file else PAGES[page]
    assert path.exists(), f"{path.relative_to(TOP)} does not exist"
    assert path.is_relative_to(TOP)
    if anchor:
        assert anchor in anchors(path)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_holds_no_path_of_the_machine_it_was_written_on(page: str) -> None:
    text = PAGES[page].read_text("utf-8")
    assert re.findall(r"(?<![\w.:/])/(?:home|root|tmp|work|Users|mnt|private)/[^\s`]*|\b[A-Z]:\\\w+", text) == []


def test_the_guides_that_the_code_refers_to_are_there() -> None:
    sources = [
        path
        for name in ("cli", "engine", "monitor", "retrain", "server", "store")
        for path in TOP.glob(f"{name}/**/*.py")
    ]
    named = {page for path in sources for page in re.findall(r"docs/[\w/-]+\.md", path.read_text("utf-8"))}
    assert named
    assert {page for page in named if not (TOP / page).exists()} == set()


@pytest.mark.parametrize("page", GUIDES)
def test_every_guide_can_be_reached_from_the_readme(page: str) -> None:
    seen: set[Path] = set()
    waiting = [TOP / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file() or path.suffix != ".md":
            continue
        seen.add(path)
        name = str(path.relative_to(TOP))
        waiting += [(path.parent / target.partition("#")[0]).resolve() for other, target in _links() if other == name]
    assert GUIDES[page] in seen
