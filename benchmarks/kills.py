"""kill -9 at random points of a deployment, during backfills and during model changes.

    python -m benchmarks.kills [--kills 200] [--recordings 600] [--seed 1] [--json]

Code server, daemon and warm worker run as under systemd, the database server with its supervisor.
In turn, until all kills are spent: the chunk size in the settings is changed and a backfill of all
assets over all partitions is launched as by the UI's button; then a second embedding model is
added, built, switched to, and the first retired. As soon as a run works on it, a process of the
deployment is killed every 0.3 to 3 s: a run worker, the warm worker, the daemon, the code server,
the postmaster, one of its backends, or the supervisor. After a phase's last kill everything must
settle by itself, with nothing lost or duplicated. One row per phase; a complaint is any count of
``answer_quality.py`` that is not 0. The exit code is 1 if there are any.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import click
import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES

from benchmarks import answer_quality, seeding
from benchmarks.deployment import Deployment, KillPlan
from benchmarks.environments import Home, json_option, print_rows, temporary_home, wait_until
from pipeline_assets.runs import IN_PROGRESS_STATUSES
from playhead.core.records import STAGES
from playhead.services.model_switch import ModelSwitch
from resources.dagster_storage import DATABASE_ERRORS

_TIMEOUT_SECONDS = 1200.0
_START_SECONDS = 180.0
_SETTLED_SECONDS = 12.0  # without new runs: a retry by Dagster takes some seconds
_SENTENCES = 7
_SIZES = cycle([16, 24, 32, 20, 28, 14])
_MODELS = cycle(["wordllama", "stub"])
_LAUNCH = """mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""


@dataclass(frozen=True, slots=True)
class Row:
    """A phase.

    ``converged``: seconds from the last kill until all was settled, None if it never was; ``end``:
    the state of the backfill or the plan; ``made_again``: attempts at results beyond the first;
    ``embedded_again``: texts embedded again; ``outdated``: partitions whose newest materialization
    in Dagster is of an earlier result, after a backfill.
    """

    phase: str
    kills: int
    victims: str
    seconds: float
    converged: float | None
    end: str
    runs: int
    made_again: int
    embedded_again: int
    outdated: int | None
    complaints: str
    load_average: float


@dataclass(frozen=True, slots=True)
class _Phase:
    """The work to start under the deployment, and its end state once it has ended."""

    name: str
    start: Callable[[Deployment], None]
    end_state: Callable[[], str | None]


def trial(home: Home, kills: int, per_phase: int, recordings: int, seed: int) -> Iterator[Row]:
    rng = random.Random(seed)
    ids = seeding.seed(home.services, home.instance, recordings, _SENTENCES)
    left = kills
    for phase in cycle([_backfill(home), _model_change(home)]):
        if phase.name == "backfill":
            size = {"size": next(_SIZES), "overlap": 0, "minimum": 8}
            os.environ["PLAYHEAD_CHUNKING"] = json.dumps({"recording": size})
        row = _run(home, phase, min(left, per_phase), ids[:], rng)
        left -= row.kills
        yield row
        if left <= 0:
            return


def _run(home: Home, phase: _Phase, kills: int, ids: list[str], rng: random.Random) -> Row:
    before = (
        _runs(home),
        answer_quality.count_repeated_attempts(home),
        answer_quality.count_repeated_embeddings(home),
    )
    with Deployment(home, rng) as deployment:
        phase.start(deployment)
        wait_until(lambda: _has_started(home), seconds=_START_SECONDS, every=0.1)
        start_time = time.monotonic()
        killing = deployment.kill(kills)
        settled_at, end = _wait_until_settled(home, phase, killing)
        end_time = time.monotonic() if settled_at is None else settled_at
        last_kill = killing.last
        if phase.name == "model change":
            _switch(home)
        found = {name: n for name, n in answer_quality.count_complaints(home, ids).items() if n}
        return Row(
            phase=phase.name,
            kills=killing.done.total(),
            victims=json.dumps(dict(sorted(killing.done.items()))),
            seconds=round(end_time - start_time, 1),
            converged=None if settled_at is None else round(max(0.0, settled_at - last_kill), 1),
            end=end,
            runs=_runs(home) - before[0],
            made_again=answer_quality.count_repeated_attempts(home) - before[1],
            embedded_again=answer_quality.count_repeated_embeddings(home) - before[2],
            outdated=answer_quality.count_outdated_in_dagster(home)
            if phase.name == "backfill"
            else None,
            complaints=json.dumps(found) if found else "",
            load_average=round(os.getloadavg()[0], 1),
        )


