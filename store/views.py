"""Records as plain JSON-ready dictionaries: one shape each for the API, the command line and the console."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm import Session

from store.records import Base, BaseEvent, Check, Deployment, Event, Run, RunMetric, Version
from store.versions import get_adapter, get_deployment, list_versions


def deployment_view(row: Deployment) -> dict[str, Any]:
    return {
        "model": row.model,
        "production": row.production,
        "candidate": row.candidate,
        "previous": row.previous,
        "stage": row.stage,
        "traffic_share": row.traffic_share,
        "revision": row.revision,
        "updated_at": row.updated_at.isoformat(),
    }


def version_view(session: Session, row: Version) -> dict[str, Any]:
    """A version with its lineage: adapter, base, run and snapshot."""
    adapter = get_adapter(session, row)
    return {
        "model": row.model,
        "version": row.number,
        "state": row.state,
        "base": adapter.base,
        "adapter": adapter.id,
        "rank": adapter.rank,
        "labels": adapter.labels,
        "run": row.run,
        "snapshot": row.snapshot,
        "evaluation": row.evaluation,
        "created_at": row.created_at.isoformat(),
    }


def model_view(session: Session, model: str) -> dict[str, Any]:
    """A model with its deployment and versions. Raises NotFound."""
    deployment = get_deployment(session, model)
    versions = [version_view(session, version) for version in list_versions(session, model)]
    return {**deployment_view(deployment), "versions": versions}


def event_view(row: Event) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "at": row.at.isoformat(),
        "kind": row.kind,
        "version": row.version,
        "message": row.message,
        "by": row.by,
        "links": row.links,
    }


def check_view(row: Check) -> dict[str, Any]:
    return {
        "check": row.id,
        "model": row.model,
        "version": row.version,
        "at": row.at.isoformat(),
        "verdict": row.verdict,
        "kinds": row.kinds,
        "signals": row.signals,
        "telling": row.decision.get("telling", []),
        "window_rows": row.window_rows,
        "reference_rows": row.reference_rows,
        "accuracy": row.accuracy,
        "episode": row.decision.get("episode"),
        "concept": row.decision.get("concept"),
        "labels": row.decision.get("labels"),
        "decision": row.decision,
        "report": row.report,
        "report_deleted_at": row.report_deleted_at.isoformat() if row.report_deleted_at else None,
    }


def run_view(row: Run, metrics: Iterable[RunMetric] = ()) -> dict[str, Any]:
    return {
        "run": row.id,
        "model": row.model,
        "base": row.base,
        "status": row.status,
        "stage": row.stage,
        "progress": round(row.progress, 4),
        "cause": row.cause,
        "reason": row.reason,
        "strategy": row.strategy,
        "parameters": row.parameters,
        "environment": row.environment,
        "snapshot": row.snapshot,
        "version": row.version,
        "evaluation": row.evaluation,
        "created_at": row.created_at.isoformat(),
        "started_at": row.started_at.isoformat() if row.started_at else None,
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
        "metrics": [{"step": m.step, "name": m.name, "value": m.value} for m in metrics],
    }


def base_view(row: Base, story: Iterable[BaseEvent]) -> dict[str, Any]:
    return {
        "name": row.name,
        "source": row.source,
        "revision": row.revision,
        "license": row.license,
        "task": row.task,
        "modality": row.modality,
        "pooling": row.pooling,
        "artifact": row.artifact,
        "speeds": row.speeds,
        "state": row.state,
        "parent": row.parent,
        "card": row.card,
        "profile": row.profile,
        "created_at": row.created_at.isoformat(),
        "spec": row.spec,
        "story": [
            {"at": event.at.isoformat(), "kind": event.kind, "message": event.message, "by": event.by}
            for event in story
        ],
    }
