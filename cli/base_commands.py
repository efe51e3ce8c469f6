"""`driftgate base`: backbones that adapters stand on: where they come from, what they are worth, who let them in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from cli.base_profile import SAMPLE_ROWS, drawn_profile, measure_base_speeds, measure_profile, measure_sample
from cli.base_trial import trial
from cli.data_commands import LabelColumn, TextColumn
from cli.extras import require_extra
from cli.group import command_group
from cli.output import AsJson, facts, say, show, table
from cli.parts import Parts, open_parts, person
from cli.progress import progress_bar
from cli.quiet import quiet_libraries
from engine.base import BaseSpec, base_record, spec_from_json
from engine.precision import MIN_SPEEDUP, Precision, speeds_from_json
from retrain.licence import LicenceVerdict, card_says_of, judge_licence, require_licence, require_licence_of
from store.bases import add_base, approve_base, base_story, get_base, list_bases, retire_base, tell_of_base
from store.errors import BadInput, Refused
from store.records import Base, BaseEvent
from store.versions import check_name, forget_precision_checks
from store.views import base_view

if TYPE_CHECKING:  # the extra `retrain` may be missing
    from retrain.dataset import Row

app = command_group()
app.command("trial", epilog="Example: driftgate base trial minilm bge-small --data tickets.csv --rows 500")(trial)

BaseName = Annotated[str, typer.Argument(help="The base.", metavar="NAME")]
Why = Annotated[str, typer.Option(help="The reason; it stays in the story of the base.", metavar="TEXT")]


@app.command(
    "import",
    epilog="Example: driftgate base import ./all-MiniLM-L6-v2 --name minilm --approve --sample tickets.csv",
)
def import_(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="A local Hugging Face model folder, a hub id, or torchhub:OWNER/REPOSITORY:ENTRY[:REF].",
            metavar="SOURCE",
        ),
    ],
    name: Annotated[str, typer.Option(help="What to call the base from now on.")],
    lora_targets: Annotated[
        str, typer.Option(help="Last names of the linear layers that adapters may change, with commas.")
    ] = "query,value",
    max_rank: Annotated[int, typer.Option(min=1, max=1024, help="Highest rank of an adapter.")] = 16,
    max_labels: Annotated[int, typer.Option(min=2, max=65_536, help="Most labels of an adapter.")] = 256,
    license_name: Annotated[
        str | None, typer.Option("--license", help="The licence, where the model card names none or a wrong one.")
    ] = None,
    approve: Annotated[
        bool, typer.Option("--approve", help="Approve it at once, if its licence is a permissive one.")
    ] = False,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the code that an entry of PyTorch Hub is; read it first.")
    ] = False,
    no_profile: Annotated[
        bool, typer.Option("--no-profile", help="Do not measure latency and memory, which takes a few seconds.")
    ] = False,
    sample: Annotated[
        Path | None,
        typer.Option(help="Labelled rows on which to measure what its frozen features are worth.", metavar="FILE"),
    ] = None,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    as_json: AsJson = False,
) -> None:
    """Export a backbone to ONNX with adapters as inputs, measure it, and register it as a candidate.

    The exit code is 1 when --approve was asked for and its licence has to be read by a person first.
    """
    require_extra("retrain")
    check_name(name, what="base")
    targets = tuple(target.strip() for target in lora_targets.split(",") if target.strip())
    if not targets:
        raise BadInput("--lora-targets names no layer; name at least one, for example: query,value")
    with open_parts(ctx) as parts:
        rows = None if sample is None else _sample_rows(sample, text_column, label_column)
        with progress_bar() as progress:
            from retrain.base_card import read_base_card
            from retrain.export import import_base  # torch takes seconds
            from retrain.sources import open_source

            quiet_libraries()
            with open_source(source, trust_code=trust_code) as found:
                card = read_base_card(found.folder, licence=license_name)
                stated = card.get("licence", {})
                said, card_says, denied = stated.get("name"), stated.get("card_says"), parts.settings.denied_licences
                require_licence(said, denied, what=f"base {name!r}", card_says=card_says)
                licence = judge_licence(said, denied, card_says=card_says)
                spec, artifact = import_base(
                    found,
                    parts.artifacts,
                    name=name,
                    lora_targets=targets,
                    max_rank=max_rank,
                    max_labels=max_labels,
                    license_name=licence.licence,
                    progress=progress,
                )
            bundle = parts.artifacts.fetch(artifact)
            progress("measuring its speed", 0.8)
            speeds = measure_base_speeds(parts, bundle)
            profile: dict[str, Any] = {}
            if not no_profile:
                progress("measuring latency and memory", 0.85)
                profile = measure_profile(parts, bundle)
            if rows is not None and sample is not None:
                stage = f"asking its features about {len(rows):,} rows"
                profile["sample"] = measure_sample(
                    parts, bundle, rows, name=sample.name, progress=lambda share: progress(stage, 0.9 + 0.1 * share)
                )
        card["licence"] = {**stated, "name": licence.licence, "kind": licence.kind, "warning": licence.warning}
        record = base_record(spec, artifact, speeds=speeds, card=card, profile=profile, now=parts.clock())
        unchecked = _register(parts, record, licence, approve=approve)
        view, drawn = _shown(parts, name)
        show(
            view,
            f"base {name!r} is ready",
            *drawn,
            *_advice(speeds),
            *_to_check(unchecked),
            *_next_step(view["state"], name),
            as_json=as_json,
        )
        if licence.warning is not None:
            say(f"warning: base {name!r}: {licence.warning}")
        if approve and view["state"] != "approved":
            why = licence.warning or f"it is {view['state']}"
            raise Refused(
                f"base {name!r} was imported but not approved: {why}; "
                f"once you have read that, say: driftgate base approve {name} --why TEXT"
            )


def _sample_rows(sample: Path, text_column: str, label_column: str) -> "list[Row]":
    from retrain.dataset import read_rows
    from retrain.trial import choose_rows

    read = read_rows(sample, text_column=text_column, label_column=label_column)
    return choose_rows(read, most=SAMPLE_ROWS, seed=0)


def _register(parts: Parts, base: Base, licence: LicenceVerdict, *, approve: bool) -> list[str]:
    """Store the base with its story; returns versions whose precision checks are forgotten. Raises Conflict."""
    name, by, now = base.name, person(), parts.clock()
    with parts.database.write() as session:
        replaced = add_base(session, base)
        session.flush()
        told = f"imported from {base.source!r}, revision {base.revision}, licence {base.license}"
        tell_of_base(session, name, "imported", told, by=by, now=now)
        if approve and licence.clean and get_base(session, name).state == "candidate":
            why = f"its licence, {licence.licence}, is permissive, and whoever imported it said --approve"
            approve_base(session, name, why=why, by=by, now=now)
        if not replaced:
            return []
        why = f"base {name!r} was imported again with another graph: what was checked on the old one is forgotten"
        return forget_precision_checks(session, name, reason=why, by=by, now=now)


@app.command("approve", epilog="Example: driftgate base approve minilm --why 'Apache-2.0, 0.94 on our tickets'")
def approve(ctx: typer.Context, name: BaseName, why: Why, as_json: AsJson = False) -> None:
    """Let a base train for production: you have read its card and its profile. Also one that was retired."""
    with open_parts(ctx) as parts:
        with parts.database.write() as session:
            base = get_base(session, name)
            require_licence_of(base, parts.settings.denied_licences)
            approve_base(session, name, why=why, by=person(), now=parts.clock())
        view, _ = _shown(parts, name)
        show(view, f"base {name!r} is approved: versions on it may be promoted", as_json=as_json)


@app.command("retire", epilog="Example: driftgate base retire minilm --why 'replaced by bge-small'")
def retire(ctx: typer.Context, name: BaseName, why: Why, as_json: AsJson = False) -> None:
    """Let nothing new be trained on a base, nor promoted; what is in production goes on answering."""
    with open_parts(ctx) as parts:
        with parts.database.write() as session:
            retire_base(session, name, why=why, by=person(), now=parts.clock())
        view, _ = _shown(parts, name)
        show(view, f"base {name!r} is retired: nothing new is trained on it or promoted", as_json=as_json)


@app.command("list", epilog="Example: driftgate base list --json")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All bases."""
    with open_parts(ctx) as parts, parts.database.read() as session:
        bases = list_bases(session)
        rows = [_row(base, spec_from_json(base.spec)) for base in bases]
        show(
            {"bases": [base_view(base, base_story(session, base.name)) for base in bases]},
            table(
                ("base", "state", "architecture", "parameters", "pooling", "max rank", "max labels", "licence"),
                rows,
                empty="no base yet; import one with: driftgate base import SOURCE --name NAME",
            ),
            as_json=as_json,
        )


