"""Claim 6: faster precisions end to end, each on a version that has passed its check, and a version that fails it.

The version is trained for real, so that its check means something: a linear head on MiniLM's frozen features, for the
150 intents of CLINC150 where that is at hand, else for made-up support tickets. An adapter is what serves it, with
LoRA matrices that change nothing.
"""

import gzip
import json
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from benchmarks.adapters import RANK, write_adapter
from benchmarks.frame import (
    at_least,
    begin,
    claim_line,
    errors_line,
    figure_line,
    options,
    ratios,
    tell,
)
from benchmarks.mixed_text import minilm_tokenizer, mixed_texts
from benchmarks.questions import Question, find_answers
from benchmarks.slices import play_in_slices
from benchmarks.stage import MODEL, Server, Store, build_base, free_port, home_like, opened, serving
from engine.adapter import read_adapter
from engine.base import BaseSpec
from engine.engine import Engine
from engine.precision import Precision, PrecisionCheck, checks_to_json, choose_precision, judge
from engine.runtime import installed_build
from engine.speed import measure_speeds, offered_precisions
from retrain.dataset import Row
from retrain.evaluate import check_precisions
from store.bases import get_base
from store.clock import utc_now
from store.records import Base
from store.versions import NewVersion, promote, register_version

SOUND, FRAGILE = "sound", "fragile"
MAX_LOSS = 0.005
_PROBES = 2_000
"""Texts that tell where rounding shows most."""
CLIENTS = 64
DATA = Path(__file__).parents[2] / "shared" / "data"


@dataclass(frozen=True, slots=True)
class Data:
    name: str
    train: list[Row]
    check: list[Row]


@dataclass(frozen=True, slots=True)
class Checked:
    """A registered version with what its check found."""

    checks: Mapping[Precision, PrecisionCheck]
    speeds: Mapping[Precision, float]
    serves: Precision
    """What `auto` takes."""


