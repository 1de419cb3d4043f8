"""Media made on the fly: sound as arrays, files in every container, and ways to break them.

Sounds are mono float32 arrays at ``RATE``. Every ``make_…`` function writes one file and returns
its path; the suffix chooses the container. The spoken clips are in ``fixtures/speech``, with their
sources.
"""

from __future__ import annotations

import csv
import random
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float32]

RATE = 16_000  # Hz
SPEECH = Path(__file__).parents[1] / "fixtures" / "speech"

_CODECS = {
    ".aac": "aac",
    ".aiff": "pcm_s16be",
    ".amr": "libopencore_amrnb",
    ".avi": "libmp3lame",
    ".flac": "flac",
    ".m4a": "aac",
    ".mkv": "flac",
    ".mov": "aac",
    ".mp3": "libmp3lame",
    ".mp4": "aac",
    ".ogg": "vorbis",
    ".opus": "libopus",
    ".ts": "aac",
    ".wav": "pcm_s16le",
    ".webm": "libopus",
    ".wma": "wmav2",
}
SUFFIXES: tuple[str, ...] = tuple(_CODECS)

#: Encoders that take no other rate.
RATES = {"libopus": (48_000,), "libopencore_amrnb": (8_000,)}
_BLOCK = 960  # samples pushed at once


@dataclass(frozen=True, slots=True)
class Clip:
    """A real recording of speech and what is said in it."""

    path: Path
    seconds: float
    language: str
    text: str


def clips() -> tuple[Clip, ...]:
    """Return every clip of the speech fixtures, in the manifest's order."""
    with (SPEECH / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Clip(
                SPEECH / row["file"], float(row["seconds"]), row["language"], row["reference_text"]
            )
            for row in csv.DictReader(file, delimiter="\t")
        )


def speech(name: str = "en_jfk") -> Sound:
    """Return one clip's sound. ``en_jfk`` is 11 s long and starts to speak at 0.3 s."""
    with av.open(str(SPEECH / f"{name}.flac")) as container:
        resampler = av.AudioResampler("s16", "mono", RATE)
        frames = [*container.decode(audio=0), None]
        blocks = [out.to_ndarray()[0] for frame in frames for out in resampler.resample(frame)]
    return (np.concatenate(blocks) / 32768).astype(np.float32)


def silence(seconds: float) -> Sound:
    """Return digital silence."""
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def tone(seconds: float, *, hertz: float = 440.0, level: float = 0.3) -> Sound:
    """Return a sine wave."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def noise(seconds: float, *, level: float = 0.1, seed: int = 0) -> Sound:
    """Return white noise, the same for the same seed."""
    generator = np.random.default_rng(seed)
    return (level * generator.standard_normal(round(seconds * RATE))).astype(np.float32)


def make_audio(
    path: Path,
    sound: Sound,
    *,
    late: float = 0.0,
    gaps: Sequence[tuple[float, float]] = (),
    layout: str = "mono",
    options: dict[str, str] | None = None,
) -> Path:
    """Write a file with one audio stream.

    ``late`` shifts its first timestamp; each ``(second, length)`` of ``gaps`` shifts the part after
    that second of ``sound`` by ``length`` seconds more, like a recorder that lost a while.
    ``options`` go to the muxer.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        stream = _audio_stream(container, path.suffix, layout)
        for packet in encode(stream, sound, late, gaps):
            container.mux(packet)
    return path


def make_stereo(path: Path, channels: Sound) -> Path:
    """Write a WAV file with a channel for each row."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(channels.T * 32767).astype("<i2").tobytes())
    return path


def make_webm(path: Path, sound: Sound, *, gaps: Sequence[tuple[float, float]] = ()) -> Path:
    """Write WebM with Opus as a browser's recorder streams it: no duration in its header."""
    return make_audio(path, sound, gaps=gaps, options={"live": "1"})


def make_silence(path: Path, seconds: float) -> Path:
    """Write a healthy file of silence."""
    return make_audio(path, silence(seconds))