@app.command("show", epilog="Example: driftgate base show minilm")
def show_(ctx: typer.Context, name: BaseName, as_json: AsJson = False) -> None:
    """One base: where it came from, what its card says, what was measured, what fits on it, and its story."""
    with open_parts(ctx) as parts:
        view, drawn = _shown(parts, name)
        show(view, *drawn, as_json=as_json)


def _shown(parts: Parts, name: str) -> tuple[dict[str, Any], list[RenderableType]]:
    """One base for programs, and for people."""
    with parts.database.read() as session:
        base, story = get_base(session, name), base_story(session, name)
    licence = judge_licence(base.license, parts.settings.denied_licences, card_says=card_says_of(base))
    return base_view(base, story), [_drawn(base, licence), *drawn_profile(base.profile), _story(story)]


def _row(base: Base, spec: BaseSpec) -> tuple[object, ...]:
    return (
        base.name,
        base.state,
        spec.architecture,
        spec.parameters,
        base.pooling,
        spec.max_rank,
        spec.max_labels,
        base.license,
    )


def _to_check(unchecked: Sequence[str]) -> list[str]:
    """What an import under a known name leaves to do."""
    if not unchecked:
        return []
    return [
        f"checked on the graph before, and served in fp32 until they are checked again: {', '.join(unchecked)}; "
        "see driftgate model precision, and restart the servers"
    ]