def main() -> None:
    parser = options("precision", __doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of clinc150.json.gz (default: %(default)s)")
    parser.add_argument("--train-rows", type=int, default=15_000)
    parser.add_argument("--check-rows", type=int, default=7_500)
    asked = begin(parser)
    data = read_data(asked.data, train_rows=asked.train_rows, check_rows=asked.check_rows)
    with tempfile.TemporaryDirectory(prefix="driftgate-bench-") as folder:
        home = Path(folder, "home")
        checked = build_sound_home(home, data, fragile=True)
        questions = find_answers(home, [(MODEL, text) for text in mixed_texts(minilm_tokenizer(), asked.texts, seed=4)])
        _compare(home, questions, checked, asked.rounds, asked.seconds)


def _compare(home: Path, questions: list[Question], checked: Checked, rounds: int, seconds: float) -> None:
    faster = [name for name in checked.checks if judge(checked.checks[name], MAX_LOSS).allowed]
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        for name in ("fp32", *faster, "auto"):
            up = serving(home_like(home, name), port=free_port(), environment={"DRIFTGATE_PRECISION": name})
            servers[name] = stack.enter_context(up)

        found = play_in_slices(servers, questions, clients=CLIENTS, rounds=rounds, seconds=seconds)
    rates = {name: [result.per_s for result in results] for name, results in found.items()}
    for name, values in rates.items():
        tell(figure_line(f"{name}, {CLIENTS} clients, mixed text", values, "texts/s"))
    for name in ("int8", "bf16"):
        if name in rates:
            line = f"claim 6: {name} throughput to fp32, {_cost(checked.checks[name])}"
            tell(claim_line(line, ratios(rates[name], rates["fp32"]), at_least(1.60)))
        else:
            tell(f"claim 6: {name} is not measured: {_why_not(name, checked)}")
    cost = "no accuracy lost" if checked.serves == "fp32" else _cost(checked.checks[checked.serves])
    line = f"claim 1: auto, which serves this version in {checked.serves}, to fp32, {cost}"
    tell(figure_line(line, ratios(rates["auto"], rates["fp32"]), ""))
    for name, results in found.items():
        if name == "fp32":
            tell(f"fp32, {errors_line(results)}")
            continue
        other = sum(result.wrong for result in results)
        answered = sum(len(result.latencies_s) for result in results)
        failed = sum(result.errors - result.wrong for result in results)
        tell(f"{name}, labels other than fp32's: {other} of {answered:,} answers; failed: {failed}")


def _cost(check: PrecisionCheck) -> str:
    bound = judge(check, MAX_LOSS).bound
    lost = f"{100 * check.loss:.2f} points of accuracy lost on {check.rows:,} rows"
    return f"{lost} (with 95 % confidence at most {100 * bound:.2f})"


def _why_not(name: str, checked: Checked) -> str:
    if name in checked.checks:
        return judge(checked.checks[name], MAX_LOSS).why
    if name == "bf16" and installed_build() != "onnxruntime-openvino":
        return "it needs onnxruntime-openvino in place of onnxruntime: pip install 'driftgate[openvino]'"
    return "this processor has no instructions for it"


def build_sound_home(home: Path, data: Data, *, fragile: bool = False) -> Checked:
    """MiniLM, and a version of MODEL in production that is trained on `data` and has been checked.

    fragile: also check a version that must fail.
    """
    spec = build_base(home)
    with opened(home) as store, tempfile.TemporaryDirectory(prefix="driftgate-bench-") as scratch:
        return _prepare(store, spec, data, Path(scratch), fragile=fragile)


def _prepare(store: Store, spec: BaseSpec, data: Data, scratch: Path, *, fragile: bool) -> Checked:
    with store.database.read() as session:
        artifact = get_base(session, spec.name).artifact
    bundle = store.artifacts.fetch(artifact)
    engine = Engine(bundle, slots=2, provider="auto")
    speeds = measure_speeds(engine, offered_precisions(engine))
    for name, speed in speeds.items():
        tell(figure_line(f"{name}, one core, as `base import` measures it", speed, "tokens/s"))
    with store.database.write() as session:
        session.get_one(Base, spec.name).speeds = dict(speeds)
    labels = tuple(sorted({row.label for row in data.train}))
    features = engine.embed([row.text for row in data.train])
    targets = np.array([labels.index(row.label) for row in data.train])
    sound = scratch / SOUND
    write_adapter(sound, spec, labels, seed=1, head=train_head(features, targets, len(labels)))
    checks = check_precisions(bundle, sound, data.check)
    tell(f"trained on {len(data.train):,} rows of {data.name}, {len(labels)} labels")
    for check in checks.values():
        verdict = judge(check, MAX_LOSS)
        tell(f"the sound version {'passes' if verdict.allowed else 'FAILS'}: {verdict.why}")
    key = store.artifacts.put("adapters", sound)
    read_adapter(store.artifacts.fetch(key), spec)
    evaluation = {"precision": checks_to_json(checks)}
    now = utc_now()
    with store.database.write() as session:
        new = NewVersion(MODEL, spec.name, key, RANK, labels, evaluation=evaluation)
        promote(
            session,
            MODEL,
            register_version(session, new, by="benchmark", now=now),
            by="benchmark",
            reason="it",
            now=now,
        )
    if fragile and "int8" in speeds:
        some = [row.text for row in data.train[:_PROBES]]
        head = fragile_head(features[:_PROBES], engine.embed(some, precision="int8"))
        _check_fragile(bundle, spec, head, data, scratch / FRAGILE)
    choice = choose_precision("auto", speeds=speeds, checks=checks, max_loss=MAX_LOSS)
    return Checked(checks, speeds, choice.precision)


Head = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weight [labels, hidden] and bias [labels]."""


def _check_fragile(bundle: Path, spec: BaseSpec, head: Head, data: Data, folder: Path) -> None:
    """A version that answers by what rounding changes most.

    Its truth is what it answers in fp32 itself, so that whatever another precision answers otherwise is lost.
    """
    write_adapter(folder, spec, ("low", "high"), seed=1, head=head)
    engine = Engine(bundle, slots=2, lanes=1)
    engine.bank.load(FRAGILE, read_adapter(folder, spec))
    scored = engine.score([row.text for row in data.check], FRAGILE, labels=2)
    truth = [
        Row(row.text, ("low", "high")[best])
        for row, best in zip(data.check, scored.probabilities.argmax(1), strict=True)
    ]
    for name, check in check_precisions(bundle, folder, truth).items():
        verdict = judge(check, MAX_LOSS)
        tell(f"claim 6: the fragile version is {'SERVED' if verdict.allowed else 'refused'} in {name}: {verdict.why}")


def train_head(features: NDArray[np.float32], targets: NDArray[np.int64], classes: int) -> Head:
    """Multinomial logistic regression.

    features: [rows, hidden]. targets: [rows] of 0 .. classes - 1. Returns weight [classes, hidden] and bias [classes].
    """
    import torch

    torch.manual_seed(0)
    head = torch.nn.Linear(features.shape[1], classes)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.05, weight_decay=1e-3)
    x, y = torch.from_numpy(features), torch.from_numpy(targets)
    for _ in range(300):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(x), y).backward()
        optimizer.step()
    return head.weight.detach().numpy(), head.bias.detach().numpy()


def fragile_head(exact: NDArray[np.float32], rounded: NDArray[np.float32]) -> Head:
    """Two labels, split at the median along the direction in which rounding is largest beside what texts differ by.

    exact, rounded: [rows, hidden] of the same texts.
    """
    centred = (exact - exact.mean(0)).astype(np.float64)
    variance, axes = np.linalg.eigh(centred.T @ centred)
    whitening = axes / np.sqrt(variance + 1e-4 * variance.mean())  # one direction is constant, by the layer norm
    error = (rounded - exact) @ whitening
    direction = whitening @ np.linalg.eigh(error.T @ error)[1][:, -1]
    values = exact @ direction
    weight = np.stack([-direction, direction]) / values.std()
    middle = float(np.median(values) / values.std())
    return weight.astype(np.float32), np.array([middle, -middle], np.float32)


def read_data(folder: Path, *, train_rows: int, check_rows: int) -> Data:
    """CLINC150 from `folder`, or made-up tickets where it is not there."""
    file = folder / "clinc150.json.gz"
    if file.exists():
        with gzip.open(file, "rt") as opened_file:
            splits = json.load(opened_file)
        train = [Row(text, intent) for text, intent in splits["train"]]
        check = [Row(text, intent) for text, intent in splits["val"] + splits["test"]]
        name = "CLINC150"
    else:
        from cli.demo.tickets import World, tickets

        made = [Row(t.text, t.label) for t in tickets(World.BEFORE, train_rows + check_rows, seed=1)]
        train, check = made[:train_rows], made[train_rows:]
        name = "made-up tickets"
    known = {row.group for row in train}
    fresh = list({row.group: row for row in check if row.group not in known}.values())
    rng = Random(4)
    return Data(
        name,
        rng.sample(train, min(train_rows, len(train))),
        rng.sample(fresh, min(check_rows, len(fresh))),
    )


if __name__ == "__main__":
    main()
