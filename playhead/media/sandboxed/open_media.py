"""Open media files: which formats may be opened, and selection of an audio track.

FFmpeg (through PyAV) reads the bytes. It gets an open file, may open no other, and supports no
format that refers to one, so a playlist is not media here. It never gets the file's name: the
format is detected from the content. Only audio decoders are enabled: no picture is decoded, not
even to detect its format.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Final

import av
import av.subtitles.codeccontext
import av.subtitles.stream  # av imports it late, when no file may be opened any more

from playhead.core.errors import (
    EmptyFile,
    NoAudioTrack,
    PermanentError,
    TruncatedMedia,
    UnreadableMedia,
)
from playhead.media.limits import MAX_STREAMS, decoding_too_costly
from playhead.media.sandbox_messages import RATE

Fits = Callable[[av.AudioFrame], bool]

# Only FFmpeg demuxers that contain their media themselves and detect it by its content. Left out on
# purpose: concat, hls, dash, imf, sdp, rtsp, vobsub, image sequences and all others that refer to
# other files or hosts; devices; subtitles and pictures; raw samples that any bytes could be.
_DEMUXERS: Final = (
    "3dostr aa aac aax ac3 ac4 acm adx aea aiff alp amr amrnb amrwb apac apc ape apm argo_asf asf "
    "asf_o ast au avi avr bfstm binka bonk brstm caf codec2 daud dhav dsf dss dts dtshd dv eac3 "
    "epaf film_cpk flac flv g729 gsm gxf hca hcom iamf iff ilbc ircam iss kux kvag laf lc3 "
    "live_flv loas lxf matroska mca mlp mlv mmf mods mov mp3 mpc mpc8 mpeg mpegts mtaf mxf "
    "nistsphere nsp nsv nut nuv ogg oma osq paf pva pvf qcp qoa rka rm rpl rsd rso sbc sds shn "
    "siff smjpeg smk sol sox spdif svs swf tak thp truehd tta ty vag vivo voc vqf w64 wady wav "
    "wavarc wsaud wsd wsvqa wtv wv wve xa xwma"
)

#: Beginnings of playlists, which contain no media themselves.
_PLAYLISTS: Final = re.compile(
    rb"\s*(?:(?P<HLS>#EXTM3U)|(?P<concat>ffconcat|file\s)|(?P<DASH>(<\?xml[^>]*>\s*)?<MPD)"
    rb"|(?P<SDP>v=0)|(?P<PLS>\[playlist\])|(?P<ASX>\[Reference\]|<asx)|(?P<RTSP>rtsp:|rtspt:)"
    rb"|(?P<SMIL><smil))",
    re.IGNORECASE,
)
_MP4_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"})


@contextmanager
def open_media(file: int) -> Iterator[av.container.InputContainer]:
    """Open a media file, whose format is detected from its content.

    ``file`` is a descriptor at its beginning. Raises ``EmptyFile`` (zero bytes), ``TruncatedMedia``
    (an MP4 without its index) or ``UnreadableMedia``.
    """
    head = os.pread(file, 512, 0)
    if not head:
        raise EmptyFile("The file has zero bytes.", remedy="Upload the recording again.")
    options = {**_options(), "fd": str(file)}  # FFmpeg never sees the name
    try:
        container = av.open("fd:", options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        require_memory(error)
        raise _no_media(head) from error
    with container:
        yield container


@cache
def _options() -> dict[str, str]:
    return {
        "format_whitelist": _DEMUXERS.replace(" ", ","),
        "protocol_whitelist": "fd",
        "codec_whitelist": ",".join(_audio_decoders()),
        "max_streams": str(MAX_STREAMS),
    }


def _audio_decoders() -> Iterator[str]:
    for name in sorted(av.codecs_available):
        with suppress(ValueError):  # an encoder
            if av.Codec(name, "r").type == "audio":
                yield name


#: Cached before the first file is opened.
prepare = _options


def _no_media(head: bytes) -> PermanentError:
    if head[4:8] in _MP4_BOXES:
        return TruncatedMedia(
            "The file starts like an MP4, but its index (moov) is missing: it was truncated, or "
            "its recorder was stopped before it could finish.",
            remedy="Upload the recording again from its source, or repair it first.",
        )
    if found := _PLAYLISTS.match(head):
        return UnreadableMedia(
            f"The file is a playlist of other files ({found.lastgroup}), not a recording.",
            remedy="Upload the recordings themselves.",
        )
    return UnreadableMedia(
        "The content is not audio or video in a supported container.",
        remedy="Upload a recording as FLAC, WAV, MP3, M4A, OGG, MP4, MOV or WebM.",
    )


def audio_track(container: av.container.InputContainer, number: int = 0) -> av.AudioStream:
    """Return an audio track, counted from 0.

    Raises ``NoAudioTrack``, or ``UnreadableMedia`` if no decoder exists for it.
    """
    tracks = container.streams.audio
    if not tracks:
        raise NoAudioTrack(
            "The file has no audio track.",
            remedy="Upload a recording with sound, or export the video together with its audio.",
        )
    if number >= len(tracks):
        raise NoAudioTrack(
            f"The file has {len(tracks)} audio tracks, but no number {number + 1}.",
            remedy="Use a track that exists.",
        )
    track: av.AudioStream = tracks[number]
    if track.codec_context is None:
        raise UnreadableMedia(
            f"The audio codec {_unknown_codec(container, track)} is not supported.",
            remedy="Convert the recording to FLAC, MP3, M4A or Opus and upload that.",
        )
    track.codec_context.thread_count = 1  # the process may not start a thread
    return track


def _unknown_codec(container: av.container.InputContainer, track: av.AudioStream) -> str:
    """Return FFmpeg's name of a codec without a decoder, or the tag in the file."""
    av.logging.set_level(av.logging.INFO)  # the format is only logged at this level
    line = rf"Stream #0:{track.index}\b.*?Audio: ([^,\n]*)"
    found = re.search(line, container.dumps_format())
    return found[1].strip() if found else "unknown"


