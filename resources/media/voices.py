"""Which voices a file keeps apart: its audio tracks, or the channels of the first.

Not here: decoding one (``decode.py``), telling people apart by how they sound.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from resources.media.decode import Voice, audio_track, open_media


def voices(path: Path, speakers: Literal["tracks", "channels"]) -> dict[str, Voice]:
    """By the labels that their segments get, counted from 1 as people do. Raises what
    ``open_media`` and ``audio_track`` raise."""
    with open_media(path) as container:
        first = audio_track(container)
        if speakers == "tracks":
            tracks = range(len(container.streams.audio))
            return {f"track-{number + 1}": Voice(number) for number in tracks}
        return {f"channel-{number + 1}": Voice(0, number) for number in range(first.channels or 1)}
