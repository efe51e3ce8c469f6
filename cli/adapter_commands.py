"""`driftgate adapter`: brings in adapters that PEFT saved elsewhere."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from cli.data_commands import LabelColumn, TextColumn
from cli.group import command_group
from cli.output import AsJson, facts, show
from cli.parts import open_parts, person
from cli.precision_check import read_check_rows, run_check, tell_checks
from engine.adapter import (
    CONFIG_FILE,
    LABELS_FILE,
    WEIGHTS_FILE,
    AdapterLabels,
    PackedAdapter,
    read_adapter,
    read_labels,
)
from engine.base import BaseSpec, Pooling, spec_from_json
from engine.precision import Precision, PrecisionCheck, checks_to_json
from store.bases import get_base
from store.errors import AdapterRefused, BadInput
from store.events import tell
from store.settings import Settings
from store.versions import NewVersion, check_name, get_version, keep_precision_checks, register_version
from store.versions import promote as promote_version
from store.views import version_view

app = command_group()


@app.command(
    "import", epilog="Example: driftgate adapter import ./my-lora --base minilm --model tickets --labels billing,refund"
)
def import_(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder that PEFT's save_pretrained left.", metavar="FOLDER")],
    base: Annotated[str, typer.Option(help="The base it was trained on.")],
    model: Annotated[str, typer.Option(help="The model that gets a new version; made if it is new.")],
    promote: Annotated[bool, typer.Option("--promote", help="Put the version into production at once.")] = False,
    assume_base: Annotated[
        bool, typer.Option("--assume-base", help="It was made for these very weights, whatever its config names.")
    ] = False,
    labels: Annotated[
        str | None, typer.Option(help="Its labels, with commas, in the order of the head's rows, if it names none.")
    ] = None,
    pooling: Annotated[Pooling | None, typer.Option(help="The pooling it was trained with, if it states none.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Labelled rows that check its faster precisions; none may have trained it.")
    ] = None,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    as_json: AsJson = False,
) -> None:
    """Check a LoRA adapter against its base, store it, and register it as a version of a model.

    Only its config, its safetensors weights and its labels are taken over. What cannot be served is refused, and why.
    """
    check_name(model)
    if not folder.is_dir():
        raise BadInput(f"no folder {str(folder)!r}; name what PEFT's save_pretrained left")
    with open_parts(ctx) as parts, tempfile.TemporaryDirectory(prefix="driftgate-adapter-") as scratch:
        rows = None if data is None else read_check_rows(data, text_column=text_column, label_column=label_column)
        with parts.database.read() as session:
            known = get_base(session, base)
            spec, bundle = spec_from_json(known.spec), known.artifact
        staged = Path(scratch, folder.resolve().name)
        packed = stage_adapter(folder, staged, spec, labels=labels, pooling=pooling, assume_base=assume_base)
        checks = {} if rows is None else run_check(parts, bundle, staged, rows, labels=packed.labels)
        artifact = parts.artifacts.put("adapters", staged)
        now, by = parts.clock(), person()
        new = NewVersion(model=model, base=base, adapter_artifact=artifact, rank=packed.rank, labels=packed.labels)
        with parts.database.write() as session:
            number = register_version(session, new, by=by, now=now)
            told = f"adapter {staged.name!r} imported on base {base!r}: rank {packed.rank}, {len(packed.labels)} labels"
            tell(session, model, "version_registered", told, by=by, now=now, version=number, adapter=artifact)
            if checks:
                told = tell_checks(checks, parts.settings.precision_max_loss)
                keep_precision_checks(session, model, number, checks_to_json(checks), reason=told, by=by, now=now)
            if promote:
                reason = f"version {number} promoted when it was imported"
                promote_version(session, model, number, by=by, reason=reason, now=now)
        with parts.database.read() as session:
            view = version_view(session, get_version(session, model, number)) | {"promoted": promote}
        show(view, facts(view), _about_precision(model, number, checks, parts.settings), as_json=as_json)


def _about_precision(model: str, number: int, checks: Mapping[Precision, PrecisionCheck], settings: Settings) -> str:
    if checks:
        return tell_checks(checks, settings.precision_max_loss)
    return f"it is served in fp32; check faster precisions with: driftgate model precision {model} {number} --data FILE"


def stage_adapter(
    source: Path, staged: Path, spec: BaseSpec, *, labels: str | None, pooling: Pooling | None, assume_base: bool
) -> PackedAdapter:
    """Copy what is needed of `source` to the new folder `staged`, with complete labels, and read it from there.

    Raises AdapterRefused; BadInput where an option contradicts what the folder says itself.
    """
    _require_files(source)
    said = _complete(source, labels, pooling)
    staged.mkdir()
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        shutil.copyfile(source / name, staged / name)
    (staged / LABELS_FILE).write_text(said.as_json(), "utf-8")
    read_adapter(staged, spec, assume_base=assume_base)
    bound = AdapterLabels(said.labels, said.pooling or spec.own_pooling, spec.weights_sha256)
    (staged / LABELS_FILE).write_text(bound.as_json(), "utf-8")
    return read_adapter(staged, spec)


def _require_files(source: Path) -> None:
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (source / name).is_file():
            pickled = (source / "adapter_model.bin").exists() and name == WEIGHTS_FILE
            why = "; a pickle is never loaded, save it with safe_serialization=True" if pickled else ""
            raise AdapterRefused(f"{source} is no PEFT adapter as save_pretrained leaves it: {name} is missing{why}")


def _complete(source: Path, labels: str | None, pooling: Pooling | None) -> AdapterLabels:
    """What the folder says of itself, and the options where it says nothing."""
    given = None if labels is None else tuple(label.strip() for label in labels.split(","))
    if given is not None and "" in given:
        raise BadInput(f"--labels {labels!r} holds an empty label; write them like billing,refund")
    if given is not None and not (source / LABELS_FILE).exists():
        return AdapterLabels(given, pooling)
    try:
        said = read_labels(source)
    except AdapterRefused as error:
        raise AdapterRefused(f"{error}, or name them here with --labels") from None
    if given is not None and given != said.labels:
        raise BadInput(f"--labels says {', '.join(given)}, but {LABELS_FILE} says {', '.join(said.labels)}")
    if pooling is not None and said.pooling not in (None, pooling):
        raise BadInput(f"--pooling says {pooling!r}, but {LABELS_FILE} says {said.pooling!r}")
    return AdapterLabels(said.labels, said.pooling or pooling, said.base_sha256)
