"""Every kind of file that FFmpeg can write here: a container and its codec.

``benchmarks/formats.py`` and ``integration/test_media_formats.py`` check that Playhead reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import av

from tests.support import media_files

#: Muxers that write no recording: checksums and logs, playlists with files beside them, the
#: network, pictures, subtitles, devices.
_NOT_RECORDINGS = frozenset(
    "a64 adx alp alsa apv avif chromaprint crc dash data fbdev ffmetadata fifo fifo_test "
    "film_cpk framecrc framehash framemd5 gif hash hds hls ico image2 image2pipe ismv ivf "
    "jacosub lrc mcc md5 microdvd mkvtimestamp_v2 mpjpeg mxf_opatom null oss rawvideo rcwt rtp "
    "rtp_mpegts rtsp sap scc segment smoothstreaming srt stream_segment streamhash sup tee ttml "
    "uncodedframecrc video4linux2 webm_chunk webm_dash_manifest webvtt whip".split()
)
#: Raw samples without a header: any bytes could be such a file.
_HEADERLESS = frozenset(
    "alaw aptx aptx_hd argo_cvg bit codec2raw daud dfpwm f32be f32le f64be f64le g722 g723_1 g726 "
    "g726le mulaw s16be s16le s24be s24le s32be s32le s8 u16be u16le u24be u24le u32be u32le u8 "
    "vidc".split()
)
_LAYOUTS = ("mono", "stereo")
_RATES = (16_000, 48_000, 44_100, 8_000)


class CannotWrite(Exception):
    """Raised if FFmpeg does not put this codec into this container."""


@cache
def containers() -> tuple[str, ...]:
    """Return the muxers of recordings."""
    names = (
        {name.partition(",")[0] for name in av.formats_available} - _NOT_RECORDINGS - _HEADERLESS
    )
    return tuple(sorted(name for name in names if _exists(av.ContainerFormat, name)))


@cache
def codecs() -> tuple[str, ...]:
    """Return the encoders of sound; of two that write the same format, the first."""
    found: dict[str, str] = {}
    for name in sorted(av.codecs_available):
        if _exists(av.Codec, name) and (codec := av.Codec(name, "w")).type == "audio":
            found.setdefault(codec.canonical_name, name)
    return tuple(sorted(set(found.values()) - {"anull", "comfortnoise"}))


def _exists(kind: type, name: str) -> bool:
    with suppress(ValueError):
        kind(name, "w")
        return True
    return False


def write(path: Path, container: str, codec: str, sound: media_files.Sound) -> Path:
    """Write the sound. Raises ``CannotWrite``."""
    for layout, rate in _kinds(codec):
        with suppress(av.FFmpegError, ValueError, NotImplementedError):
            _write(path, container, codec, sound, layout, rate)
            if path.stat().st_size:
                return path
    raise CannotWrite


def _kinds(codec: str) -> Iterator[tuple[str, int]]:
    """Yield layouts and rates that the codec might accept, the most likely first."""
    allowed = media_files.RATES.get(codec) or av.Codec(codec, "w").audio_rates
    rates = [rate for rate in _RATES if not allowed or rate in allowed]
    return ((layout, rate) for layout in _LAYOUTS for rate in rates)


def _write(
    path: Path, container: str, codec: str, sound: media_files.Sound, layout: str, rate: int
) -> None:
    with av.open(str(path), "w", format=container) as output:
        options = {"strict": "-2"}
        stream = output.add_stream(codec, rate=rate, layout=layout, options=options)
        if codec in ("wmav1", "wmav2"):
            stream.bit_rate = 32_000
        stream.codec_context.open()
        for packet in media_files.encode(stream, sound):
            output.mux(packet)
