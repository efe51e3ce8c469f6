"""`driftgate base`: backbones that adapters stand on."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.console import RenderableType

from cli.extras import require_extra
from cli.group import command_group
from cli.output import AsJson, facts, show, table
from cli.parts import Parts, open_parts, person
from cli.progress import progress_bar
from cli.quiet import quiet_libraries
from engine.base import BaseSpec, base_record, spec_from_json
from engine.precision import MIN_SPEEDUP, Precision, speeds_from_json
from store.bases import add_base, get_base, list_bases
from store.errors import BadInput
from store.records import Base
from store.versions import check_name, forget_precision_checks
from store.views import base_view

app = command_group()


@app.command(
    "import",
    epilog="Example: driftgate base import ./all-MiniLM-L6-v2 --name minilm --lora-targets query,value --max-rank 16",
)
def import_(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(help="A local Hugging Face model folder, or a hub id.", metavar="SOURCE")],
    name: Annotated[str, typer.Option(help="What to call the base from now on.")],
    lora_targets: Annotated[
        str, typer.Option(help="Last names of the linear layers that adapters may change, with commas.")
    ] = "query,value",
    max_rank: Annotated[int, typer.Option(min=1, max=1024, help="Highest rank of an adapter.")] = 16,
    max_labels: Annotated[int, typer.Option(min=2, max=65_536, help="Most labels of an adapter.")] = 256,
    license_name: Annotated[
        str | None, typer.Option("--license", help="The licence, where the model card names none or a wrong one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export a backbone to ONNX with adapters as inputs, and register it."""
    require_extra("retrain")
    check_name(name, what="base")
    targets = tuple(target.strip() for target in lora_targets.split(",") if target.strip())
    if not targets:
        raise BadInput("--lora-targets names no layer; name at least one, for example: query,value")
    with open_parts(ctx) as parts:
        with progress_bar() as progress:
            from retrain.export import import_base  # torch takes seconds

            quiet_libraries()
            spec, artifact = import_base(
                source,
                parts.artifacts,
                name=name,
                lora_targets=targets,
                max_rank=max_rank,
                max_labels=max_labels,
                license_name=license_name,
                progress=progress,
            )
            progress("measuring its speed", 0.8)
            speeds = _measure(parts, artifact)
        with parts.database.write() as session:
            replaced = add_base(session, base_record(spec, artifact, speeds=speeds, now=parts.clock()))
            why = f"base {name!r} was imported again with another graph: what was checked on the old one is forgotten"
            unchecked = (
                forget_precision_checks(session, name, reason=why, by=person(), now=parts.clock()) if replaced else []
            )
        with parts.database.read() as session:
            base = get_base(session, name)
        show(
            base_view(base),
            f"base {name!r} is ready",
            _drawn(base),
            *_advice(speeds),
            *_to_check(unchecked),
            as_json=as_json,
        )


@app.command("list", epilog="Example: driftgate base list --json")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All bases."""
    with open_parts(ctx) as parts, parts.database.read() as session:
        bases = list_bases(session)
        rows = [_row(base, spec_from_json(base.spec)) for base in bases]
        show(
            {"bases": [base_view(base) for base in bases]},
            table(
                ("base", "architecture", "parameters", "pooling", "max rank", "max labels", "licence"),
                rows,
                empty="no base yet; import one with: driftgate base import SOURCE --name NAME",
            ),
            as_json=as_json,
        )


@app.command("show", epilog="Example: driftgate base show minilm")
def show_(
    ctx: typer.Context, name: Annotated[str, typer.Argument(help="The base.", metavar="NAME")], as_json: AsJson = False
) -> None:
    """One base: where it came from, and what fits on it."""
    with open_parts(ctx) as parts, parts.database.read() as session:
        base = get_base(session, name)
        show(base_view(base), _drawn(base), as_json=as_json)


def _row(base: Base, spec: BaseSpec) -> tuple[object, ...]:
    return (
        base.name,
        spec.architecture,
        spec.parameters,
        base.pooling,
        spec.max_rank,
        spec.max_labels,
        base.license,
    )


def _measure(parts: Parts, artifact: str) -> dict[Precision, float]:
    from engine.engine import Engine
    from engine.speed import measure_speeds, offered_precisions

    bundle = parts.artifacts.fetch(artifact)
    engine = Engine(bundle, slots=2, lanes=1, provider=parts.settings.provider)
    return measure_speeds(engine, offered_precisions(engine))


def _to_check(unchecked: Sequence[str]) -> list[str]:
    """What an import under a known name leaves to do."""
    if not unchecked:
        return []
    return [
        f"checked on the graph before, and served in fp32 until they are checked again: {', '.join(unchecked)}; "
        "see driftgate model precision, and restart the servers"
    ]


def _advice(speeds: Mapping[Precision, float]) -> list[str]:
    """What the speeds mean for versions that are going to stand on the base."""
    faster = {name: speed / speeds["fp32"] for name, speed in speeds.items() if name != "fp32"}
    said = [
        f"{name} runs {times:.1f} times as fast as fp32 here; "
        + ("a version is served in it once its check has passed" if times >= MIN_SPEEDUP else "fp32 stays")
        for name, times in faster.items()
    ]
    return said or ["nothing but fp32 runs here"]


def _speeds(base: Base) -> str:
    speeds = speeds_from_json(base.speeds)
    if "fp32" not in speeds:
        return ""
    told = [f"{name} {speed:,.0f} ({speed / speeds['fp32']:.1f} times fp32)" for name, speed in speeds.items()]
    return ", ".join([f"fp32 {speeds['fp32']:,.0f}", *told[1:]]) + " tokens/s a core"


def _drawn(base: Base) -> RenderableType:
    spec = spec_from_json(base.spec)
    targets = sorted({layer.name.rpartition(".")[2] for layer in spec.layers})
    return facts(
        {
            "base": base.name,
            "source": base.source,
            "revision": base.revision,
            "licence": base.license,
            "task": f"{base.task} ({base.modality})",
            "architecture": f"{spec.architecture}, {spec.parameters:,} parameters, hidden size {spec.hidden}",
            "pooling": base.pooling,
            "adapters": f"rank up to {spec.max_rank}, up to {spec.max_labels} labels, on {', '.join(targets)}",
            "a slot takes": f"{spec.slot_bytes / 2**20:.2f} MiB",
            "input": f"{spec.preprocessing}; at most {spec.max_tokens} tokens",
            "speed": _speeds(base),
            "weights": f"sha256 {spec.weights_sha256}",
            "artifact": base.artifact,
            "imported": base.created_at,
        }
    )