def packets(
    container: av.container.InputContainer, *tracks: av.stream.Stream
) -> Iterator[av.Packet]:
    """Yield the packets of ``tracks`` (of all if none are given).

    Ends at the end of the file, or where the container cannot be read any further.
    """
    try:
        yield from container.demux(*tracks)
    except (av.FFmpegError, IndexError) as error:  # PyAV 18.1: damage that looks like a new track
        require_memory(error)


def decoded(packet: av.Packet, *, fits: Fits) -> Sequence[av.AudioFrame] | None:
    """Return the frames of a packet, or None if it is damaged or a frame does not fit."""
    try:
        frames: list[av.AudioFrame] = packet.decode()
    except av.FFmpegError as error:
        require_memory(error)
        return None
    return frames if all(fits(frame) for frame in frames) else None


@cache
def _mixable(layout: str) -> bool:
    """Return whether FFmpeg can mix a layout to one channel.

    It cannot mix, for example, nine unnamed channels.
    """
    sample = av.AudioFrame(format="s16", layout=layout, samples=1)
    sample.sample_rate = RATE
    try:
        av.AudioResampler("s16", "mono", RATE).resample(sample)
    except av.FFmpegError:
        return False
    return True


def mixable(frame: av.AudioFrame) -> bool:
    return _mixable(frame.layout.name)


def require_memory(error: Exception) -> None:
    """Raise ``DecodingTooCostly`` if the error is that memory ran out."""
    if getattr(error, "errno", None) == errno.ENOMEM:
        raise decoding_too_costly("it needs more memory than any real recording") from error


def demuxer(container: av.container.InputContainer) -> str:
    """Return the first of FFmpeg's names for the container: ``mov`` of "mov,mp4,m4a,…"."""
    return str(container.format.name).partition(",")[0]


def has_pictures(container: av.container.InputContainer) -> bool:
    """Return whether the file is a video; a cover picture does not count."""
    cover = av.stream.Disposition.attached_pic
    return any(not track.disposition & cover for track in container.streams.video)