def _backfill(home: Home) -> _Phase:
    """Return the backfill of all assets over all partitions, as the UI's button launches it."""

    def start(deployment: Deployment) -> None:
        params = {
            "assetSelection": [{"path": [stage]} for stage in STAGES],
            "allPartitions": True,
            "tags": [],
        }
        wait_until(lambda: _launch_backfill(home, deployment, params), seconds=_START_SECONDS)

    def end_state() -> str | None:
        newest = home.instance.get_backfills(limit=1)[0]
        finished = newest.status in BULK_ACTION_TERMINAL_STATUSES
        return newest.status.value if finished else None

    return _Phase("backfill", start, end_state)


def _launch_backfill(home: Home, deployment: Deployment, params: dict[str, Any]) -> bool:
    answer = home.log.with_name("answer.json")
    answer.unlink(missing_ok=True)
    query = ["-t", _LAUNCH, "-v", json.dumps({"params": params}), "-o", str(answer)]
    process = home.start("dagster-graphql", "-w", str(deployment.workspace), *query)
    process.wait()
    return answer.exists() and "LaunchBackfillSuccess" in answer.read_text()


def _model_change(home: Home) -> _Phase:
    """Return the change of the model by the command line, as a person does it."""

    def start(_: Deployment) -> None:
        home.run("playhead", "models", "add", next(_MODELS))

    def end_state() -> str | None:
        return (
            None
            if home.services.pipeline.plans.under_way()
            else home.services.pipeline.plans.all()[-1].state
        )

    return _Phase("model change", start, end_state)


def _switch(home: Home) -> None:
    """Activate the new set, retire the previous one, and update the settings.

    The evaluation is skipped, since seeded sentences have no meaning.
    """
    services = answer_quality.current_services(home)
    before, built = services.search.embedding_sets.live()
    services.search.embedding_sets.activate(built)
    os.environ["PLAYHEAD_EMBEDDER"] = built.name
    ModelSwitch(services, services.engines.embedders).retire(before)


def _wait_until_settled(home: Home, phase: _Phase, killing: KillPlan) -> tuple[float | None, str]:
    """Return the time since which nothing is running, and the end state."""
    deadline, since, end = time.monotonic() + _TIMEOUT_SECONDS, None, "never"
    while time.monotonic() < deadline:
        found = None
        with suppress(*DATABASE_ERRORS):
            found = phase.end_state() if _is_idle(home) else None
        since, end = (since or time.monotonic(), found) if found else (None, end)
        if since and killing.left:
            killing.left = 0  # no work is left to interrupt
        if since and time.monotonic() - since > _SETTLED_SECONDS:
            return since, end
        time.sleep(0.5)
    return None, end


def _is_idle(home: Home) -> bool:
    unfinished = dg.RunsFilter(statuses=IN_PROGRESS_STATUSES)
    return home.idle and not home.instance.get_runs_count(unfinished)


def _has_started(home: Home) -> bool:
    return bool(home.instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])))


def _runs(home: Home) -> int:
    return home.instance.get_runs_count()


@click.command()
@click.option("--kills", type=click.IntRange(min=0), default=200, show_default=True)
@click.option("--a-phase", "a_phase", type=click.IntRange(min=0), default=14, show_default=True)
@click.option("--recordings", type=click.IntRange(min=10), default=600, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Of moments and victims.")
@click.option("--keep-log", type=click.Path(path_type=Path), help="Where to keep all logs.")
@json_option
def main(
    kills: int, per_phase: int, recordings: int, seed: int, keep_log: Path | None, as_json: bool
) -> None:
    """Run KILLS in all, at most so many per phase, over this many RECORDINGS."""
    rows: list[Row] = []
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # the database is killed on purpose
    with temporary_home(transcriber="stub", embedder="stub", chunking=seeding.CHUNKING) as home:
        os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
        try:
            for row in trial(home, kills, per_phase, recordings, seed):
                rows.append(row)
                print_rows([row], as_json=as_json)
        finally:
            if keep_log:
                keep_log.write_bytes(home.log.read_bytes())
    sys.exit(1 if any(row.complaints or row.converged is None for row in rows) else 0)


if __name__ == "__main__":
    main()
