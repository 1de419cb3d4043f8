"""From a media file to sound: what may be opened, what of it decodes, and where on the clock.

FFmpeg (through PyAV) reads the bytes. It gets an open file, may open no other and knows no
format that asks for one, so a playlist is not media here. It never learns the file's name: what
a file is gets decided by its content.

The clock is that of playback: sample ``i`` of all blocks sounds at second ``i / RATE`` when a
person plays the file. A track that starts late or has holes is filled with silence.

Not here: facts about a file and whether it is whole (``probe.py``), where files are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from resources.errors import (
    EmptyFile,
    NoAudioTrack,
    PermanentError,
    TruncatedMedia,
    UnreadableMedia,
)

Samples = NDArray[np.float32]
_Kind = tuple[str, str, int]  # sample format, channel layout, Hz

RATE: Final = 16_000  # Hz, what Whisper and Silero hear

# Only FFmpeg demuxers that hold their media themselves. Left out on purpose: concat, hls, dash,
# sdp, image sequences and whatever else names other files or hosts.
_OPTIONS: Final = {
    "format_whitelist": "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,"
    "ogg,w64,wav,wv",
    "protocol_whitelist": "fd",
}
_START_AT_ZERO: Final = frozenset({"asf", "avi", "flv", "matroska", "mov"})
_MP4_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"})

_BLOCK: Final = 10 * RATE  # samples
_JITTER_SECONDS: Final = 0.05  # containers round their timestamps; less than this is no gap
_LONGEST_OVERLAP_SECONDS: Final = 1.0  # a larger step back is a clock that started anew
_LONGEST_GAP_SECONDS: Final = 86_400.0  # a larger step forward is a damaged timestamp


@dataclass(frozen=True, slots=True)
class Voice:
    """One audio track of a file, or one channel of it; both counted from 0."""

    track: int = 0
    channel: int | None = None  # None: all of them mixed


def decode(path: Path, *, voice: Voice = Voice()) -> Iterator[Samples]:
    """The first audio track, or a voice, as 16 kHz mono blocks in ``[-1, 1]``, at most about ten
    seconds each. Damaged packets are left out; their time is silent. Raises what ``open_media`` and
    ``audio_track`` raise, and ``EmptyFile`` where there was no sample."""
    with open_media(path) as container:
        track = audio_track(container, voice.track)
        timeline, output = Timeline(container), _Output(voice.channel)
        for packet in packets(container, track):
            for frame in decoded(packet) or ():
                if timeline.place(frame) or not output.fits(frame):
                    yield from output.restart(timeline.start)
                yield from output.write(frame)
        yield from output.flush()
    if not timeline.end:
        raise EmptyFile(
            "Not one sample of the audio track can be decoded.",
            remedy="Upload the recording again from its source.",
        )


@contextmanager
def open_media(path: Path) -> Iterator[av.container.InputContainer]:
    """Open what is media by its content. Raises ``EmptyFile`` (zero bytes), ``TruncatedMedia``
    (an MP4 without its index) or ``UnreadableMedia``."""
    with path.open("rb", buffering=0) as file:
        head = file.read(8)
        file.seek(0)  # FFmpeg goes on from here
        if not head:
            raise EmptyFile("The file has zero bytes.", remedy="Upload the recording again.")
        options = {**_OPTIONS, "fd": str(file.fileno())}  # FFmpeg never sees the name
        try:
            container = av.open("fd:", options=options, metadata_errors="replace")
        except av.FFmpegError as error:
            raise _no_media(head) from error
        with container:
            yield container


def _no_media(head: bytes) -> PermanentError:
    if head[4:] in _MP4_BOXES:
        return TruncatedMedia(
            "The file begins like an MP4, but its index (moov) is missing: it was cut off, or "
            "its recorder was stopped before it could finish.",
            remedy="Upload the recording again from its source, or repair it first.",
        )
    return UnreadableMedia(
        "The content is not audio or video in a container we read.",
        remedy="Upload a recording as FLAC, WAV, MP3, M4A, OGG, MP4, MOV or WebM.",
    )


def audio_track(container: av.container.InputContainer, number: int = 0) -> av.AudioStream:
    """The first audio track, or another. Raises ``NoAudioTrack``, or ``UnreadableMedia`` where
    nothing can decode it."""
    if len(container.streams.audio) <= number:
        raise NoAudioTrack(
            "The file has no audio track.",
            remedy="Upload a recording with sound, or export the video together with its audio.",
        )
    track: av.AudioStream = container.streams.audio[number]
    if track.codec_context is None:
        raise UnreadableMedia(
            "The audio track has a codec that nothing here decodes.",
            remedy="Convert the recording to FLAC, MP3, M4A or Opus and upload that.",
        )
    return track


def packets(
    container: av.container.InputContainer, *tracks: av.stream.Stream
) -> Iterator[av.Packet]:
    """The packets of ``tracks`` (none given: of all) up to the end, or to where the container
    cannot be read any further."""
    with suppress(av.FFmpegError, IndexError):  # PyAV 18.1: damage that looks like a new track
        yield from container.demux(*tracks)


def decoded(packet: av.Packet) -> Sequence[av.AudioFrame] | None:
    """The frames of a packet; None where it is damaged, or nothing can mix its channels."""
    try:
        frames: list[av.AudioFrame] = packet.decode()
    except av.FFmpegError:
        return None
    return frames if all(_mixable(frame.layout.name) for frame in frames) else None


@cache
def _mixable(layout: str) -> bool:
    """Whether FFmpeg can make one channel of a layout; of, say, nine unnamed ones it cannot."""
    sample = av.AudioFrame(format="s16", layout=layout, samples=1)
    sample.sample_rate = RATE
    try:
        av.AudioResampler("s16", "mono", RATE).resample(sample)
    except av.FFmpegError:
        return False
    return True


def demuxer(container: av.container.InputContainer) -> str:
    """The first of FFmpeg's names for the container: ``mov`` of "mov,mp4,m4a,…"."""
    return str(container.format.name).partition(",")[0]


