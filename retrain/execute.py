"""One run from snapshot to verdict, in stages that survive a kill.

Each stage leaves its result where the next one looks first: the snapshot in the run's record, checkpoints and the
finished adapter in the run's work folder. What touches the store at the end is one transaction: version, rollout,
promotion and the run's outcome appear together or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError

from engine.adapter import read_adapter, read_labels
from engine.base import BaseSpec, base_record, read_spec, spec_from_json
from engine.cores import usable_cores
from engine.engine import Engine
from engine.precision import speeds_from_json
from retrain.advice import Advice
from retrain.audit import look_with
from retrain.choose import choose_strategy
from retrain.dataset import Row
from retrain.environment import describe_environment, describe_material, gone_on_with
from retrain.evaluate import Evaluation, Servable, Serving, evaluate, hold_out
from retrain.features import FeatureCache
from retrain.gate import GateRules, GateVerdict, judge_candidate
from retrain.holding import Heartbeat, Progress, Reporter, Stopping, Worker
from retrain.licence import require_licence_of
from retrain.shortage import available_memory, told_full_disk, training_device
from retrain.snapshot import build_snapshot, load_snapshot, store_snapshot
from retrain.strategy import TrainingPlan, plan_from_json, plan_training
from retrain.teach import train_on_rows
from retrain.trained import Trained
from retrain.work_folder import clear_work_folder, take_work_folder
from store.artifacts import ArtifactStore
from store.bases import add_base, get_base
from store.errors import Broken, Conflict, DriftgateError, Refused, StoreUnavailable
from store.feedback import labelled_rows, last_feedback_seq
from store.records import Base, Deployment, Run, Snapshot, Version
from store.reference import save_reference
from store.report import REPORT_KIND, save_report
from store.runs import LeaseLost, add_metrics, finish_run, open_rollout, release_run
from store.snapshots import get_snapshot
from store.versions import NewVersion, get_adapter, get_version, promote, register_version

_TRAINING_SHARE = (0.05, 0.82)
_EXPORT_SHARE = (0.82, 0.85)
_EVALUATION_SHARE = (0.88, 0.97)
"""Of what comes after candidate and production have answered."""
_COUNTED_ROWS = 1_000
"""Texts whose mean length stands for that of all."""


@dataclass(frozen=True, slots=True)
class _Data:
    rows: list[Row]
    snapshot: str
    new_after_seq: int | None
    """Feedback after it is new to the production version; None for a first version."""
    production: Version | None
    production_adapter: str | None
    """Artifact of the production version's adapter."""
    production_base: Base | None
    """What that stands on: the run's own base, or one that was tuned from it."""
    seen_revision: int

    def of(self, split: str) -> list[Row]:
        return [row for row in self.rows if row.split == split]

    def starting_point(self) -> dict[str, Any] | None:
        """What a training that begins now starts from, for the record."""
        if self.production is None or self.production_base is None:
            return None
        base = self.production_base
        return {
            "version": self.production.number,
            "artifact": self.production_adapter,
            "backbone": None if base.parent is None else spec_from_json(base.spec).backbone_artifact,
            "feedback_until": self.new_after_seq,
        }

    def production_servable(self, artifacts: ArtifactStore) -> Servable | None:
        if self.production_adapter is None or self.production_base is None:
            return None
        return Servable(artifacts.fetch(self.production_base.artifact), artifacts.fetch(self.production_adapter))


def execute_run(worker: Worker, run: Run, progress: Progress) -> dict[str, Any]:
    """Carry a claimed run to its end; returns what `train --json` prints.

    Raises LeaseLost when another worker took over, Stopping when this one was told to stop, StoreUnavailable when the
    store fell silent: the run goes on once its lease has run out. Any other DriftgateError ends the run as failed and
    is raised again.
    """
    with Heartbeat(worker, run.id) as heartbeat:
        try:
            with told_full_disk(worker.settings.home):
                outcome = _carry_through(worker, run, progress, heartbeat)
        except (LeaseLost, StoreUnavailable):
            raise
        except Stopping:
            with worker.database.write() as session:
                release_run(session, run.id, owner=worker.owner, now=worker.clock())
            raise
        except DriftgateError as error:
            _fail(worker, run, str(error))
            raise
        except (OSError, RuntimeError, SafetensorError):
            heartbeat.confirm()  # the files of a run go with it to whoever takes it over
            raise
    return {**outcome, "run": run.id, "model": run.model}


