"""Hostile files reach nothing, cost little, and end with an error of the recording."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import wave
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from playhead.core.errors import (
    DecoderUnavailable,
    DecodingTooCostly,
    PermanentError,
    UnreadableMedia,
)
from playhead.media import sandbox
from playhead.media.decode import RATE, decode
from playhead.media.probe import probe
from tests.support import hostile_files, media_files
from tests.support.sandbox_probe import watch_tripwire

ROOT = Path(__file__).parents[2]
HOUR = 3600 * RATE * 2  # bytes


def find_fork_server() -> psutil.Process:
    """Return the process that forks the sandboxed processes."""
    sandbox.restrictions()
    [found] = [
        child
        for child in psutil.Process().children()
        if "playhead.media.sandboxed.fork_server" in " ".join(child.cmdline())
    ]
    return found


def write_silent_hour(folder: Path) -> Path:
    """Write an hour of silence as WAV, all of it a hole in the file system."""
    with wave.open(str(folder / "hour.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(b"")
    data = bytearray((folder / "hour.wav").read_bytes())
    data[4:8], data[40:44] = (size.to_bytes(4, "little") for size in (HOUR + 36, HOUR))
    (folder / "hour.wav").write_bytes(data)
    os.truncate(folder / "hour.wav", HOUR + 44)
    return folder / "hour.wav"


def test_playlist_reaches_no_other_file_and_no_host(tmp_path: Path) -> None:
    with watch_tripwire(tmp_path) as canary:
        for name, content in hostile_files.playlist_files(canary.path, canary.url).items():
            path = tmp_path / name.replace("/", " ")
            path.write_bytes(content)
            with pytest.raises(PermanentError):
                probe(path)
            with suppress(PermanentError):  # bytes inside a movie may decode as sound
                list(decode(path))
        assert canary.count_accesses() == (0, 0)


def test_playlist_is_rejected_as_such(tmp_path: Path) -> None:
    (tmp_path / "live.mp3").write_text("#EXTM3U\n#EXTINF:9,\nhttp://example.org/a.ts\n")
    with pytest.raises(UnreadableMedia, match=r"a playlist of other files \(HLS\)"):
        probe(tmp_path / "live.mp3")


@pytest.mark.parametrize("bomb", hostile_files.BOMBS)
def test_decompression_bomb_ends_early(tmp_path: Path, bomb: str) -> None:
    path = hostile_files.BOMBS[bomb](tmp_path)
    with pytest.raises(DecodingTooCostly) as caught:
        probe(path)
    assert "parts" in caught.value.remedy
    with pytest.raises(DecodingTooCostly):
        list(decode(path))


@pytest.mark.parametrize("absurdity", hostile_files.ABSURD)
def test_absurd_header_gives_sound_or_a_permanent_error(tmp_path: Path, absurdity: str) -> None:
    path = hostile_files.ABSURD[absurdity](tmp_path)
    with suppress(PermanentError):
        assert probe(path).duration_seconds < 60
    with suppress(PermanentError):
        assert sum(map(len, decode(path))) < 60 * RATE


def test_hours_of_silence_are_not_rejected(tmp_path: Path) -> None:
    minute = media_files.make_silence(tmp_path / "minute.aac", 60).read_bytes()
    path = tmp_path / "evening.aac"
    path.write_bytes(minute * 120)
    assert path.stat().st_size < 1_500_000
    assert probe(path).duration_seconds == pytest.approx(2 * 3600, abs=20)


def test_mutated_file_gives_facts_or_a_permanent_error(tmp_path: Path) -> None:
    for path in hostile_files.mutated_files(tmp_path, 60, seed=11):
        with suppress(PermanentError):
            assert probe(path).duration_seconds >= 0
        with suppress(PermanentError):
            assert all(np.isfinite(block).all() for block in decode(path))


def test_decoder_crash_is_an_error_of_the_recording(tmp_path: Path) -> None:
    path = write_silent_hour(tmp_path)
    for number, error in (
        (signal.SIGSEGV, UnreadableMedia),
        (signal.SIGABRT, UnreadableMedia),
        (signal.SIGXCPU, DecodingTooCostly),
        (signal.SIGKILL, DecodingTooCostly),
    ):
        blocks = decode(path)
        next(blocks)
        [decoder] = find_fork_server().children()
        decoder.send_signal(number)
        with pytest.raises(error):
            list(blocks)
    assert probe(path).duration_seconds == 3600


def test_killed_fork_server_is_a_retryable_error(tmp_path: Path) -> None:
    path = write_silent_hour(tmp_path)
    blocks = decode(path)
    next(blocks)
    find_fork_server().kill()
    with pytest.raises(DecoderUnavailable):
        list(blocks)
    assert probe(path).duration_seconds == 3600


def test_abandoned_decoder_leaves_no_process(tmp_path: Path) -> None:
    blocks = decode(write_silent_hour(tmp_path))
    next(blocks)
    [decoder] = find_fork_server().children()
    del blocks
    decoder.wait(10)


def test_killed_worker_leaves_no_process(tmp_path: Path) -> None:
    path = write_silent_hour(tmp_path)
    program = (
        "import sys, time; from pathlib import Path; from playhead.media.decode import decode\n"
        "blocks = decode(Path(sys.argv[1])); next(blocks); print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert worker.stdout
    assert worker.stdout.readline() == b"ready\n"
    processes = psutil.Process(worker.pid).children(recursive=True)
    assert len(processes) == 2
    worker.kill()
    worker.wait()
    worker.stdout.close()
    assert psutil.wait_procs(processes, timeout=10)[1] == []


def test_recordings_are_decoded_concurrently(tmp_path: Path) -> None:
    path = media_files.make_silence(tmp_path / "quiet.flac", 60)
    lengths: list[int] = []
    threads = [
        threading.Thread(target=lambda: lengths.append(sum(map(len, decode(path)))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == [60 * RATE] * 8


def test_forked_process_has_its_own_fork_server(tmp_path: Path) -> None:
    path = media_files.make_silence(tmp_path / "quiet.flac", 5)
    program = (  # without threads, whose locks would stay locked after a fork
        "import os, sys; from pathlib import Path; from playhead.media.probe import probe\n"
        "from tests.integration.test_sandbox import find_fork_server\n"
        "path = Path(sys.argv[1]); ours = find_fork_server().pid; child = os.fork()\n"
        "if not child: os._exit(probe(path).duration_seconds != 5)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "assert find_fork_server().pid == ours and probe(path).duration_seconds == 5"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, cwd=ROOT)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may inspect the process")
def test_sandbox_has_no_environment_and_no_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a secret")
    monkeypatch.setattr(sandbox, "_holder", sandbox._SandboxHolder())
    blocks = decode(write_silent_hour(tmp_path))
    next(blocks)
    [fork_server] = [child for child in psutil.Process().children() if child.children()]
    for process in (fork_server, *fork_server.children()):
        assert process.environ() == {}
        assert process.cwd() == "/"
    del blocks
    sandbox._holder.close()
