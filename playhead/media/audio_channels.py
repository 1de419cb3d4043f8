"""Which voices a file keeps apart: its audio tracks, or the channels of the first.

Not here: decoding one (``decode.py``), telling people apart by how they sound.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from playhead.media.decode import Voice
from playhead.media.probe import channels_of_tracks, probe


def voices(path: Path, speakers: Literal["tracks", "channels"]) -> dict[str, Voice]:
    """By the labels that their segments get, counted from 1 as people do. Raises what ``probe``
    raises."""
    channels = channels_of_tracks(probe(path))
    if speakers == "tracks":
        decodable = [number for number, count in enumerate(channels) if count]
        return {f"track-{number + 1}": Voice(number) for number in decodable}
    return {f"channel-{number + 1}": Voice(0, number) for number in range(channels[0])}
