"""Separate voices of a file: its audio tracks, or the channels of the first track."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from playhead.media.decode import AudioChannel
from playhead.media.probe import channels_of_tracks, probe


def audio_channels(path: Path, speakers: Literal["tracks", "channels"]) -> dict[str, AudioChannel]:
    """Return the audio channels of a file by the labels of their segments.

    Labels are counted from 1. Raises the errors of ``probe``.
    """
    channels = channels_of_tracks(probe(path))
    if speakers == "tracks":
        decodable = [number for number, count in enumerate(channels) if count]
        return {f"track-{number + 1}": AudioChannel(number) for number in decodable}
    return {f"channel-{number + 1}": AudioChannel(0, number) for number in range(channels[0])}
