"""``python -m pipeline_assets.commands.plan``: estimate a rebuild and open a plan.

Lists missing and outdated results with their cost. Started by ``playhead plan``. This is an entry
point; no module imports it. Workers and sensors carry out the plan (``planning/plan_runs.py``).
"""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import click
from rich.console import Console
from rich.table import Table

from pipeline_assets.assets.desired_recipes import desired_recipes
from pipeline_assets.planning.estimates import (
    UNPLANNED_REASONS,
    EstimateLine,
    price_lines,
    total_usd,
)
from playhead.core.errors import NotFound, PlayheadError
from playhead.core.json_lines import json_line
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
    patient: bool
    listed: bool
    cancel: int | None
    as_json: bool

    @property
    def scope(self) -> Scope:
        first = STAGES.index(self.stage) if self.stage else 0
        since = datetime.fromisoformat(self.since).astimezone() if self.since else None
        return Scope(self.org, self.kind, since, STAGES[first:])


def main(asked: PlanOptions) -> None:
    settings = load_settings()
    with open_pipeline_services(settings, build_engines(settings)) as services:
        if asked.cancel is not None:
            _cancel(services, asked.cancel)
        elif asked.listed:
            _print_plans(services.pipeline.plans.all(), asked.as_json)
        else:
            lines = estimate(services, asked.scope, patient=asked.patient)
            _print_estimate(lines, asked.as_json)
            if asked.apply:
                _apply(services, asked, lines)


def estimate(services: PipelineServices, scope: Scope, *, patient: bool) -> list[EstimateLine]:
    """Return the differences in ``scope`` with their estimated cost."""
    wanted = desired_recipes(services)
    return price_lines(
        services, services.pipeline.plans.differences(wanted, scope), wanted, batch=patient
    )


def _apply(services: PipelineServices, asked: PlanOptions, lines: Sequence[EstimateLine]) -> None:
    if all(line.reason in UNPLANNED_REASONS for line in lines):
        return
    usd = total_usd(lines)
    require_confirmation(usd, asked.confirm_usd, services.settings.confirm_above_usd)
    plan = services.pipeline.plans.open(
        asked.scope,
        author=getpass.getuser(),
        estimated_usd=usd,
        confirmed_usd=asked.confirm_usd,
        batch=asked.patient,
    )
    assert plan is not None, "only a set's plan can be open already"
    click.echo(
        f"Plan {plan.id} is open: the sensors or `playhead process` carry it out; "
        f"`playhead plan --cancel {plan.id}` ends it.",
        err=True,
    )


def _cancel(services: PipelineServices, identity: int) -> None:
    if not services.pipeline.plans.cancel(identity):
        raise NotFound(f"Plan {identity} is not open.", remedy="`playhead plan --list` shows all.")
    click.echo(f"Plan {identity} is cancelled; what it made stays.")


def _print_estimate(lines: Sequence[EstimateLine], as_json: bool) -> None:
    if as_json:
        for line in lines:
            click.echo(json_line(line))
        return
    if not lines:
        click.echo("Everything is as it should be.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "set", "what", "recordings", "calls", "tokens", "US$", "time"):
        table.add_column(column, justify="left" if column in ("stage", "what") else "right")
    for cells in _cells(lines):
        table.add_row(*cells)
    console = Console()
    Console(width=None if console.is_terminal else 160).print(table)


def _cells(lines: Sequence[EstimateLine]) -> Iterator[list[str]]:
    for line in lines:
        what = f"{line.reason}: {', '.join(line.moved)}" if line.moved else line.reason
        most = "≤ " if line.reason == "downstream" else ""
        numbers = (line.recordings, line.calls, line.tokens)
        yield [
            line.stage,
            str(line.set or ""),
            what,
            *(f"{most}{number:,}" for number in numbers),
            f"{most}{line.usd:.2f}",
            "?" if line.seconds is None else f"{most}{line.seconds:,.0f} s",
        ]


def _print_plans(plans: Sequence[Plan], as_json: bool) -> None:
    for plan in plans:
        if as_json:
            click.echo(json_line(plan))
        else:
            what = f"set {plan.set_id}" if plan.set_id else "+".join(plan.stages)
            limits = [str(limit) for limit in (plan.org_id, plan.kind, plan.since) if limit]
            scope = " ".join(limits) or "everything"
            click.echo(
                f"{plan.id:4d}  {plan.state:<9}  {what}  {scope}  by {plan.author}, "
                f"{plan.created_at:%Y-%m-%d %H:%M}, ${plan.estimated_usd:.2f}"
            )
    if not plans and not as_json:
        click.echo("No plans yet: playhead plan --apply")


if __name__ == "__main__":
    try:
        main(PlanOptions(**json.loads(sys.argv[1])))
    except PlayheadError as error:
        click.echo(f"{error}\n{error.remedy}", err=True)
        sys.exit(1)