def _carry_through(worker: Worker, run: Run, progress: Progress, heartbeat: Heartbeat) -> dict[str, Any]:
    report = Reporter(worker, run, progress, heartbeat)
    work = take_work_folder(worker.settings.home, run.id, worker.owner)
    with worker.database.read() as session:
        base = get_base(session, run.base)
    require_licence_of(base, worker.settings.denied_licences)
    bundle = worker.artifacts.fetch(base.artifact)
    spec = read_spec(bundle)

    report("snapshot", 0.01)
    data = _gather(worker, run, bundle)
    environment = _environment(worker, run, bundle, spec, base.artifact, data)
    plan = plan_from_json(environment["plan"])
    report("training", _TRAINING_SHARE[0], snapshot=data.snapshot, environment=environment)
    trained = _train(worker, run, bundle, plan, data, environment["start"], work, report)
    own = _own_base(worker, run, base, spec, trained, report)
    report("evaluation", _EXPORT_SHARE[1])
    stands_on = bundle if own is None else worker.artifacts.fetch(own.artifact)
    evaluation = evaluate(
        bundle,
        hold_out(data.rows, new_after_seq=data.new_after_seq),
        train=data.of("train"),
        candidate=Servable(stands_on, trained.adapter),
        production=data.production_servable(worker.artifacts),
        requires_improvement=run.parameters.get("requires_improvement", True),
        serving=Serving(
            provider=worker.settings.provider,
            precision=worker.settings.precision,
            max_loss=worker.settings.precision_max_loss,
            speeds=speeds_from_json(base.speeds),
        ),
        features=worker.settings.home / "cache" / "features",
        progress=lambda share: report("evaluation", _within(_EVALUATION_SHARE, share)),
    )
    rules = GateRules(margin=worker.settings.gate_margin, alpha=worker.settings.gate_alpha)
    verdict = judge_candidate(evaluation.gate, rules)
    report("gate", 0.97)
    total = _total_parameters(spec, trained)
    version = _conclude(worker, run, own or base, data, trained.adapter, evaluation, verdict)
    clear_work_folder(worker.settings.home, run.id)
    progress("done", 1.0)
    return {
        "version": version,
        "strategy": plan.strategy,
        **({"why": environment["advice"]["why"]} if "advice" in environment else {}),
        "trainable_parameters": trained.figures.trainable_parameters,
        "total_parameters": total,
        "accuracy": evaluation.summary["accuracy"],
        "macro_f1": evaluation.summary["macro_f1"],
        "outcome": verdict.outcome,
        "reason": verdict.reason,
    }


_NOT_TRAINING = frozenset({"feedback_until", "snapshot", "promote", "requires_improvement"})


def _gather(worker: Worker, run: Run, bundle: Path) -> _Data:
    """The rows to train on: the run's own snapshot if it has one, else production's and the labels since."""
    with worker.database.read() as session:
        deployment = session.get(Deployment, run.model)
        number = None if deployment is None else deployment.production
        production = None if number is None else get_version(session, run.model, number)
        adapter = None if production is None else get_adapter(session, production)
        base = None if adapter is None else get_base(session, adapter.base)
        parent = (
            None if production is None or production.snapshot is None else get_snapshot(session, production.snapshot)
        )
    snapshot_id = run.snapshot or run.parameters.get("snapshot") or _close_snapshot(worker, run, bundle, parent)
    return _Data(
        rows=load_snapshot(worker.database, worker.artifacts, snapshot_id),
        snapshot=snapshot_id,
        new_after_seq=None if parent is None else parent.feedback_until,
        production=production,
        production_adapter=None if adapter is None else adapter.artifact,
        production_base=base,
        seen_revision=0 if deployment is None else deployment.revision,
    )


