"""The command line with stub engines: exit codes, retries, progress and crashes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import wave
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.rows import DictRow

from playhead.core.settings import Settings
from playhead.postgres.database import Database
from playhead.postgres.database_urls import app_url
from playhead.postgres.migrator import SCHEMA
from tests.end_to_end.conftest import Home

#: Results that a worker has in progress: two batches, and a single one.
IN_PROGRESS = 2 * 16 + 1


def write_tone(path: Path, number: int = 0) -> Path:
    """Write a short unique sound file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(number.to_bytes(4, "little") + bytes(16_000))
    return path


def statuses(home: Home) -> dict[str, str]:
    return {line["title"]: line["status"] for line in home.json("list")}


def count_ready(home: Home) -> int:
    return list(statuses(home).values()).count("ready")


@pytest.mark.slow
def test_killed_workers_lose_no_result_and_the_next_one_continues(home: Home) -> None:
    # More than two batches, since the recordings of a batch are ready at once.
    files = [write_tone(home.folder / f"{number}.wav", number) for number in range(70)]
    home.playhead("add", *files)
    finished: dict[int, DictRow] = {}
    unfinished: set[int] = set()
    for _ in range(2):  # the size of the run pool, whose slots dead runs must not keep
        before = count_ready(home)
        worker = home.start("process")
        deadline = time.monotonic() + 120
        while count_ready(home) == before:
            assert time.monotonic() < deadline, "the worker never finished one"
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        rows = stage_results(home)
        finished |= {key: row for key, row in rows.items() if row["state"] == "done"}
        unfinished |= rows.keys() - finished.keys()
    assert count_ready(home) < len(files), "both were killed too late to show anything"
    home.playhead("process")
    assert set(statuses(home).values()) == {"ready"}
    results = stage_results(home)
    assert len(results) == 5 * len(files)
    assert {row["state"] for row in results.values()} == {"done"}
    assert {key: results[key] for key in finished} == finished, (
        "a finished result was created again"
    )
    repeated = {key for key, row in results.items() if row["attempt"] > 1}
    assert repeated <= unfinished
    assert len(repeated) <= 2 * IN_PROGRESS


def stage_results(home: Home) -> dict[int, DictRow]:
    """Return every stage result by its id."""
    database = Database(app_url(Settings(home=home.folder)))
    try:
        return {row["id"]: row for row in database.rows(b"select * from stage_results")}
    finally:
        database.close()


@pytest.mark.slow
def test_stopped_worker_releases_its_recordings(home: Home) -> None:
    files = [write_tone(home.folder / f"{number}.wav", number) for number in range(30)]
    home.playhead("add", *files)
    worker = home.start("process", "--watch")
    deadline = time.monotonic() + 120
    while "ready" not in statuses(home).values():
        assert time.monotonic() < deadline, "the worker never finished one"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 0, worker.communicate()[0]
    assert "failed" not in statuses(home).values()
    home.playhead("process")
    assert set(statuses(home).values()) == {"ready"}


@pytest.mark.slow
def test_watching_worker_processes_later_recordings(home: Home) -> None:
    worker = home.start("process", "--watch")
    try:
        [added] = home.json("add", write_tone(home.folder / "later.wav"))
        followed = home.playhead("status", added["recording"], "--follow", "--json")
        lines = [json.loads(line) for line in followed.splitlines()]
        assert lines[-1]["status"] == "ready"
        percents = [line["percent"] for line in lines]
        assert percents == sorted(percents)
    finally:
        worker.send_signal(signal.SIGINT)
        assert worker.wait(timeout=60) == 0


def test_retry_resumes_at_the_failed_stage(home: Home) -> None:
    [added] = home.json("add", write_tone(home.folder / "a.wav"))
    media_files = next((home.folder / "media").rglob("*.wav"))
    shutil.move(media_files, home.folder / "kept.wav")
    home.playhead("process", exits=1)
    assert statuses(home) == {"a": "failed"}
    shutil.move(home.folder / "kept.wav", media_files)
    assert "from raw_media on" in home.playhead("retry", added["recording"])
    home.playhead("process", added["recording"])
    assert statuses(home) == {"a": "ready"}


@pytest.mark.slow
def test_changed_setting_is_planned_and_processed(home: Home) -> None:
    home.playhead("add", write_tone(home.folder / "a.wav"))
    home.playhead("process")
    assert home.json("plan") == []
    sizes = {"recording": {"size": 16, "overlap": 2, "minimum": 8}}
    changed = replace(home, settings=home.settings | {"PLAYHEAD_CHUNKING": json.dumps(sizes)})
    [stale, follows] = changed.json("plan", "--since", "2026-01-01", "--kind", "recording")
    assert (stale["stage"], stale["reason"], stale["moved"]) == ("chunks", "stale", ["parameters"])
    assert (follows["stage"], follows["reason"]) == ("embeddings", "downstream")
    assert changed.json("plan", "--stage", "embeddings") == [follows]
    changed.playhead("plan", "--apply")
    assert "cancelled" in changed.playhead("plan", "--cancel", "1")
    changed.playhead("plan", "--cancel", "1", exits=1)
    changed.playhead("plan", "--apply")
    assert changed.playhead("process").endswith("1 of 1 ready\n")
    assert changed.json("plan") == []
    assert [plan["state"] for plan in changed.json("plan", "--list")] == ["cancelled", "done"]


def test_exit_code_is_two_for_wrong_usage_and_one_for_failure(home: Home) -> None:
    home.playhead("add", exits=2)
    home.playhead("add", home.folder / "missing.flac", exits=2)
    home.playhead("search", "x", "--kind", "song", exits=2)
    home.playhead("show", "no-such-recording", exits=1)
    home.playhead("status", "01a20126-2c76-75ee-a0d8-85f69dacc231", exits=1)
    home.playhead("process", "01a20126-2c76-75ee-a0d8-85f69dacc231", exits=1)


