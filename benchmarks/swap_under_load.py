"""What a promotion costs the callers: the same load with and without promotions, in turns that share the weather.

The callers run on the same cores as the server, so the figures are low; their ratio is what counts.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import httpx
import numpy as np

from benchmarks.stage import MODEL, build_home, free_port, machine, serving
from cli.demo.tickets import World, tickets

CALLERS = 16
TURNS = 4
"""Of each kind."""
TURN_S = 5.0
PROMOTION_EVERY_S = 0.25


@dataclass
class Figures:
    """Of all turns of one kind."""

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    failures: int = 0
    promotions: int = 0

    @property
    def requests_per_s(self) -> float:
        return len(self.latencies_s) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.latencies_s, percent)) * 1000


def main() -> None:
    print(machine())
    texts = [ticket.text for ticket in tickets(World.BEFORE, 500, seed=1)]
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home = Path(folder, "home")
        build_home(home)
        with serving(home, port=free_port()) as server:
            without, during = asyncio.run(_measure(server.url, texts))
    for name, figures in (("without promotions", without), ("with promotions", during)):
        print(f"{name}, throughput: {figures.requests_per_s:.0f} requests/s")
        print(f"{name}, p50: {figures.percentile_ms(50):.1f} ms")
        print(f"{name}, p99: {figures.percentile_ms(99):.1f} ms")
        print(f"{name}, failures: {figures.failures} of {len(figures.latencies_s) + figures.failures} requests")
    print(f"promotions: {during.promotions} in {during.seconds:.0f} s")
    print(f"throughput with promotions to without: {during.requests_per_s / without.requests_per_s:.3f}")
    print(f"p99 with promotions to without: {during.percentile_ms(99) / without.percentile_ms(99):.3f}")


async def _measure(url: str, texts: Sequence[str]) -> tuple[Figures, Figures]:
    without, during = Figures(), Figures()
    limits = httpx.Limits(max_connections=CALLERS + 1)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as http:
        await _turn(http, texts, Figures(), promoting=False)  # warm-up
        for _ in range(TURNS):
            await _turn(http, texts, without, promoting=False)
            await _turn(http, texts, during, promoting=True)
    return without, during


async def _turn(http: httpx.AsyncClient, texts: Sequence[str], figures: Figures, *, promoting: bool) -> None:
    began = time.perf_counter()
    until = began + TURN_S
    async with asyncio.TaskGroup() as tasks:
        for number in range(CALLERS):
            shifted = [*texts[number * 31 :], *texts[: number * 31]]
            tasks.create_task(_call(http, shifted, until, figures))
        if promoting:
            tasks.create_task(_promote(http, until, figures))
    figures.seconds += time.perf_counter() - began


async def _call(http: httpx.AsyncClient, texts: Sequence[str], until: float, figures: Figures) -> None:
    for text in cycle(texts):
        began = time.perf_counter()
        if began >= until:
            return
        try:
            answer = await http.post(f"/v1/models/{MODEL}/predict", json={"inputs": [text], "truncate": True})
        except httpx.HTTPError:
            figures.failures += 1
            continue
        if answer.status_code == 200:
            figures.latencies_s.append(time.perf_counter() - began)
        else:
            figures.failures += 1


async def _promote(http: httpx.AsyncClient, until: float, figures: Figures) -> None:
    for number in cycle((2, 1)):
        await asyncio.sleep(PROMOTION_EVERY_S)  # the pace that is measured
        if time.perf_counter() >= until and number == 2:  # ends on version 1, as it began
            return
        (await http.post(f"/v1/models/{MODEL}/versions/{number}/promote")).raise_for_status()
        figures.promotions += 1


if __name__ == "__main__":
    main()