def _close_snapshot(worker: Worker, run: Run, bundle: Path, parent: Snapshot | None) -> str:
    """Take production's snapshot and every label since; later labels may judge what is trained on it."""
    if parent is None:
        raise Refused(
            f"model {run.model!r} has no production version with a snapshot to build on; "
            "train it once from a file: driftgate train --data FILE"
        )
    with worker.database.read() as session:
        until = int(run.parameters.get("feedback_until") or last_feedback_seq(session, run.model))
        labelled = labelled_rows(session, run.model, after_seq=parent.feedback_until, until_seq=until)
    content = build_snapshot(
        load_snapshot(worker.database, worker.artifacts, parent.id),
        labelled,
        seed=0,
        look=look_with(bundle, worker.settings.home / "cache" / "features"),
    )
    return store_snapshot(
        worker.database,
        worker.artifacts,
        content,
        model=run.model,
        parent=parent.id,
        feedback_until=until,
        now=worker.clock(),
    )


def _environment(
    worker: Worker, run: Run, bundle: Path, spec: BaseSpec, base_artifact: str, data: _Data
) -> dict[str, Any]:
    """Everything that is needed to train the same again. A run that goes on keeps what it began with."""
    machine = describe_environment()
    if "start" in run.environment:
        return gone_on_with(run.environment, machine)
    train = data.of("train")
    advice = _advice(worker, bundle, spec, train, data.rows) if run.strategy == "auto" else None
    overrides = {name: value for name, value in run.parameters.items() if name not in _NOT_TRAINING}
    if advice is not None and "batch_rows" not in overrides:
        overrides = {"rows_at_once": advice.rows_at_once, **overrides}
    plan = plan_training(
        spec,
        run.strategy if advice is None else advice.strategy,
        overrides,
        rows=len(train),
        epochs=worker.settings.train_epochs or (None if advice is None else advice.epochs),
        seed=0,
    )
    material = describe_material(spec, base_artifact, data.snapshot, data.rows, data.starting_point())
    told = {} if advice is None else {"advice": {"why": list(advice.why), "rejected": dict(advice.rejected)}}
    return {"plan": plan.as_dict(), **told, **material, **machine}


def _advice(worker: Worker, bundle: Path, spec: BaseSpec, train: Sequence[Row], rows: Sequence[Row]) -> Advice:
    """What the advisor says of the training rows among `rows`, measured on this machine."""
    engine = Engine(bundle, slots=2, lanes=1)
    texts = [row.text for row in train]
    lengths = [row.length_tokens for row in engine.modality.encode(texts[:_COUNTED_ROWS], truncate=True)]
    return choose_strategy(
        spec,
        train,
        FeatureCache(worker.settings.home / "cache" / "features", engine).of(texts, among=[row.text for row in rows]),
        tokens=sum(lengths) / max(1, len(lengths)),
        cores=usable_cores(),
        device=training_device(),
        memory_bytes=available_memory(),
        time_s=worker.settings.train_budget_s,
    )


def _train(
    worker: Worker,
    run: Run,
    bundle: Path,
    plan: TrainingPlan,
    data: _Data,
    start: Mapping[str, Any] | None,
    work: Path,
    report: Reporter,
) -> Trained:
    """What was trained, now or by a worker that was killed later."""

    def on_step(step: int, share: float, figures: Mapping[str, float]) -> None:
        report("training", _within(_TRAINING_SHARE, share))
        if figures:
            with worker.database.write() as session:
                add_metrics(session, run.id, step, figures)

    return train_on_rows(
        worker.artifacts,
        bundle,
        plan,
        data.rows,
        start=start,
        features=worker.settings.home / "cache" / "features",
        work=work,
        on_step=on_step,
    )


def _total_parameters(spec: BaseSpec, trained: Trained) -> int:
    """Of what answers: the backbone with its head and, where there are any, LoRA matrices."""
    head = (spec.hidden + 1) * len(read_labels(trained.adapter).labels)
    return spec.parameters + (trained.figures.trainable_parameters if trained.backbone is None else head)


def _within(part: tuple[float, float], share: float) -> float:
    first, last = part
    return first + (last - first) * share


