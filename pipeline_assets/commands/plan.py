"""``python -m pipeline_assets.commands.plan``: estimate a rebuild and open a plan.

Lists missing and outdated results with their cost. Started by ``playhead plan``. This is an entry
point; no module imports it. Workers and sensors carry out the plan (``planning/plan_runs.py``).
"""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import click

from pipeline_assets.assets.desired_recipes import desired_recipes
from pipeline_assets.commands.entry_point import run
from pipeline_assets.planning.estimates import (
    UNPLANNED_REASONS,
    EstimateLine,
    price_lines,
    total_usd,
)
from playhead.cli.output import Column, emit
from playhead.core.errors import NotFound
from playhead.core.records import STAGES, Kind, Stage
from playhead.core.settings import load_settings
from playhead.core.spend_confirmation import require_confirmation
from playhead.engines.registry import build_engines
from playhead.postgres.pipeline.plans import Plan, Scope
from playhead.services.context import PipelineServices, open_pipeline_services


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The validated options of ``playhead plan``. ``since`` is an ISO 8601 date."""

    org: str | None
    kind: Kind | None
    since: str | None
    stage: Stage | None
    apply: bool
    confirm_usd: float | None
    batch: bool
    listed: bool
    cancel: int | None
    as_json: bool

    @property
    def scope(self) -> Scope:
        first = STAGES.index(self.stage) if self.stage else 0
        since = datetime.fromisoformat(self.since).astimezone() if self.since else None
        return Scope(self.org, self.kind, since, STAGES[first:])


def main(options: PlanOptions) -> None:
    settings = load_settings()
    with open_pipeline_services(settings, build_engines(settings)) as services:
        if options.cancel is not None:
            _cancel(services, options.cancel)
        elif options.listed:
            emit(
                services.pipeline.plans.all(),
                as_json=options.as_json,
                text=_format_plan,
                empty="No plans yet: playhead plan --apply",
            )
        else:
            lines = estimate(services, options.scope, batch=options.batch)
            emit(
                lines,
                as_json=options.as_json,
                columns=_COLUMNS,
                empty="Everything is up to date.",
            )
            if options.apply:
                _apply(services, options, lines)


def estimate(services: PipelineServices, scope: Scope, *, batch: bool) -> list[EstimateLine]:
    """Return the differences in ``scope`` with their estimated cost."""
    desired = desired_recipes(services)
    differences = services.pipeline.plans.differences(desired, scope)
    return price_lines(services, differences, desired, batch=batch)


def _apply(services: PipelineServices, options: PlanOptions, lines: Sequence[EstimateLine]) -> None:
    if all(line.reason in UNPLANNED_REASONS for line in lines):
        return
    usd = total_usd(lines)
    require_confirmation(usd, options.confirm_usd, services.settings.confirm_above_usd)
    plan = services.pipeline.plans.open(
        options.scope,
        author=getpass.getuser(),
        estimated_usd=usd,
        confirmed_usd=options.confirm_usd,
        batch=options.batch,
    )
    if plan is None:  # impossible: only the plan of a set may be open already
        raise RuntimeError("the plan was not opened")
    click.echo(
        f"Plan {plan.id} is open. The sensors or `playhead process` run it. "
        f"To cancel it: playhead plan --cancel {plan.id}",
        err=True,
    )


def _cancel(services: PipelineServices, identity: int) -> None:
    if not services.pipeline.plans.cancel(identity):
        raise NotFound(
            f"Plan {identity} is not open.", remedy="`playhead plan --list` lists all plans."
        )
    click.echo(f"Plan {identity} is cancelled; finished results stay.")


def _format_plan(plan: Plan) -> str:
    target = f"set {plan.set_id}" if plan.set_id else "+".join(plan.stages)
    limits = [str(limit) for limit in (plan.org_id, plan.kind, plan.since) if limit]
    scope = " ".join(limits) or "everything"
    return (
        f"{plan.id:4d}  {plan.state:<9}  {target}  {scope}  by {plan.author}, "
        f"{plan.created_at:%Y-%m-%d %H:%M}, ${plan.estimated_usd:.2f}"
    )


def _format_reason(line: EstimateLine) -> str:
    return f"{line.reason}: {', '.join(line.moved)}" if line.moved else line.reason


def _format_maximum(line: EstimateLine, number: str) -> str:
    """Mark a number of a downstream stage as a maximum."""
    return f"≤ {number}" if line.reason == "downstream" else number


def _format_seconds(line: EstimateLine) -> str:
    return "?" if line.seconds is None else _format_maximum(line, f"{line.seconds:,.0f} s")


_COLUMNS = (
    Column[EstimateLine]("stage", lambda line: line.stage),
    Column[EstimateLine]("set", lambda line: line.set or "", numeric=True),
    Column[EstimateLine]("what", _format_reason),
    Column[EstimateLine](
        "recordings", lambda line: _format_maximum(line, f"{line.recordings:,}"), numeric=True
    ),
    Column[EstimateLine](
        "calls", lambda line: _format_maximum(line, f"{line.calls:,}"), numeric=True
    ),
    Column[EstimateLine](
        "tokens", lambda line: _format_maximum(line, f"{line.tokens:,}"), numeric=True
    ),
    Column[EstimateLine](
        "US$", lambda line: _format_maximum(line, f"{line.usd:.2f}"), numeric=True
    ),
    Column[EstimateLine]("time", _format_seconds, numeric=True),
)


if __name__ == "__main__":
    run(lambda: main(PlanOptions(**json.loads(sys.argv[1]))))
