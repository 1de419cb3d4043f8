"""Decode a track to PCM samples, as the sandboxed process sends them.

Converts like faster-whisper's own decoder (through 16 bit), so that the model gets the same input.
A track that starts late or has gaps is filled with silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import av

from playhead.core.errors import EmptyFile, NoAudioTrack
from playhead.media.sandbox_messages import RATE
from playhead.media.sandboxed.declared_length import declared_seconds
from playhead.media.sandboxed.open_media import (
    Fits,
    audio_track,
    decoded,
    mixable,
    open_media,
    packets,
)
from playhead.media.sandboxed.timestamps import FrameTimeline

_Kind = tuple[str, str, int]  # sample format, channel layout, Hz

_BLOCK_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """A request to decode an audio track at ``rate`` Hz.

    ``track`` is counted from 0. It is mixed to ``channels`` (1 or 2), or ``channel`` selects one of
    its channels, counted from 0.
    """

    track: int
    channel: int | None = None
    rate: int = RATE
    channels: int = 1

    @property
    def sample_bytes(self) -> int:
        """Return the bytes per sample of all channels: signed 16 bit, interleaved."""
        return 2 * self.channels

    @property
    def block(self) -> int:
        """Return the number of samples of a block."""
        return _BLOCK_SECONDS * self.rate


def decode_pcm(file: int, size_bytes: int, request: DecodeRequest) -> Iterator[bytes]:
    """Decode the whole track from second 0 as blocks of at most about ten seconds each.

    Damaged packets are left out; their time is silent. Raises the errors of ``open_media`` and
    ``audio_track``, ``EmptyFile`` if there was no sample, and ``DecodingTooCostly``.
    """
    with open_media(file) as container:
        stream = audio_track(container, request.track)
        _require_channel(stream, request.channel)
        declared_seconds(container, stream, file)  # raises if it is absurdly long
        timeline, output = FrameTimeline(container, stream, size_bytes), _Output(request)
        for packet in packets(container, stream):
            for frame in decoded(packet, fits=_fits(request.channel)) or ():
                if timeline.place(frame) or not output.accepts(frame):
                    yield from output.restart(timeline.start)
                yield from output.write(frame)
        yield from output.flush()
    if not timeline.end:
        raise EmptyFile(
            "Not one sample of the audio track can be decoded.",
            remedy="Upload the recording again from its source.",
        )


def _require_channel(track: av.AudioStream, channel: int | None) -> None:
    count = track.codec_context.channels
    if channel is not None and channel >= count:
        raise NoAudioTrack(
            f"The audio track has {count} channels, but no number {channel + 1}.",
            remedy="Use a channel that exists.",
        )


def _fits(channel: int | None) -> Fits:
    if channel is None:
        return mixable
    return lambda frame: channel < frame.layout.nb_channels


class _Output:
    """Converter from decoded frames to blocks of samples."""

    def __init__(self, request: DecodeRequest) -> None:
        self._request = request
        self._written = 0  # samples
        self._surplus = 0  # samples still to be dropped, of frames that overlap
        self._kind: _Kind | None = None
        self._begin()

    def accepts(self, frame: av.AudioFrame) -> bool:
        """Return whether the frame has the same format as the buffered ones.

        A frame of another format must not be written.
        """
        return self._kind in (None, _kind(frame))

    def write(self, frame: av.AudioFrame) -> Iterator[bytes]:
        """Add a frame, and yield a block if enough samples are buffered."""
        if self._kind is None:
            self._kind = _kind(frame)
            self._resampler = self._converter(frame)
        frame.pts = None  # the fifo would check it; the timeline has done so
        self._fifo.write(frame)
        if self._fifo.samples >= _BLOCK_SECONDS * frame.sample_rate:
            yield from self._convert(self._fifo.read())

    def restart(self, second: float) -> Iterator[bytes]:
        """Yield the buffered samples, then silence up to ``second``.

        The next frame begins there.
        """
        yield from self.flush()
        missing = round(second * self._request.rate) - self._written
        self._surplus = max(0, -missing)
        while missing > 0:
            size = min(missing, self._request.block)
            missing -= size
            self._written += size
            yield bytes(self._request.sample_bytes * size)

    def flush(self) -> Iterator[bytes]:
        """Yield all buffered samples."""
        if self._fifo.samples:
            yield from self._convert(self._fifo.read())
        if self._kind:
            yield from self._convert(None)
        self._begin()

    def _begin(self) -> None:
        self._kind = None
        self._fifo = av.AudioFifo()

    def _converter(self, frame: av.AudioFrame) -> av.AudioResampler:
        rate, mixed = self._request.rate, "mono" if self._request.channels == 1 else "stereo"
        if self._request.channel is None:
            return av.AudioResampler("s16", mixed, rate)
        return av.AudioResampler("s16p", frame.layout, rate)  # a plane for each channel

    def _convert(self, frame: av.AudioFrame | None) -> Iterator[bytes]:
        size = self._request.sample_bytes
        for converted in self._resampler.resample(frame):
            drop = min(self._surplus, converted.samples)
            self._surplus -= drop
            if drop < converted.samples:
                self._written += converted.samples - drop
                plane = memoryview(converted.planes[self._request.channel or 0])
                yield bytes(plane[size * drop : size * converted.samples])


def _kind(frame: av.AudioFrame) -> _Kind:
    return (frame.format.name, frame.layout.name, frame.sample_rate)