def has_pictures(container: av.container.InputContainer) -> bool:
    """Whether the file is a video; a cover picture makes none."""
    cover = av.stream.Disposition.attached_pic
    return any(not track.disposition & cover for track in container.streams.video)


class Timeline:
    """Where on the player's clock each frame belongs. ``start`` and ``end`` are the seconds of
    the frame placed last."""

    def __init__(self, container: av.container.InputContainer) -> None:
        self.start = self.end = 0.0
        self._zero = _clock_zero(container)

    def place(self, frame: av.AudioFrame) -> bool:
        """Put a frame behind the last one, or where its timestamp says. True if it does not
        follow on: time is missing before it, or it starts before the last one ended."""
        step = self._stated(frame) - self.end
        moved = (
            _JITTER_SECONDS < step <= _LONGEST_GAP_SECONDS
            or -_LONGEST_OVERLAP_SECONDS <= step < -_JITTER_SECONDS
        )
        self.start = self.end + step if moved else self.end
        self.end = self.start + frame.samples / frame.sample_rate
        return moved

    def _stated(self, frame: av.AudioFrame) -> float:
        if frame.time is None:
            return self.end
        if self._zero is None:
            self._zero = frame.time
        return float(frame.time - self._zero)


def _clock_zero(container: av.container.InputContainer) -> float | None:
    """The timestamp at which playback starts; None: that of the first frame. Some containers
    count from their own zero; in others the first timestamp may be anything."""
    if demuxer(container) in _START_AT_ZERO:
        return 0.0
    if has_pictures(container) and container.start_time is not None:
        return float(container.start_time / av.time_base)
    return None


class _Output:
    """Frames in, blocks out. Converts like faster-whisper's own decoder (through 16 bit), so
    that the model hears the same samples."""

    def __init__(self, channel: int | None) -> None:
        self._channel = channel  # None: all mixed
        self._written = 0  # samples
        self._surplus = 0  # samples still to be dropped, of frames that overlap
        self._kind: _Kind | None = None
        self._begin()

    def fits(self, frame: av.AudioFrame) -> bool:
        """Whether the frame is of the same kind as those held; no other may be written."""
        return self._kind in (None, _kind(frame))

    def write(self, frame: av.AudioFrame) -> Iterator[Samples]:
        """Take a frame; a block comes out now and then."""
        self._kind = _kind(frame)
        frame.pts = None  # the fifo would check it; the timeline has done so
        self._fifo.write(frame)
        if self._fifo.samples >= _BLOCK * frame.sample_rate // RATE:
            yield from self._convert(self._fifo.read())

    def restart(self, second: float) -> Iterator[Samples]:
        """Give out what is held, then silence up to ``second``; the next frame begins there."""
        yield from self.flush()
        missing = round(second * RATE) - self._written
        self._surplus = max(0, -missing)
        while missing > 0:
            size = min(missing, _BLOCK)
            missing -= size
            self._written += size
            yield np.zeros(size, dtype=np.float32)

    def flush(self) -> Iterator[Samples]:
        """Give out all that is held."""
        if self._fifo.samples:
            yield from self._convert(self._fifo.read())
        yield from self._convert(None)
        self._begin()

    def _begin(self) -> None:
        self._kind = None
        self._fifo = av.AudioFifo()
        mixed = self._channel is None
        self._resampler = av.AudioResampler(
            "s16" if mixed else "s16p", "mono" if mixed else None, RATE
        )

    def _convert(self, frame: av.AudioFrame | None) -> Iterator[Samples]:
        for converted in self._resampler.resample(frame):
            pcm = converted.to_ndarray()[self._channel or 0]
            drop = min(self._surplus, len(pcm))
            self._surplus -= drop
            if drop < len(pcm):
                self._written += len(pcm) - drop
                yield pcm[drop:].astype(np.float32) / 32768


def _kind(frame: av.AudioFrame) -> _Kind:
    return (frame.format.name, frame.layout.name, frame.sample_rate)
