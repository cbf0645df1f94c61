"""The operators' pages of experiments: what runs, what it has shown, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounts import experiments
from accounts.errors import AccountsError, InvalidValueError
from accounts.experiment_report import METRICS, UNITS, Report, report
from accounts.experiments import Plan, Variant
from accounts.rollout_record import canary_beside, require_apart
from accounts.sequential import Interval
from accounts.service import Service
from console.form import Form
from console.pages import Pages, see_other
from console.staff import require_right
from console.visit import Visit, Visits

FIELDS = ("name", "model", "variants", "sticky_by", "percent")
TITLES = {"failed": "Failed", "wrong": "Wrong", "unsure": "Unsure", "milliseconds": "Mean time"}
VERDICTS = {"better": "good", "worse": "bad", "alike": "", "open": "warned"}
WIDTH = 320


@dataclass(frozen=True)
class Bar:
    """An interval of a plot: places in its width, and what it says."""

    low: float
    high: float
    at: float
    text: str
    verdict: str


def experiment_pages(service: Service, visits: Visits, pages: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    database = service.database

    def render_list(
        request: Request,
        visit: Visit,
        error: AccountsError | None = None,
        form: Mapping[str, Any] | None = None,
    ) -> Response:
        with database.read() as session:
            listed = experiments.listed(session)
        values: dict[str, Any] = {
            "experiments": listed,
            "models": service.settings.model_names,
            "form": {name: str((form or {}).get(name, "")) for name in FIELDS},
        }
        if error is not None:
            return pages.refused(request, visit, "experiments", error, **values)
        return pages.render(request, visit, "experiments", **values)

    @router.get("/operator/experiments")
    def list_experiments(request: Request) -> Response:
        visit, _ = require_right(visits, request, "operations")
        return render_list(request, visit)

    @router.post("/operator/experiments")
    def start(request: Request, form: Form) -> Response:
        visit, login = require_right(visits, request, "experiments")
        try:
            visits.require_own_form(request, visit, form)
            plan = _plan(form)
            require_apart(service.settings, plan)
            with database.write() as session:
                experiments.start(session, plan, login.account_id)
        except AccountsError as error:
            return render_list(request, visit, error, form)
        return see_other(f"/operator/experiments/{plan.name}")

    @router.get("/operator/experiments/{name}")
    def show(request: Request, name: str) -> Response:
        visit, _ = require_right(visits, request, "operations")
        with database.read() as session:
            found = report(session, experiments.find(session, name))
        return pages.render(
            request,
            visit,
            "experiment",
            report=found,
            beside=canary_beside(service.settings, found.experiment),
            plots=plots(found),
            titles=TITLES,
            columns=[[title] for title in TITLES.values()],
            figures={v.name: {m: figure(v.figures[m], m) for m in METRICS} for v in found.variants},
            verdicts=VERDICTS,
            width=WIDTH,
        )

    @router.post("/operator/experiments/{name}/stop")
    def stop(request: Request, name: str, form: Form) -> Response:
        visit, login = require_right(visits, request, "experiments")
        visits.require_own_form(request, visit, form)
        with database.write() as session:
            experiments.stop(session, name, login.account_id, str(form.get("why", "")))
        return see_other(f"/operator/experiments/{name}")

    return router


def figure(found: Interval, metric: str, sign: str = "") -> tuple[str, str]:
    """A figure, and its interval, empty where none is known; no line ends within either."""
    factor, unit = UNITS[metric]
    texts = [f"{factor * found.value:{sign}.1f} {unit}", ""]
    if found.low is not None and found.high is not None:
        texts[1] = f"{factor * found.low:{sign}.1f} to {factor * found.high:{sign}.1f}"
    value, ends = (text.replace(" ", "\u00a0").replace("-", "\u2212") for text in texts)
    return value, ends


def plots(found: Report) -> dict[str, list[tuple[str, Bar | None]]]:
    """By metric, each variant's difference from the control; None where no interval is known."""
    drawn: dict[str, list[tuple[str, Bar | None]]] = {}
    for metric in METRICS:
        compared = [
            (v.name, c) for v in found.variants for c in v.comparisons if c.metric == metric
        ]
        ends = [
            abs(end) for _, c in compared for end in (c.difference.low, c.difference.high) if end
        ]
        reach = max(ends, default=0) * 1.1 or 1.0

        def place(value: float, reach: float = reach) -> float:
            return round(WIDTH * (value / reach + 1) / 2, 1)

        drawn[metric] = [
            (
                name,
                Bar(
                    place(c.difference.low),
                    place(c.difference.high),
                    place(c.difference.value),
                    "{} ({})".format(*figure(c.difference, metric, "+")),
                    c.verdict,
                )
                if c.difference.low is not None and c.difference.high is not None
                else None,
            )
            for name, c in compared
        ]
    return drawn


def _plan(form: Mapping[str, Any]) -> Plan:
    """Raises InvalidValueError."""
    variants = []
    for line in str(form.get("variants", "")).splitlines():
        parts = line.split()
        if not parts:
            continue
        share_text = "".join(parts[3:]) or "1"
        if len(parts) not in (3, 4) or not share_text.isdecimal() or len(share_text) > 4:
            raise InvalidValueError(
                f"{line[:60]!r} is no line of name, revision, URL and perhaps a share", "variants"
            )
        name, revision, target = parts[:3]
        variants.append(Variant(name, revision, target, int(share_text)))
    percent = str(form.get("percent", "")).strip() or "100"
    if not percent.isdecimal() or len(percent) > 3:
        raise InvalidValueError("percent is 0 to 100", "percent")
    return Plan(
        str(form.get("name", "")).strip(),
        str(form.get("model", "")),
        tuple(variants),
        str(form.get("sticky_by", "")).strip() or experiments.CUSTOMER,
        int(percent),
    )