def _next_step(state: str, name: str) -> list[str]:
    if state == "approved":
        return []
    return [f"it is {state}; to train for production on it, say: driftgate base approve {name} --why TEXT"]


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


def _story(story: Sequence[BaseEvent]) -> RenderableType:
    lines = [(event.at, event.kind, event.by, event.message) for event in story]
    return table(("when", "what", "by", "why"), lines, empty="its story begins with what happens next")


def _stated(names: Sequence[str], *, shown: int = 6) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more if names else "not stated"


def _drawn(base: Base, licence: LicenceVerdict) -> RenderableType:
    spec = spec_from_json(base.spec)
    origin = base.card.get("pretrained_on", {})
    published = [
        " ".join(str(one[key]) for key in ("dataset", "metric", "value") if key in one)
        for one in base.card.get("benchmarks", ())
    ]
    targets = sorted({layer.name.rpartition(".")[2] for layer in spec.layers})
    return facts(
        {
            "base": base.name,
            "state": base.state,
            "source": base.source,
            "revision": base.revision,
            "licence": base.license if licence.warning is None else f"{base.license} (warning: {licence.warning})",
            "task": f"{base.task} ({base.modality})",
            "architecture": f"{spec.architecture}, {spec.parameters:,} parameters, hidden size {spec.hidden}",
            "pretrained on": _stated([*origin.get("datasets", ()), *origin.get("base_models", ())]),
            "published": _stated(published),
            "recommended": _stated([f"{key} {value}" for key, value in base.card.get("fine_tuning", {}).items()]),
            "pooling": base.pooling,
            "adapters": f"rank up to {spec.max_rank}, up to {spec.max_labels} labels, on {', '.join(targets)}",
            "a slot takes": f"{spec.slot_bytes / 2**20:.2f} MiB",
            "input": f"{spec.preprocessing}; at most {spec.max_tokens} tokens",
            "speed": _speeds(base),
            "weights": f"sha256 {spec.weights_sha256}",
            "artifact": base.artifact,
            **({"tuned from": base.parent} if base.parent else {}),
            "imported": base.created_at,
        }
    )