def _own_base(
    worker: Worker, run: Run, family: Base, spec: BaseSpec, trained: Trained, report: Reporter
) -> Base | None:
    """The base that serves a tuned backbone; None where the adapter stands on the run's own base."""
    if trained.backbone is None:
        return None
    from retrain.tuned_base import export_tuned  # torch again

    name = f"{run.model[:40]}.{run.id[-12:]}"
    labels = len(read_labels(trained.adapter).labels)
    first, last = _EXPORT_SHARE
    own, artifact = export_tuned(
        trained.backbone,
        spec,
        worker.artifacts,
        name=name,
        labels=labels,
        progress=lambda step, share: report("export", first + (last - first) * share),
    )
    return base_record(own, artifact, parent=family.name, speeds=speeds_from_json(family.speeds), now=worker.clock())


def _conclude(
    worker: Worker,
    run: Run,
    base: Base,
    data: _Data,
    adapter: Path,
    evaluation: Evaluation,
    verdict: GateVerdict,
) -> int:
    """Store the artifacts, then write version, rollout, promotion and outcome in one transaction.

    base: what the version stands on; written as well, if it is one of its own.
    """
    packed = read_adapter(adapter, spec_from_json(base.spec), assume_base=True)
    adapter_key = worker.artifacts.put("adapters", adapter)
    with TemporaryDirectory(prefix="driftgate-reference-") as folder:
        save_reference(evaluation.reference, Path(folder))
        reference_key = worker.artifacts.put("references", Path(folder))
    with TemporaryDirectory(prefix="driftgate-report-") as folder:
        save_report(evaluation.report, Path(folder))
        report_key = worker.artifacts.put(REPORT_KIND, Path(folder))
    now = worker.clock()
    wants_promotion = bool(run.parameters.get("promote", worker.settings.auto_promote))
    production = None if data.production is None else data.production.number
    summary = {**evaluation.summary, "gate": verdict.as_dict(), "report": report_key}
    with worker.database.write() as session:
        if base.parent is not None:
            add_base(session, base)
        new = NewVersion(
            model=run.model,
            base=base.name,
            adapter_artifact=adapter_key,
            rank=packed.rank,
            labels=packed.labels,
            run=run.id,
            snapshot=data.snapshot,
            reference=reference_key,
            evaluation=summary,
            state="ready" if verdict.promoted else "rejected",
        )
        number = register_version(session, new, by="worker", now=now)
        rollout = open_rollout(session, run.model, candidate=number, production=production, run=run.id, now=now)
        rollout.evidence = verdict.as_dict()
        rollout.ended_at = now
        rollout.outcome = "rejected"
        reason = verdict.reason
        if verdict.promoted and wants_promotion:
            reason, rollout.outcome = _try_promotion(worker, session, run, data, number, verdict, rollout.id)
        elif verdict.promoted:
            rollout.outcome = "open"
            reason = f"{verdict.reason}; waits for a person: driftgate model promote {run.model} {number}"
        rollout.stage = rollout.outcome
        status = "succeeded" if verdict.promoted else "rejected"
        run_row = session.get_one(Run, run.id)
        run_row.evaluation = summary
        finish_run(session, run.id, owner=worker.owner, status=status, reason=reason, now=now, version=number)
    return number


def _try_promotion(
    worker: Worker, session: Any, run: Run, data: _Data, number: int, verdict: GateVerdict, rollout: str
) -> tuple[str, str]:
    try:
        promote(
            session,
            run.model,
            number,
            by="gate",
            reason=verdict.reason,
            now=worker.clock(),
            seen_revision=data.seen_revision,
            run=run.id,
            rollout=rollout,
            snapshot=data.snapshot,
        )
    except (Conflict, Refused) as error:  # Refused: the base was retired while it was trained on
        return f"passed the gate but was not promoted: {error}", "open"
    return verdict.reason, "promoted"


def _fail(worker: Worker, run: Run, reason: str) -> None:
    try:
        with worker.database.write() as session:
            finish_run(session, run.id, owner=worker.owner, status="failed", reason=reason, now=worker.clock())
    except Broken:
        return  # the store itself is down: the lease runs out and the run is tried again
    clear_work_folder(worker.settings.home, run.id)
