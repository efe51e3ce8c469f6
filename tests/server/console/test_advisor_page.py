"""The advisor's page: in a real browser, against the decision in Python, and with nothing sent anywhere."""

import json
import random
from dataclasses import asdict
from itertools import pairwise

from retrain.advice import advise
from retrain.cost import Situation
from retrain.levels import COMPUTE
from retrain.matrix import MODELS, TASKS
from tests.browser import Page, browser, needs_chromium
from tests.server.conftest import Start

SITUATIONS = 4_000
ASKED_FOR = "performance.getEntriesByType('resource').map(one => new URL(one.name).pathname)"
"""Everything that the page ever fetched or sent; the sign in the tab comes when the browser pleases."""
OWN_FILES = {f"/static/{name}" for name in ("console.css", "advisor.css", "advice.js", "advisor.js", "icon.svg")}


def drawn(seed: int) -> list[Situation]:
    """Of every size and budget, and on the edges."""
    rng = random.Random(seed)
    return [
        Situation(
            task=rng.choice(list(TASKS)),
            rows=rng.choice([1, 2, 10, 7_142, 7_143, round(10 ** rng.uniform(0, 9))]),
            classes=rng.choice([1, 2, 150, round(10 ** rng.uniform(0, 4))]),
            similarity=rng.choice([0.0, 0.5, 0.7, 0.9, 1.0, rng.random()]),
            backbone=rng.choice(list(MODELS.values())).backbone,
            tokens=rng.choice([1.0, 24.0, rng.uniform(1, 10_000)]),
            device=rng.choice(["cpu", "cpu", "cuda"]),
            cores=rng.choice([1, 2, 7, 64]),
            time_s=rng.choice([None, 600.0, 10 ** rng.uniform(0, 7)]),
            memory_bytes=rng.choice([None, 4 * 2.0**30, 10 ** rng.uniform(8, 12)]),
        )
        for _ in range(SITUATIONS)
    ]


def in_browser(page: Page, situations: list[Situation]) -> list[dict[str, object]]:
    asked = json.dumps([{**asdict(one), "backbone": one.backbone.name} for one in situations])
    with_backbones = "(one) => ({...one, backbone: tables.models[one.backbone].backbone})"
    told = page.value(
        "(() => { const tables = JSON.parse(document.getElementById('tables').textContent);"
        f" return JSON.stringify({asked}.map({with_backbones}).map((one) => advise(one, tables))); }})()"
    )
    found: list[dict[str, object]] = json.loads(told)
    return found


@needs_chromium
def test_browser_and_python_give_the_same_advice_in_every_field(start: Start, tmp_path):
    server = start()
    situations = drawn(seed=6)
    with browser(tmp_path / "profile") as page:
        page.open(f"{server.url}/advisor")
        found = in_browser(page, situations)
    strategies = set()
    for situation, told in zip(situations, found, strict=True):
        ours = json.loads(json.dumps(asdict(advise(situation))))
        assert told == ours, situation
        strategies.add((ours["strategy"], ours["fits"]))
    assert {("head", True), ("head", False), ("partial", True), ("lora", True), ("full", True)} <= strategies


@needs_chromium
def test_a_person_changes_the_form_and_reads_the_advice_and_nothing_is_sent(start: Start, tmp_path):
    server = start()
    with browser(tmp_path / "profile") as page:
        page.open(f"{server.url}/advisor")
        level = COMPUTE["low"]
        asked = Situation(
            task="text-classification",
            rows=2_000,
            classes=10,
            similarity=0.7,
            backbone=MODELS["all-MiniLM-L6-v2"].backbone,
            tokens=24.0,
            device=level.device,
            cores=level.cores,
            time_s=level.time_s,
            memory_bytes=level.memory_bytes,
        )
        said = "[...document.querySelectorAll('#why p')].map(p => p.textContent)"
        assert page.value(said) == list(advise(asked).why)
        enter(page, "minutes", "0.5")
        assert page.value("document.getElementById('compute').value") == "own"
        assert page.value("document.querySelector('.costs .over') !== null")
        assert page.value(said)[1].startswith("LoRA would be the choice but needs ")
        enter(page, "minutes", "0.1")
        assert "nothing fits" in page.value("document.getElementById('strategy').textContent")
        enter(page, "rows", "")
        assert page.value("document.getElementById('advice').hidden")
        assert "Labelled rows" in page.value("document.getElementById('refused').textContent")
        page.value("document.querySelector('[data-model=resnet-50][data-task=regression]').click()")
        assert "resnet-50 for a number for a text: 0 of 5" in page.value(
            "document.getElementById('reason').textContent"
        )
        asked_for = page.value(ASKED_FOR)
        assert set(asked_for) <= OWN_FILES
        assert len(asked_for) == len(set(asked_for)), "something was fetched again after the page was loaded"
        assert page.complaints == []


@needs_chromium
def test_it_is_readable_at_every_width_and_by_keyboard(start: Start, tmp_path):
    server = start()
    with browser(tmp_path / "profile") as page:
        for width in (320, 390, 1280):
            page.open(f"{server.url}/advisor", width=width, dark=width == 390)
            assert page.value("document.documentElement.scrollWidth") <= width, width
        assert page.complaints == []
        unlabelled = "[...document.querySelectorAll('input, select')].filter(one => !one.labels.length).length"
        assert page.value(unlabelled) == 0
        assert page.value("document.querySelectorAll('.score').length") == 80
        told = "[...document.querySelectorAll('.score')].every(one => one.title && one.ariaLabel.includes(one.title))"
        assert page.value(told)
        levels = page.value("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_page_leads_to_it_and_it_may_connect_to_nothing(start: Start):
    server = start()
    assert '<a class="soft" href="/advisor">' in server.get("/").text
    page = server.get("/advisor")
    assert page.status_code == 200
    assert "connect-src 'none'" in page.headers["content-security-policy"]
    assert "form-action 'none'" in page.headers["content-security-policy"]
    assert server.get("/static/advice.js").headers["content-type"].startswith("text/javascript")
    assert server.get("/static/console.cs").status_code == 404


def enter(page: Page, field: str, value: str) -> None:
    """As a person types: the value, and the event that tells the page."""
    page.value(
        f"(() => {{ const field = document.getElementById('{field}'); field.value = '{value}';"
        " field.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
