"""Probing reports what a file is, whatever its name, and why it cannot be used."""

from __future__ import annotations

import random
import socket
import wave
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from playhead.core.errors import (
    EmptyFile,
    NoAudioTrack,
    PermanentError,
    TruncatedMedia,
    UnreadableMedia,
)
from playhead.media.probe import probe
from tests.support import media_files

TRUNCATABLE = (".aiff", ".avi", ".flac", ".m4a", ".mkv", ".mov", ".mp3", ".mp4", ".wav", ".webm")


def test_playlist_reaches_no_other_file_or_host(tmp_path: Path) -> None:
    secret = media_files.make_audio(tmp_path / "secret.ts", media_files.tone(1))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/live.ts"
        playlists = {
            "one.m3u8": f"#EXTM3U\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
            "two.m3u8": f"#EXTM3U\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
            "three.wav": f"ffconcat version 1.0\nfile {secret.name}\n",
            "four.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n"
            "m=audio 5004 RTP/AVP 0\n",
            "five.mp3": f"[playlist]\nFile1={url}\nNumberOfEntries=1\n",
        }
        for name, text in playlists.items():
            (tmp_path / name).write_text(text)
            with pytest.raises(UnreadableMedia):
                probe(tmp_path / name)
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize(
    "name", ["http:", "concat:a|b", "-i", "pipe:0", "%03d.flac", "a b'\n.flac"]
)
def test_file_name_is_not_interpreted(tmp_path: Path, name: str) -> None:
    path = media_files.make_audio(tmp_path / "plain.flac", media_files.tone(1)).rename(
        tmp_path / name
    )
    assert probe(path).container == "flac"


@pytest.mark.parametrize("suffix", TRUNCATABLE)
def test_half_a_file_is_reported_as_truncated(tmp_path: Path, suffix: str) -> None:
    path = media_files.truncate(
        media_files.make_audio(tmp_path / f"half{suffix}", media_files.speech())
    )
    with pytest.raises(TruncatedMedia) as caught:
        probe(path)
    assert "again" in caught.value.remedy


def test_mp4_with_its_index_first_is_reported_as_truncated(tmp_path: Path) -> None:
    path = tmp_path / "streaming.mp4"
    media_files.make_audio(path, media_files.speech(), options={"movflags": "faststart"})
    with pytest.raises(TruncatedMedia, match=r"header declares 11\.0 s"):
        probe(media_files.truncate(path, keep=0.6))


def test_file_of_unknown_length_is_not_truncated(tmp_path: Path) -> None:
    path = media_files.make_audio(tmp_path / "piped.wav", media_files.speech())
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[4:8] = data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert probe(path).duration_seconds == pytest.approx(11.0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.mp4", b"Dear all, please find the recording attached.\n" * 200),
        ("text.mp3", b"Dear all, please find the recording attached.\n" * 200),
        ("random.mp3", random.Random(1).randbytes(500_000)),
        ("random.wav", random.Random(2).randbytes(50_000)),
        ("random", random.Random(3).randbytes(50_000)),
        ("one-byte.flac", b"f"),
        ("page.webm", b"<!doctype html><title>404</title>"),
    ],
)
def test_file_that_is_not_media_is_unreadable(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableMedia):
        probe(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_picture_is_not_a_video(tmp_path: Path, suffix: str) -> None:
    picture = media_files.make_image(tmp_path / f"picture{suffix}")
    with pytest.raises(UnreadableMedia):
        probe(picture)
    with pytest.raises(UnreadableMedia):
        probe(picture.rename(tmp_path / "picture.mp4"))


@pytest.mark.parametrize(("channels", "accepted"), [(6, True), (8, True), (18, False)])
def test_channels_are_mixed_or_rejected_before_any_work(
    tmp_path: Path, channels: int, accepted: bool
) -> None:
    with wave.open(str(tmp_path / "desk.wav"), "wb") as file:
        file.setparams((channels, 2, media_files.RATE, 0, "NONE", ""))
        file.writeframes(bytes(channels * 2 * media_files.RATE))
    with nullcontext() if accepted else pytest.raises(UnreadableMedia, match="channels"):
        assert probe(tmp_path / "desk.wav").channels == channels


def test_zero_bytes_are_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(EmptyFile):
        probe(tmp_path / "empty.mp4")


def test_header_without_a_sample_is_an_empty_file(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "header.wav"), "wb") as file:
        file.setparams((1, 2, media_files.RATE, 0, "NONE", ""))
    with pytest.raises(EmptyFile):
        probe(tmp_path / "header.wav")


def test_video_without_sound_has_no_audio_track(tmp_path: Path) -> None:
    with pytest.raises(NoAudioTrack):
        probe(media_files.make_video_without_audio(tmp_path / "mute.mp4"))


def test_damaged_file_gives_facts_or_a_permanent_error(tmp_path: Path) -> None:
    for path in media_files.damaged_at_random(
        tmp_path, media_files.speech("en_austen_0880"), seed=5
    ):
        with suppress(PermanentError):
            assert probe(path).duration_seconds > 0


@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".webm", ".ogg", ".m4a"])
def test_damaged_packets_in_the_middle_are_ignored(tmp_path: Path, suffix: str) -> None:
    path = media_files.damage(
        media_files.make_audio(tmp_path / f"scratched{suffix}", media_files.speech())
    )
    assert probe(path).duration_seconds == pytest.approx(11.0, abs=0.3)


@pytest.mark.parametrize("suffix", media_files.SUFFIXES)
def test_container_is_recognized_by_content(tmp_path: Path, suffix: str) -> None:
    path = media_files.make_audio(tmp_path / f"sound{suffix}", media_files.speech("en_austen_0890"))
    facts = probe(path)
    assert facts.duration_seconds == pytest.approx(5.3, abs=0.12)
    assert (facts.channels, facts.sample_rate > 0) == (2 if suffix == ".ogg" else 1, True)
    assert probe(path.rename(tmp_path / "sound.txt")) == facts


@pytest.mark.parametrize(
    ("name", "media_type", "codec"),
    [
        ("a.flac", "audio/flac", "flac"),
        ("a.m4a", "audio/mp4", "aac"),
        ("a.mp3", "audio/mpeg", "mp3"),
        ("a.opus", "audio/ogg", "opus"),
        ("a.webm", "audio/webm", "opus"),
        ("v.mkv", "video/x-matroska", "flac"),
        ("v.mov", "video/quicktime", "aac"),
        ("v.mp4", "video/mp4", "aac"),
        ("v.webm", "video/webm", "opus"),
    ],
)
def test_media_type_distinguishes_audio_from_video(
    tmp_path: Path, name: str, media_type: str, codec: str
) -> None:
    make_file = media_files.make_video if name.startswith("v") else media_files.make_audio
    facts = probe(make_file(tmp_path / name, media_files.tone(1)))
    assert (facts.media_type, facts.codec) == (media_type, codec)
    assert facts.streams[-1].startswith(f"audio: {codec}, ")


def test_browser_recording_has_the_duration_its_header_lacks(tmp_path: Path) -> None:
    facts = probe(media_files.make_webm(tmp_path / "browser.webm", media_files.speech()))
    assert facts.duration_seconds == pytest.approx(11.0, abs=0.01)


def test_silent_file_is_valid(tmp_path: Path) -> None:
    assert probe(media_files.make_silence(tmp_path / "silent.flac", 3)).duration_seconds == 3
