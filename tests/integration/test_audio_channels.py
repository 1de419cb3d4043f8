"""Tracks and channels of a recording that can be decoded alone."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np
import pytest

from playhead.core.audio import Samples
from playhead.core.errors import NoAudioTrack
from playhead.media.decode import RATE, AudioChannel, decode
from playhead.media.probe import channels_of_tracks, probe
from tests.support import media_files

ANN, BOB = media_files.speech("en_austen_0880"), media_files.speech("en_austen_0890")


def decode_channel(path: Path, channel: AudioChannel) -> Samples:
    return np.concatenate(list(decode(path, audio_channel=channel)))


def similarity(sound: Samples, other: Samples) -> float:
    """Return the cosine of the two, over their common length."""
    length = min(len(sound), len(other))
    sound, other = sound[:length], other[:length]
    return float((sound * other).sum() / np.sqrt((sound**2).sum() * (other**2).sum()))


def write_channels(path: Path, *sounds: Samples) -> Path:
    """Write a WAV file with each sound on a channel."""
    length = max(map(len, sounds))
    rows = [np.pad(sound, (0, length - len(sound))) for sound in sounds]
    with wave.open(str(path), "wb") as file:
        file.setparams((len(rows), 2, RATE, 0, "NONE", ""))
        file.writeframes((np.array(rows).T * 32767).astype("<i2").tobytes())
    return path


def write_two_tracks(path: Path) -> Path:
    """Write Ann on the first audio track and Bob on the second, in stereo."""
    with av.open(str(path), "w") as container:
        ann = container.add_stream("flac", rate=RATE, layout="mono")
        bob = container.add_stream("flac", rate=RATE, layout="stereo")
        packets = [*media_files.encode(ann, ANN), *media_files.encode(bob, BOB)]
        for packet in sorted(packets, key=lambda packet: packet.dts or 0):
            container.mux(packet)
    return path


def test_channel_is_decoded_alone(tmp_path: Path) -> None:
    path = write_channels(tmp_path / "interview.wav", ANN, BOB)
    ann, bob = (decode_channel(path, AudioChannel(channel=channel)) for channel in (0, 1))
    assert similarity(ann, ANN) > 0.99
    assert similarity(bob, BOB) > 0.99
    assert abs(similarity(ann, BOB)) < 0.3


def test_channels_are_mixed_by_default(tmp_path: Path) -> None:
    path = write_channels(tmp_path / "interview.wav", ANN, BOB)
    mixed = np.concatenate(list(decode(path)))
    assert similarity(mixed, ANN) > 0.3
    assert similarity(mixed, BOB) > 0.3


def test_channel_beyond_the_mixing_limit_is_decoded_alone(tmp_path: Path) -> None:
    desk = write_channels(tmp_path / "desk.wav", *[media_files.silence(1)] * 17, BOB)
    assert similarity(decode_channel(desk, AudioChannel(channel=17)), BOB) > 0.99


def test_track_is_decoded_alone(tmp_path: Path) -> None:
    path = write_two_tracks(tmp_path / "call.mkv")
    assert similarity(decode_channel(path, AudioChannel(track=0)), ANN) > 0.99
    assert similarity(decode_channel(path, AudioChannel(track=1)), BOB) > 0.9
    assert similarity(decode_channel(path, AudioChannel(track=1, channel=1)), BOB) > 0.99


def test_channels_of_tracks_are_read_from_the_media_facts(tmp_path: Path) -> None:
    assert channels_of_tracks(probe(write_two_tracks(tmp_path / "call.mkv"))) == (1, 2)
    desk = write_channels(tmp_path / "interview.wav", ANN, BOB, ANN)
    assert channels_of_tracks(probe(desk)) == (3,)


@pytest.mark.parametrize(
    "channel", [AudioChannel(track=2), AudioChannel(channel=1), AudioChannel(track=1, channel=2)]
)
def test_unknown_track_or_channel_is_an_error(tmp_path: Path, channel: AudioChannel) -> None:
    with pytest.raises(NoAudioTrack):
        decode_channel(write_two_tracks(tmp_path / "call.mkv"), channel)