def test_recording_is_found_by_a_unique_prefix_of_its_key_or_id(home: Home) -> None:
    home.playhead(
        "add", write_tone(home.folder / "amber.wav", 1), write_tone(home.folder / "birch.wav", 2)
    )
    amber, birch = home.json("list")
    key_prefix = amber["partition_key"].partition("amber")[0] + "amb"
    for name in (amber["id"], amber["id"][:-1], amber["partition_key"], key_prefix):
        assert home.json("show", name)[0]["recording"]["id"] == amber["id"]
    day = amber["partition_key"][: len("2026-12-01")]
    refused = home.run("status", day, exits=2)
    assert refused.stdout == ""
    assert f"{amber['partition_key']}  amber" in refused.stderr
    assert f"{birch['partition_key']}  birch" in refused.stderr


def test_old_names_of_commands_print_the_new_ones(home: Home) -> None:
    [added] = home.json("add", write_tone(home.folder / "a.wav"))
    planned = home.run("plan", "--patient", "--json")
    assert "`playhead plan --patient` is now `playhead plan --batch`." in planned.stderr
    assert planned.stdout == home.playhead("plan", "--batch", "--json")
    deleted = home.run("forget", added["recording"], "--yes", "--json")
    assert deleted.stderr.startswith("`playhead forget` is now `playhead delete`.\n")
    assert json.loads(deleted.stdout)["look"]["found"] == []
    assert home.json("list") == []
    usage = home.playhead("--help") + home.playhead("plan", "--help")
    assert "delete" in usage
    assert "--batch" in usage
    assert "forget" not in usage
    assert "--patient" not in usage


def test_text_output_names_recordings_by_their_keys(home: Home) -> None:
    file = write_tone(home.folder / "amber.wav")
    printed = [home.playhead("add", file)]
    [amber] = home.json("list")
    for command in (["add", file], ["list"], ["show"], ["retry"], ["archive"], ["unarchive"]):
        names = [] if command[0] in ("add", "list") else [amber["id"]]
        exits = 1 if command[0] == "retry" else 0
        printed.append(home.playhead(*command, *names, exits=exits))
    for output in printed:
        assert amber["partition_key"] in output
        assert amber["id"] not in output


@pytest.mark.slow
def test_recordings_of_another_organisation_are_hidden(home: Home) -> None:
    [recording] = home.json("add", write_tone(home.folder / "a.wav"))
    home.playhead("process")
    for command in (["list"], ["search", "amber"], ["ask", "amber?"], ["conversations"], ["spend"]):
        home.playhead(*command, "--org", "other", exits=1)  # the organisation does not exist
    home.playhead("orgs", "add", "other")
    assert home.json("list", "--org", "other") == []
    assert home.json("search", "amber birch", "--org", "other") == []
    home.playhead("show", recording["recording"], "--org", "other", exits=1)
    [other_recording] = home.json("add", home.folder / "a.wav", "--org", "other")
    assert not other_recording["duplicate"]
    assert "1 of 1 ready" in home.playhead("process")
    assert [line["status"] for line in home.json("list", "--org", "other")] == ["ready"]


def test_wrong_settings_are_all_reported(home: Home) -> None:
    misconfigured = Home(
        home.folder, {"PLAYHEAD_TRANSCRIBER": "wisper", "PLAYHEAD_EMBEDDER": "minilmm"}
    )
    misconfigured.playhead("add", write_tone(home.folder / "a.wav"))
    run = subprocess.run(
        ["playhead", "process"],
        env=misconfigured.environment
        | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "PLAYHEAD_TRANSCRIBER" in run.stderr
    assert "PLAYHEAD_EMBEDDER" in run.stderr
    assert "minilm" in run.stderr


def test_hostile_file_names_only_become_titles(home: Home) -> None:
    names = ["-rf.wav", "a\nb.wav", "☃ 🎧.wav", "x" * 240 + ".wav", "$(touch owned).wav"]
    for number, name in enumerate(names):
        write_tone(home.folder / "inbound.wav", number + 1).rename(home.folder / name)
        home.playhead("add", "--", home.folder / name)
    home.playhead("add", "--title", "../../etc/passwd", "--", write_tone(home.folder / "t.wav", 99))
    home.playhead("process")
    lines = home.json("list")
    assert {line["status"] for line in lines} == {"ready"}
    assert "../../etc/passwd" in {line["title"] for line in lines}
    assert "a b" in {line["title"] for line in lines}
    media_files = [path for path in (home.folder / "media").rglob("*") if path.is_file()]
    assert sorted(path.stem for path in media_files) == sorted(line["id"] for line in lines)
    assert not (home.folder / "owned").exists()


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("doctor", r"(ok  .+\n)+ok   database: Postgres .+\n(ok  .+\n)+"),
        ("migrate", r".+\n"),
        ("list", r"No recordings yet: .+\n"),
    ],
)
def test_command_on_a_healthy_machine_prints_its_state(
    home: Home, command: str, printed: str
) -> None:
    assert re.fullmatch(printed, home.playhead(command))


def test_migrate_prints_the_applied_migrations(home: Home) -> None:
    assert SCHEMA in home.playhead("migrate")
    assert "up to date" in home.playhead("migrate")


@pytest.mark.slow
def test_server_stops_on_command_and_starts_again(home: Home) -> None:
    home.playhead("add", write_tone(home.folder / "a.wav"))
    home.playhead("stop")
    assert statuses(home) == {"a": "uploaded"}
