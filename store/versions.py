"""Models, their versions, and the deployment that says which version answers.

Every change of a deployment is one transaction that names the revision it saw: who was slower gets a Conflict
and looks again. Servers notice a change by the revision number.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from store.bases import family_of, get_base, require_promotable
from store.errors import BadInput, Conflict, Refused, unknown
from store.events import tell
from store.records import Adapter, Base, Deployment, Model, Version

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NUMBERS = 2**31
"""Version numbers lie below this; no database is asked for one beyond."""


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What registering a version needs."""

    model: str
    base: str
    adapter_artifact: str
    rank: int
    labels: tuple[str, ...]
    run: str | None = None
    snapshot: str | None = None
    reference: str | None = None
    evaluation: dict[str, Any] | None = None
    state: str = "ready"


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """What a server needs to answer as one version of a model."""

    model: str
    version: int
    base: str
    base_artifact: str
    adapter_artifact: str
    labels: tuple[str, ...]
    precision_checks: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """By precision: rows checked, lost and gained against fp32 (engine.precision.checks_from_json); may be empty."""
    base_speeds: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Tokens/s by precision where the base was imported; may be empty."""


@dataclass(frozen=True, slots=True)
class Route:
    """A deployment as a server sees it."""

    model: str
    revision: int
    production: int | None
    candidate: int | None
    previous: int | None
    stage: str
    traffic_share: float
    unloaded: bool = False
    """Taken out of service until somebody loads it again."""


def check_name(name: str, *, what: str = "model") -> str:
    """`name` itself; raises BadInput if it could not stand in a URL, a metric label and a folder."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{what} name {name!r} is not usable: 1 to 64 letters, digits, '.', '_' or '-', "
            "starting with a letter or digit",
            where=what,
        )
    return name


def register_version(session: Session, new: NewVersion, *, by: str, now: datetime) -> int:
    """Add adapter and version, and the model with its empty deployment if it is new; returns the version number."""
    check_name(new.model)
    family = family_of(session, get_base(session, new.base)).name
    session.get(Base, family, with_for_update={"key_share": True})  # one registration on a base at a time
    model = session.get(Model, new.model)
    if model is None:
        session.add(Model(name=new.model, base=family, created_at=now))
        session.flush()
        session.add(
            Deployment(
                model=new.model,
                production=None,
                candidate=None,
                previous=None,
                stage="none",
                traffic_share=0.0,
                unloaded=False,
                revision=0,
                updated_at=now,
            )
        )
    elif model.base != family:
        raise Refused(
            f"model {new.model!r} stands on base {model.base!r}; a version on {new.base!r} needs another model name"
        )
    highest = session.scalar(select(func.max(Version.number)).where(Version.model == new.model)) or 0
    adapter_id = hashlib.sha256(f"{new.base}\n{new.adapter_artifact}".encode()).hexdigest()
    if session.get(Adapter, adapter_id) is None:
        session.add(
            Adapter(
                id=adapter_id,
                base=new.base,
                artifact=new.adapter_artifact,
                rank=new.rank,
                labels=list(new.labels),
                created_at=now,
            )
        )
        session.flush()
    number = highest + 1
    session.add(
        Version(
            model=new.model,
            number=number,
            adapter=adapter_id,
            run=new.run,
            snapshot=new.snapshot,
            reference=new.reference,
            evaluation=new.evaluation or {},
            state=new.state,
            created_at=now,
        )
    )
    session.flush()
    return number


def get_deployment(session: Session, model: str) -> Deployment:
    deployment = session.get(Deployment, model) if _NAME.fullmatch(model) else None
    if deployment is None:
        raise unknown("model", model, session.scalars(select(Model.name)))
    return deployment


def get_version(session: Session, model: str, number: int) -> Version:
    get_deployment(session, model)
    version = session.get(Version, (model, number)) if 0 < number < _NUMBERS else None
    if version is None:
        numbers = session.scalars(select(Version.number).where(Version.model == model)).all()
        raise unknown("version", str(number), map(str, numbers), hint=f"(of model {model!r})")
    return version


def list_models(session: Session) -> list[Deployment]:
    return list(session.scalars(select(Deployment).order_by(Deployment.model)))


def list_versions(session: Session, model: str) -> list[Version]:
    get_deployment(session, model)
    return list(session.scalars(select(Version).where(Version.model == model).order_by(Version.number)))


def version_states(session: Session, model: str | None = None) -> list[tuple[str, int, str]]:
    """Model, number and state of every version, or of those of `model`, in order."""
    query = select(Version.model, Version.number, Version.state).order_by(Version.model, Version.number)
    if model is not None:
        query = query.where(Version.model == model)
    return [(name, number, state) for name, number, state in session.execute(query)]


def get_adapter(session: Session, version: Version) -> Adapter:
    return session.get_one(Adapter, version.adapter)


_CHANGES = select(func.count(), func.sum(Deployment.revision))


def deployment_changes(session: Session) -> tuple[int, int]:
    """A number pair that changes with every deployment, as revisions only grow; servers poll this."""
    count, revisions = session.connection().execute(_CHANGES).one()
    return count, revisions or 0


def routes(session: Session) -> list[Route]:
    """All deployments."""
    rows = session.execute(
        select(
            Deployment.model,
            Deployment.revision,
            Deployment.production,
            Deployment.candidate,
            Deployment.previous,
            Deployment.stage,
            Deployment.traffic_share,
            Deployment.unloaded,
        ).order_by(Deployment.model)
    )
    return [Route(*row) for row in rows]