def make_video(path: Path, sound: Sound, *, late: float = 0.0) -> Path:
    """Write moving pictures from second 0 with one audio track that starts ``late`` seconds in."""
    with av.open(str(path), "w") as container:
        pictures, voice = _video_stream(container), _audio_stream(container, path.suffix, "mono")
        packets = [
            *_encode_pictures(pictures, late + len(sound) / RATE),
            *encode(voice, sound, late, ()),
        ]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def make_video_without_audio(path: Path, seconds: float = 2.0) -> Path:
    """Write moving pictures and no audio track at all."""
    with av.open(str(path), "w") as container:
        for packet in _encode_pictures(_video_stream(container), seconds):
            container.mux(packet)
    return path


def make_image(path: Path) -> Path:
    """Write a still picture (.png or .jpg)."""
    codec = {".png": "png", ".jpg": "mjpeg"}[path.suffix]
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream(codec, rate=1)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = {"png": "rgb24", "mjpeg": "yuvj420p"}[codec]
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8), format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def truncate(path: Path, keep: float = 0.5) -> Path:
    """Truncate the file in place after its first ``keep`` (0 to 1) of bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def damage(path: Path, *, at: float = 0.5, count: int = 200) -> Path:
    """Overwrite ``count`` bytes from ``at`` (0 to 1) of the file with noise, in place."""
    data = bytearray(path.read_bytes())
    start = int(len(data) * at)
    data[start : start + count] = np.random.default_rng(1).bytes(count)[: len(data) - start]
    path.write_bytes(data)
    return path


def damaged_at_random(folder: Path, sound: Sound, *, seed: int) -> Iterator[Path]:
    """Yield files of every kind with 1, 30 or 1,000 bytes overwritten, eight per kind.

    Equal seeds give equal files. Each is deleted when the next one is created.
    """
    rng = random.Random(seed)
    for suffix in SUFFIXES:
        healthy = make_audio(folder / f"healthy{suffix}", sound).read_bytes()
        for _ in range(8):
            data = bytearray(healthy)
            for _ in range(rng.choice([1, 30, 1000])):
                data[rng.randrange(len(data))] = rng.randrange(256)
            path = folder / f"damaged{suffix}"
            path.write_bytes(data)
            yield path


def _audio_stream(
    container: av.container.OutputContainer, suffix: str, layout: str
) -> av.AudioStream:
    codec = _CODECS[suffix]
    layout = "stereo" if codec == "vorbis" else layout  # FFmpeg's own encoder knows no mono
    stream = container.add_stream(
        codec, rate=RATES.get(codec, (RATE,))[0], layout=layout, options={"strict": "-2"}
    )
    if codec == "wmav2":
        stream.bit_rate = 32_000
    stream.codec_context.open()
    return stream


def encode(
    stream: av.AudioStream,
    sound: Sound,
    late: float = 0.0,
    gaps: Sequence[tuple[float, float]] = (),
) -> Iterator[av.Packet]:
    """Encode the sound for a stream. ``late`` and ``gaps`` as for ``make_audio``."""
    rate = stream.rate
    resampler = av.AudioResampler(stream.format, stream.layout, rate, stream.frame_size or None)
    blocks = (sound[at : at + _BLOCK] for at in range(0, len(sound), _BLOCK))
    frames = (out for block in blocks for out in resampler.resample(_frame(block)))
    done = 0
    for frame in chain(frames, _flush(resampler)):
        shift = late + sum(length for second, length in gaps if second * rate <= done)
        frame.pts, frame.time_base = done + round(shift * rate), Fraction(1, rate)
        done += frame.samples
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _flush(resampler: av.AudioResampler) -> Iterator[av.AudioFrame]:
    yield from resampler.resample(None)


def _frame(block: Sound) -> av.AudioFrame:
    pcm = np.round(np.clip(block, -1, 1) * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
    frame.sample_rate = RATE
    return frame


def _video_stream(container: av.container.OutputContainer) -> av.VideoStream:
    codec = "libvpx" if container.format.name == "webm" else "mpeg4"
    stream = container.add_stream(codec, rate=5)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    return stream


def _encode_pictures(stream: av.VideoStream, seconds: float) -> Iterator[av.Packet]:
    """Encode grey pictures, five per second."""
    for shade in range(max(1, round(seconds * 5))):
        picture = np.full((48, 64, 3), shade % 256, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = shade, Fraction(1, 5)
        yield from stream.encode(frame)
    yield from stream.encode(None)
