"""Experiments: several revisions of a model beside each other, each customer always at one.

An experiment names targets, not revisions alone: where a revision answers, as a URL. The first
variant is the control, which the others are compared with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from accounts import audit
from accounts.clock import now_ms
from accounts.errors import ConflictError, InvalidValueError, NotFoundError
from accounts.keys import MODEL_NAME
from accounts.tables import Experiment

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
REVISION = re.compile(r"[A-Za-z0-9._-]{1,63}")
CUSTOMER, KEY = "customer", "key"
HEADER = re.compile(r"header:(x-subject(?:-[a-z0-9-]{1,32})?)")
"""The edge hands no other headers to the check."""
MAX_VARIANTS = 8
MAX_SHARE = 1000
MAX_RUNNING = 50
CLUSTER_LOCAL = ".svc.cluster.local"
LOCAL_HOSTS = ("127.0.0.1", "localhost")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class Variant:
    """Attributes:
    revision: of the model, that the target answers as; others' answers are told apart.
    target: ``http://host[:port]`` of a transformer, within the cluster or on this machine.
    share: a weight; 1 and 1 are halves.
    """

    name: str
    revision: str
    target: str
    share: int = 1


@dataclass(frozen=True)
class Shadow:
    """A revision that gets copies of requests, and whose answers nobody sees.

    Attributes:
        percent: of the model's requests with a key.
    """

    revision: str
    target: str
    percent: int = 100


@dataclass(frozen=True)
class Plan:
    """An experiment as it is asked for.

    Attributes:
        sticky_by: ``customer``, ``key`` or ``header:x-subject…``.
        percent: of all subjects, how many take part.
    """

    name: str
    model: str
    variants: tuple[Variant, ...]
    sticky_by: str = CUSTOMER
    percent: int = 100
    shadow: Shadow | None = None


@dataclass(frozen=True)
class ExperimentView(Plan):
    """An experiment as it is stored."""

    created_ms: int = 0
    shares_ms: int = 0
    stopped_ms: int | None = None

    @property
    def control(self) -> Variant:
        return self.variants[0]


def start(session: Session, plan: Plan, actor_id: str, why: str = "") -> ExperimentView:
    """Begin an experiment.

    Raises:
        InvalidValueError: a value that cannot be taken.
        ConflictError: the name was used before, or another one of the model is running.
    """
    plan = _checked(plan)
    if session.get(Experiment, plan.name) is not None:
        raise ConflictError(f"there has been an experiment {plan.name}: name it otherwise", "name")
    others = running(session.connection())
    for other in others:
        if other.model == plan.model:
            raise ConflictError(f"{other.name} of model {plan.model} is running: stop it first")
    if len(others) >= MAX_RUNNING:
        raise ConflictError(f"{MAX_RUNNING} experiments are running")
    row = Experiment(
        name=plan.name,
        model=plan.model,
        sticky_by=plan.sticky_by,
        percent=plan.percent,
        variants=_written(plan.variants),
        shadow=json.dumps(asdict(plan.shadow)) if plan.shadow else "",
        created_ms=(now := now_ms()),
        shares_ms=now,
    )
    session.add(row)
    session.flush()
    audit.record(session, "experiment started", "", actor_id, f"{plan.name} of {plan.model}", why)
    return _view(row)


def set_shares(
    session: Session,
    name: str,
    shares: dict[str, int],
    actor_id: str,
    percent: int | None = None,
    why: str = "",
) -> ExperimentView:
    """Change the shares of variants, and how many subjects take part.

    Who is where changes for as few as can be: a larger share takes subjects from the others, and
    none moves between two whose shares stay.

    Raises:
        NotFoundError: no such experiment is running.
        InvalidValueError: a variant that it does not have, no share, or nothing to change.
    """
    row = _running_row(session, name)
    if not shares and percent is None:
        # Or what was counted until now would be left out for nothing.
        raise InvalidValueError("name a variant's share, or a percent", "shares")
    view = _view(row)
    if unknown := sorted(set(shares) - {variant.name for variant in view.variants}):
        raise InvalidValueError(f"{name} has no variant {unknown[0]}", "shares")
    variants = tuple(replace(v, share=shares.get(v.name, v.share)) for v in view.variants)
    plan = replace(view, variants=variants, percent=view.percent if percent is None else percent)
    _checked(plan)
    row.variants, row.percent = _written(plan.variants), plan.percent
    row.shares_ms = now_ms()
    said = " ".join(f"{v.name}={v.share}" for v in plan.variants)
    detail = f"{name}: {said}, {plan.percent} %"
    audit.record(session, "experiment changed", "", actor_id, detail, why)
    return _view(row)


def stop(session: Session, name: str, actor_id: str, why: str = "") -> ExperimentView:
    """End an experiment; its subjects are answered as everybody else is.

    Raises:
        NotFoundError: no such experiment is running.
    """
    row = _running_row(session, name)
    row.stopped_ms = now_ms()
    audit.record(session, "experiment stopped", "", actor_id, name, why)
    return _view(row)


def find(session: Session, name: str) -> ExperimentView:
    """Raises NotFoundError."""
    row = session.get(Experiment, name)
    if row is None:
        raise NotFoundError(f"there is no experiment {name[:40]}")
    return _view(row)


def listed(session: Session, count: int = 100) -> list[ExperimentView]:
    """The newest first."""
    query = select(Experiment).order_by(Experiment.created_ms.desc(), Experiment.name).limit(count)
    return [_view(row) for row in session.scalars(query)]


def running(connection: Connection) -> list[ExperimentView]:
    """Those that requests may be part of now."""
    rows = connection.execute(
        select(Experiment.__table__)
        .where(Experiment.stopped_ms.is_(None))
        .order_by(Experiment.name)
    )
    return [_view(row) for row in rows]


def _running_row(session: Session, name: str) -> Experiment:
    row = session.get(Experiment, name)
    if row is None or row.stopped_ms is not None:
        raise NotFoundError(f"no experiment {name[:40]} is running")
    return row


def _written(variants: Sequence[Variant]) -> str:
    return json.dumps([asdict(variant) for variant in variants])


def _view(row: Any) -> ExperimentView:
    """Of a mapped object, or of a row with the same names."""
    return ExperimentView(
        row.name,
        row.model,
        tuple(Variant(**item) for item in json.loads(row.variants)),
        row.sticky_by,
        row.percent,
        Shadow(**json.loads(row.shadow)) if row.shadow else None,
        row.created_ms,
        row.shares_ms,
        row.stopped_ms,
    )


def _checked(plan: Plan) -> Plan:
    """The plan with its targets in one form; raises InvalidValueError."""
    _require(NAME.fullmatch(plan.name), f"{plan.name[:40]!r} is no name such as new-shirt", "name")
    _require(MODEL_NAME.fullmatch(plan.model), f"{plan.model[:40]!r} is no model's name", "model")
    if plan.sticky_by not in (CUSTOMER, KEY) and not HEADER.fullmatch(plan.sticky_by):
        raise InvalidValueError(
            "sticky_by is customer, key or header:x-subject, with more after a hyphen", "sticky_by"
        )
    _require(0 <= plan.percent <= 100, "percent is 0 to 100", "percent")
    _require(1 <= len(plan.variants) <= MAX_VARIANTS, f"1 to {MAX_VARIANTS} variants", "variants")
    names = [variant.name for variant in plan.variants]
    _require(len(set(names)) == len(names), "two variants have the same name", "variants")
    for variant in plan.variants:
        _require(
            NAME.fullmatch(variant.name), f"{variant.name[:40]!r} is no variant's name", "variants"
        )
        _require(0 <= variant.share <= MAX_SHARE, f"a share is 0 to {MAX_SHARE}", "variants")
        _require(
            REVISION.fullmatch(variant.revision), f"{variant.name} names no revision", "variants"
        )
    _require(any(v.share for v in plan.variants), "no variant has a share", "variants")
    variants = tuple(replace(v, target=checked_target(v.target)) for v in plan.variants)
    shadow = plan.shadow
    if shadow is not None:
        _require(REVISION.fullmatch(shadow.revision), "the shadow names no revision", "shadow")
        _require(1 <= shadow.percent <= 100, "the shadow's percent is 1 to 100", "shadow")
        shadow = replace(shadow, target=checked_target(shadow.target))
    _require(
        len(variants) > 1 or shadow is not None, "one variant is none, without a shadow", "variants"
    )
    return replace(plan, variants=variants, shadow=shadow)


def checked_target(url: str) -> str:
    """``http://host[:port]`` of a place within the cluster or on this machine.

    Requests are sent there with what customers have sent, so it is nowhere else.

    Raises:
        InvalidValueError: another place, or more than host and port.
    """
    refusal = InvalidValueError(
        f"{url[:100]!r} is no target: http://NAME{CLUSTER_LOCAL}, or http://127.0.0.1:PORT",
        "target",
    )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise refusal from None
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
    if parts.scheme != "http" or not bare or not _HOST.fullmatch(host):
        raise refusal
    if not host.endswith(CLUSTER_LOCAL) and host not in LOCAL_HOSTS:
        raise refusal
    return f"http://{host}" + (f":{port}" if port else "")


def _require(condition: object, message: str, field: str) -> None:
    if not condition:
        raise InvalidValueError(message, field)
