"""Who has a track or a channel of their own can be heard alone."""

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


def heard(path: Path, voice: AudioChannel) -> Samples:
    return np.concatenate(list(decode(path, voice=voice)))


def like(sound: Samples, other: Samples) -> float:
    """Cosine of the two, over what both have."""
    both = min(len(sound), len(other))
    sound, other = sound[:both], other[:both]
    return float((sound * other).sum() / np.sqrt((sound**2).sum() * (other**2).sum()))


def side_by_side(path: Path, *sounds: Samples) -> Path:
    """A WAV with each sound on a channel."""
    length = max(map(len, sounds))
    rows = [np.pad(sound, (0, length - len(sound))) for sound in sounds]
    with wave.open(str(path), "wb") as file:
        file.setparams((len(rows), 2, RATE, 0, "NONE", ""))
        file.writeframes((np.array(rows).T * 32767).astype("<i2").tobytes())
    return path


def two_tracks(path: Path) -> Path:
    """Ann on the first audio track, Bob on the second, in stereo."""
    with av.open(str(path), "w") as container:
        ann = container.add_stream("flac", rate=RATE, layout="mono")
        bob = container.add_stream("flac", rate=RATE, layout="stereo")
        packets = [*media_files.encode(ann, ANN), *media_files.encode(bob, BOB)]
        for packet in sorted(packets, key=lambda packet: packet.dts or 0):
            container.mux(packet)
    return path


def test_each_channel_is_one_voice(tmp_path: Path) -> None:
    path = side_by_side(tmp_path / "interview.wav", ANN, BOB)
    ann, bob = (heard(path, AudioChannel(channel=channel)) for channel in (0, 1))
    assert like(ann, ANN) > 0.99
    assert like(bob, BOB) > 0.99
    assert abs(like(ann, BOB)) < 0.3


def test_both_voices_are_heard_unless_one_is_asked_for(tmp_path: Path) -> None:
    path = side_by_side(tmp_path / "interview.wav", ANN, BOB)
    mixed = np.concatenate(list(decode(path)))
    assert like(mixed, ANN) > 0.3
    assert like(mixed, BOB) > 0.3


def test_a_voice_among_more_channels_than_can_be_mixed_is_heard(tmp_path: Path) -> None:
    desk = side_by_side(tmp_path / "desk.wav", *[media_files.silence(1)] * 17, BOB)
    assert like(heard(desk, AudioChannel(channel=17)), BOB) > 0.99


def test_each_track_is_one_voice(tmp_path: Path) -> None:
    path = two_tracks(tmp_path / "call.mkv")
    assert like(heard(path, AudioChannel(track=0)), ANN) > 0.99
    assert like(heard(path, AudioChannel(track=1)), BOB) > 0.9
    assert like(heard(path, AudioChannel(track=1, channel=1)), BOB) > 0.99


def test_what_there_is_to_choose_from_is_among_the_facts(tmp_path: Path) -> None:
    assert channels_of_tracks(probe(two_tracks(tmp_path / "call.mkv"))) == (1, 2)
    desk = side_by_side(tmp_path / "interview.wav", ANN, BOB, ANN)
    assert channels_of_tracks(probe(desk)) == (3,)


@pytest.mark.parametrize(
    "voice", [AudioChannel(track=2), AudioChannel(channel=1), AudioChannel(track=1, channel=2)]
)
def test_a_voice_that_is_not_there_is_told(tmp_path: Path, voice: AudioChannel) -> None:
    with pytest.raises(NoAudioTrack):
        heard(two_tracks(tmp_path / "call.mkv"), voice)