def served_version(session: Session, model: str, number: int) -> ServedVersion:
    """What to load for a version. Raises NotFound; Refused for a version that was archived."""
    version = get_version(session, model, number)
    if version.state == "archived":
        raise Refused(f"version {number} of {model!r} is archived and is not served any more")
    adapter = get_adapter(session, version)
    base = session.get_one(Base, adapter.base)
    return ServedVersion(
        model=model,
        version=number,
        base=base.name,
        base_artifact=base.artifact,
        adapter_artifact=adapter.artifact,
        labels=tuple(adapter.labels),
        precision_checks=version.evaluation.get("precision", {}),
        base_speeds=base.speeds,
    )


def promote(
    session: Session,
    model: str,
    number: int,
    *,
    by: str,
    reason: str,
    now: datetime,
    seen_revision: int | None = None,
    **links: str | int,
) -> Deployment:
    """Make version `number` the production version; the one before becomes what `rollback` returns to.

    A person may promote what the gate rejected; the event says who did and why. seen_revision: the revision the
    decision was based on, if it was based on one; a later one is a Conflict. Raises NotFound; Conflict; Refused for
    a version that is archived, or whose base is not approved.
    """
    deployment = get_deployment(session, model)
    version = get_version(session, model, number)
    if version.state == "archived":
        raise Refused(f"version {number} of {model!r} is archived; it cannot be promoted")
    if deployment.production == number:
        raise Conflict(f"version {number} of {model!r} is in production already")
    base = session.get_one(Base, get_adapter(session, version).base)
    require_promotable(family_of(session, base), model=model, version=number)
    _change(session, deployment, seen_revision, now=now, **_settled(number, previous=deployment.production))
    tell(session, model, "promoted", reason, by=by, now=now, version=number, **links)
    return deployment


def rollback(session: Session, model: str, *, by: str, reason: str, now: datetime) -> Deployment:
    """Return to the version that was in production before. Raises NotFound, Conflict if there is none."""
    deployment = get_deployment(session, model)
    if deployment.previous is None:
        raise Conflict(f"model {model!r} has no earlier production version to return to")
    back_to = deployment.previous
    _change(session, deployment, None, now=now, **_settled(back_to, previous=deployment.production))
    tell(session, model, "rolled_back", reason, by=by, now=now, version=back_to)
    return deployment


def archive_version(session: Session, model: str, number: int, *, by: str, now: datetime) -> None:
    """Take a version out of service for good. Raises Conflict while it is deployed."""
    version = get_version(session, model, number)
    deployment = get_deployment(session, model)
    if number in (deployment.production, deployment.candidate):
        raise Conflict(f"version {number} of {model!r} is deployed; promote another one first")
    previous = None if deployment.previous == number else deployment.previous
    _change(session, deployment, None, now=now, previous=previous)  # a new revision: servers look again
    version.state = "archived"
    tell(session, model, "archived", f"version {number} archived", by=by, now=now, version=number)


def set_unloaded(session: Session, model: str, unloaded: bool, *, by: str, now: datetime) -> Deployment:
    """Take a model out of service on every server, or put it back; nothing happens if it is so already.

    The deployment itself stays: what is loaded again is what would be served by now. Raises NotFound, Conflict.
    """
    deployment = get_deployment(session, model)
    if deployment.unloaded != unloaded:
        _change(session, deployment, None, now=now, unloaded=unloaded)
        kind, what = ("unloaded", "taken out of service") if unloaded else ("loaded", "put back into service")
        tell(session, model, kind, what, by=by, now=now)
    return deployment


def keep_precision_checks(
    session: Session, model: str, number: int, checks: Mapping[str, Any], *, reason: str, by: str, now: datetime
) -> None:
    """Keep what a check of a version's precisions found, in place of what an earlier one did, and tell it.

    A deployed version gets a new revision, so that servers look again. Raises NotFound.
    """
    version = get_version(session, model, number)
    deployment = get_deployment(session, model)
    version.evaluation = {**version.evaluation, "precision": {**version.evaluation.get("precision", {}), **checks}}
    if number in (deployment.production, deployment.candidate, deployment.previous):
        _change(session, deployment, None, now=now)
    tell(session, model, "precision_checked", reason, by=by, now=now, version=number)


def forget_precision_checks(session: Session, base: str, *, reason: str, by: str, now: datetime) -> list[str]:
    """Forget what was found of the versions on `base`, as `model:version`: a check holds for the graph it was made on.

    Deployed versions get a new revision, so that servers look again, and serve them in fp32.
    """
    on_base = select(Version).join(Adapter, Adapter.id == Version.adapter).where(Adapter.base == base)
    checked = [version for version in session.scalars(on_base) if version.evaluation.get("precision")]
    for version in checked:
        version.evaluation = {key: value for key, value in version.evaluation.items() if key != "precision"}
        deployment = get_deployment(session, version.model)
        if version.number in (deployment.production, deployment.candidate, deployment.previous):
            _change(session, deployment, None, now=now)
        tell(session, version.model, "precision_checked", reason, by=by, now=now, version=version.number)
    return [f"{version.model}:{version.number}" for version in checked]


def _settled(production: int, *, previous: int | None) -> dict[str, Any]:
    """The columns of a deployment without a rollout."""
    return {
        "production": production,
        "previous": previous,
        "candidate": None,
        "stage": "none",
        "traffic_share": 0.0,
    }


def _change(
    session: Session, deployment: Deployment, seen_revision: int | None, *, now: datetime, **columns: Any
) -> None:
    seen = deployment.revision if seen_revision is None else seen_revision
    swapped = session.scalar(
        update(Deployment)
        .where(Deployment.model == deployment.model, Deployment.revision == seen)
        .values(**columns, revision=Deployment.revision + 1, updated_at=now)
        .returning(Deployment.revision)
    )
    if swapped is None:
        raise Conflict(
            f"the deployment of {deployment.model!r} changed meanwhile "
            f"(seen: revision {seen}); look at it again and decide anew"
        )
    session.refresh(deployment)
