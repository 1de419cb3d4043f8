"""Determine the facts of a media file, and whether it can be transcribed.

A header proves nothing, so the whole audio track is decoded (and discarded, in constant memory);
its length is the recording's duration. Seconds are those of ``timestamps.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import av

from playhead.core.errors import EmptyFile, TruncatedMedia, UnreadableMedia
from playhead.core.records import MediaFacts
from playhead.media.sandboxed.declared_length import declared_seconds, riff_size
from playhead.media.sandboxed.open_media import (
    audio_track,
    decoded,
    demuxer,
    has_pictures,
    mixable,
    open_media,
    packets,
)
from playhead.media.sandboxed.timestamps import FrameTimeline

OnProgress = Callable[[float], None]

#: Container, media type of sound alone and media type with pictures per demuxer; all others use the
#: demuxer's name.
_TYPES: Final = {
    "aac": ("aac", "audio/aac", "audio/aac"),
    "ac3": ("ac3", "audio/ac3", "audio/ac3"),
    "eac3": ("eac3", "audio/eac3", "audio/eac3"),
    "mxf": ("mxf", "application/mxf", "application/mxf"),
    "rm": ("rm", "audio/vnd.rn-realaudio", "application/vnd.rn-realmedia"),
    "aiff": ("aiff", "audio/aiff", "audio/aiff"),
    "amr": ("amr", "audio/amr", "audio/amr"),
    "asf": ("asf", "audio/x-ms-wma", "video/x-ms-wmv"),
    "au": ("au", "audio/basic", "audio/basic"),
    "avi": ("avi", "audio/x-msvideo", "video/x-msvideo"),
    "caf": ("caf", "audio/x-caf", "audio/x-caf"),
    "flac": ("flac", "audio/flac", "audio/flac"),
    "flv": ("flv", "audio/x-flv", "video/x-flv"),
    "matroska": ("matroska", "audio/x-matroska", "video/x-matroska"),
    "mov": ("mp4", "audio/mp4", "video/mp4"),
    "mp3": ("mp3", "audio/mpeg", "audio/mpeg"),
    "mpeg": ("mpeg", "audio/mpeg", "video/mpeg"),
    "mpegts": ("mpegts", "video/mp2t", "video/mp2t"),
    "ogg": ("ogg", "audio/ogg", "video/ogg"),
    "w64": ("w64", "audio/x-w64", "audio/x-w64"),
    "wav": ("wav", "audio/wav", "audio/wav"),
    "wv": ("wavpack", "audio/x-wavpack", "audio/x-wavpack"),
    "webm": ("webm", "audio/webm", "video/webm"),
    "quicktime": ("mov", "video/quicktime", "video/quicktime"),
}

_MISSING_SECONDS: Final = 0.5  # this much, and this share, may be missing at the end
_MISSING_SHARE: Final = 0.01


def probe_media(file: int, size_bytes: int, working: OnProgress) -> MediaFacts:
    """Decode all of the first audio track, and return the facts of the file.

    ``working`` is called regularly with the seconds that are done. A few damaged packets are
    accepted, and so is silence. Raises ``EmptyFile``, ``UnreadableMedia``, ``TruncatedMedia``,
    ``NoAudioTrack`` or ``DecodingTooCostly``.
    """
    with open_media(file) as container:
        track = audio_track(container)
        declared = declared_seconds(container, track, file)
        found = _decode_all(container, track, size_bytes, working)
        _require_complete(file, size_bytes, declared, found)
        _require_audio(found)
        return _facts(file, container, track, found)


@dataclass(slots=True)
class _DecodeResult:
    """Results of decoding a file; ``reached`` is the end of the last packet of any track."""

    seconds: float = 0.0
    reached: float = 0.0
    good: int = 0
    damaged: int = 0


def _decode_all(
    container: av.container.InputContainer,
    track: av.AudioStream,
    size_bytes: int,
    working: OnProgress,
) -> _DecodeResult:
    found, timeline = _DecodeResult(), FrameTimeline(container, track, size_bytes)
    for packet in packets(container):
        found.reached = max(found.reached, _end(packet))
        if packet.stream is not track:
            continue
        frames = decoded(packet, fits=mixable)
        found.damaged += frames is None
        found.good += bool(frames)
        for frame in frames or ():
            timeline.place(frame)
            working(timeline.end)
    found.seconds = timeline.end
    return found


def _end(packet: av.Packet) -> float:
    if packet.pts is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)


def _require_complete(file: int, size_bytes: int, declared: float, found: _DecodeResult) -> None:
    missing = declared - max(found.reached, found.seconds)
    if missing > max(_MISSING_SECONDS, _MISSING_SHARE * declared):
        raise _cut_off(f"its header declares {declared:.1f} s, but it has {found.seconds:.1f} s")
    declared_size = riff_size(file)
    if size_bytes < declared_size * (1 - _MISSING_SHARE):
        raise _cut_off(f"its header declares {declared_size} bytes, but it has {size_bytes}")


def _cut_off(reason: str) -> TruncatedMedia:
    return TruncatedMedia(
        f"The file is truncated: {reason}.",
        remedy="Upload the recording again; the last transfer was incomplete.",
    )


def _require_audio(found: _DecodeResult) -> None:
    if found.damaged > found.good:
        raise UnreadableMedia(
            f"{found.damaged} of {found.damaged + found.good} audio packets are damaged, or have "
            "channels that cannot be mixed down to one.",
            remedy="Upload the recording again from its source, with at most two channels.",
        )
    if not found.seconds:
        raise EmptyFile(
            "The file has an audio track without a single sample.",
            remedy="Record again; nothing was saved.",
        )


def _facts(
    file: int, container: av.container.InputContainer, track: av.AudioStream, found: _DecodeResult
) -> MediaFacts:
    container_name = _container_name(file, container)
    name, audio, video = _TYPES.get(
        container_name, (container_name, f"audio/x-{container_name}", f"video/x-{container_name}")
    )
    return MediaFacts(
        container=name,
        codec=_codec(track),
        media_type=video if has_pictures(container) else audio,
        sample_rate=track.codec_context.sample_rate,
        channels=track.codec_context.channels,
        duration_seconds=round(found.seconds, 6),
        streams=tuple(_describe_stream(stream) for stream in container.streams),
    )


def _container_name(file: int, container: av.container.InputContainer) -> str:
    """Return the demuxer's name, or the exact container if it reads several."""
    name = demuxer(container)
    if name == "mov" and container.metadata.get("major_brand", "qt").strip() == "qt":
        return "quicktime"
    if name == "matroska":
        return "webm" if b"webm" in os.pread(file, 64, 0) else name  # the EBML header's DocType
    return name


def _codec(stream: av.stream.Stream) -> str:
    return str(stream.codec_context.codec.canonical_name) if stream.codec_context else "unknown"


def _describe_stream(stream: av.stream.Stream) -> str:
    if stream.type == "audio" and stream.codec_context:
        context = stream.codec_context
        return f"audio: {_codec(stream)}, {context.sample_rate} Hz, {context.channels} channels"
    if stream.type == "video" and stream.codec_context:
        context = stream.codec_context
        size = (
            f", {context.width} x {context.height}" if context.width else ""
        )  # unknown, since no picture is decoded
        return f"video: {_codec(stream)}{size}"
    return f"{stream.type}: {_codec(stream)}"
