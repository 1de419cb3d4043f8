"""Decoding of common containers and codecs: the same sound at its time.

``benchmarks/formats.py`` tries every kind that FFmpeg can write.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.formats import compare_sounds
from playhead.core.errors import UnreadableMedia
from playhead.media.decode import decode
from playhead.media.probe import probe
from tests.support import media_files, media_formats

KINDS = """
    3gp/aac 3gp/libopencore_amrnb ac3/ac3 adts/aac aiff/pcm_s24be amr/libopencore_amrnb asf/wmav2
    au/pcm_mulaw avi/ac3 avi/eac3 avi/libmp3lame avi/vorbis avi/wmav2
    caf/alac eac3/eac3 flac/flac flv/aac flv/nellymoser ipod/alac
    ircam/pcm_s16le latm/aac matroska/ac3 matroska/wavpack mov/alac
    mov/adpcm_ima_qt mp2/mp2 mp3/libmp3lame mp4/ac3 mp4/alac mp4/flac
    mp4/libopus mpeg/mp2 mpegts/ac3 mpegts/libopus nut/flac ogg/flac ogg/libopus
    ogg/speex ogg/vorbis sox/pcm_s32le tta/tta voc/pcm_s16le w64/pcm_s16le
    wav/adpcm_ima_wav wav/g722 wav/g726 wav/libmp3lame wav/pcm_f64le
    wav/pcm_u8 webm/libopus webm/vorbis wv/wavpack
""".split()
CLIP = media_files.speech("en_austen_0880")


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.split("/")[1] in media_formats.codecs()]
)
def test_recording_is_decoded_from_any_container_and_codec(tmp_path: Path, kind: str) -> None:
    container, codec = kind.split("/")
    path = media_formats.write(tmp_path / "recording", container, codec, CLIP)
    comparison = compare_sounds(np.concatenate(list(decode(path))), CLIP)
    assert comparison.similarity > 0.3  # AMR keeps the voice, not the wave
    assert abs(comparison.shift_seconds) < 0.1
    assert probe(path).duration_seconds == pytest.approx(len(CLIP) / media_files.RATE, abs=0.35)


def test_undecodable_codec_is_named(tmp_path: Path) -> None:
    path = media_files.make_audio(tmp_path / "old.wav", CLIP)
    data = bytearray(path.read_bytes())
    data[20:22] = b"\x34\x12"
    path.write_bytes(data)
    with pytest.raises(UnreadableMedia, match=r"The audio codec .*0x1234.* is not supported"):
        probe(path)
