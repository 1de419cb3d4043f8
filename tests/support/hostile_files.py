"""Hostile files, made on the fly: playlists that point elsewhere, bombs, mutated files.

Every function writes into the folder it is given. ``integration/test_sandbox.py`` and
``benchmarks/hostile.py`` check how Playhead reacts to them.
"""

from __future__ import annotations

import random
import struct
import wave
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support import media_files

Maker = Callable[[Path], Path]


def playlist_files(canary: Path, url: str) -> dict[str, bytes]:
    """Return files by name that ask the reader to open ``canary`` or to fetch ``url``."""
    places = {"path": str(canary), "name": canary.name, "file url": f"file://{canary}", "url": url}
    return {
        f"{kind} by {how}": text.replace("TARGET", place).encode()
        for kind, text in _LISTS.items()
        for how, place in places.items()
    } | {f"mov by {how}": _external_movie(place) for how, place in places.items()}


_LISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nTARGET\n#EXT-X-ENDLIST\n",
    "hls key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="TARGET"\n#EXTINF:9,\nTARGET\n',
    "hls map": '#EXTM3U\n#EXT-X-MAP:URI="TARGET"\n#EXTINF:9,\nTARGET\n#EXT-X-ENDLIST\n',
    "hls of lists": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nTARGET\n",
    "concat": "ffconcat version 1.0\nfile 'TARGET'\n",
    "concat without a word": "file 'TARGET'\nfile 'TARGET'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    '<Period><AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="1">'
    "<BaseURL>TARGET</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/'
    '2067-3/2016"><Id>urn:uuid:1</Id><EditRate>24 1</EditRate><File>TARGET</File>'
    "</CompositionPlaylist>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\na=control:TARGET\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=audio 5004 RTP/AVP 0\n",
    "pls": "[playlist]\nFile1=TARGET\nNumberOfEntries=1\n",
    "asx": '<asx version="3"><entry><ref href="TARGET"/></entry></asx>',
    "asf reference": "[Reference]\nRef1=TARGET\n",
    "ram": "TARGET\n--stop--\n",
    "rtsp text": "rtsptextRTSP://TARGET\n",
    "smil": '<smil><body><audio src="TARGET"/></body></smil>',
    "xspf": '<?xml version="1.0"?><playlist version="1"><trackList><track><location>TARGET'
    "</location></track></trackList></playlist>",
    "cue": 'FILE "TARGET" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
    "vobsub": "# VobSub index file, v7 (do not modify this line!)\n# TARGET\n",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="TARGET"/></svg>',
    "subtitles": "[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: TARGET\n",
    "id3 before a list": "ID3\x04\x00\x00\x00\x00\x00\x00#EXTM3U\n#EXTINF:9,\nTARGET\n",
}


def _box(name: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", len(body) + 8, name.encode()) + body


def _external_movie(place: str) -> bytes:
    """Return a QuickTime file whose sound is in another file.

    It has a data reference and is also a reference movie.
    """
    target = place.encode() + b"\0"
    table = _box("dref", struct.pack(">II", 0, 1), _box("url ", bytes(4), target))
    sound = struct.pack(">6xH8xHHHHI", 1, 1, 16, 0, 0, 16_000 << 16)
    samples = _box(
        "stbl",
        _box("stsd", struct.pack(">II", 0, 1), _box("sowt", sound)),
        _box("stts", struct.pack(">IIII", 0, 1, 16_000, 1)),
        _box("stsc", struct.pack(">IIIII", 0, 1, 1, 16_000, 1)),
        _box("stsz", struct.pack(">III", 0, 2, 16_000)),
        _box("stco", struct.pack(">III", 0, 1, 44)),
    )
    header = _box("mdhd", struct.pack(">IIIIII", 0, 0, 0, 16_000, 16_000, 0))
    handler = _box("hdlr", struct.pack(">I4s4s12x", 0, b"mhlr", b"soun"), b"\0")
    media_box = _box("mdia", header, handler, _box("minf", _box("dinf", table), samples))
    track = _box("trak", _box("tkhd", bytes(84)), media_box)
    movie = _box("mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 1000), bytes(80))
    reference = _box("rdrf", bytes(4), b"url ", struct.pack(">I", len(target)), target)
    reference_movie = _box("rmra", _box("rmda", reference))
    return _box("ftyp", b"qt  \0\0\0\0qt  ") + _box("moov", movie, track, reference_movie)


def hole_of_a_day(folder: Path) -> Path:
    """Write a file of some kilobytes: two seconds, nothing for 22 hours, three seconds."""
    sound = media_files.speech("en_austen_0890")
    return media_files.make_audio(folder / "hole.mkv", sound, gaps=[(2.0, 22 * 3600.0)])


def one_sample_a_second(folder: Path) -> Path:
    """Write a WAV file at 1 Hz: two hours in sixteen kilobytes."""
    return _wave(folder / "slow.wav", 1, 8_000)


def _wave(path: Path, rate: int, samples: int, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(bytes(2 * channels * samples))
    return path


def absurd_rate(folder: Path) -> Path:
    return _patched(_wave(folder / "fast.wav", 8000, 50_000), 24, struct.pack("<I", 0x7FFF_FFFF))


def absurd_channels(folder: Path) -> Path:
    return _patched(_wave(folder / "many.wav", 8000, 50_000), 22, struct.pack("<H", 0xFFFF))


def absurd_pictures(folder: Path) -> Path:
    """Write a video that claims to be 65,535 pixels wide and high."""
    path = media_files.make_video(folder / "large.mp4", media_files.speech("en_austen_0880"))
    data = path.read_bytes().replace(struct.pack(">HH", 64, 48), b"\xff\xff\xff\xff")
    path.write_bytes(data)
    return path


def samples_without_end(folder: Path) -> Path:
    """Write an MP4 file whose tables claim two thousand million samples."""
    path = media_files.make_audio(folder / "endless.m4a", media_files.speech("en_austen_0880"))
    data = bytearray(path.read_bytes())
    for name, at, maximum in (("stts", 12, 0x7FFF_FFFF), ("stsz", 8, 1), ("stsz", 12, 0x7FFF_FFFF)):
        start = data.index(name.encode()) + at
        data[start : start + 4] = struct.pack(">I", maximum)
    path.write_bytes(data)
    return path


def inflating_index(folder: Path) -> Path:
    """Write a QuickTime file with a compressed index: over a gigabyte of zeros in a megabyte."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    body = _box("dcom", b"zlib") + _box("cmvd", struct.pack(">I", 0x7000_0000), packed)
    path = folder / "inflating.mov"
    path.write_bytes(_box("ftyp", b"qt  \0\0\0\0qt  ") + _box("moov", _box("cmov", body)))
    return path


def thousands_of_tracks(folder: Path) -> Path:
    path = media_files.make_audio(folder / "tracks.m4a", media_files.speech("en_austen_0880"))
    data = path.read_bytes()
    movie = data.index(b"moov") - 4
    track = data.index(b"trak") - 4
    size = int.from_bytes(data[movie : movie + 4], "big")
    end = track + int.from_bytes(data[track : track + 4], "big")
    more = data[track:end] * 5000
    path.write_bytes(
        data[:movie]
        + struct.pack(">I", size + len(more))
        + data[movie + 4 : end]
        + more
        + data[end:]
    )
    return path


def giant_metadata(folder: Path) -> Path:
    """Write an MP3 file after a tag with a picture of 255 MB, a hole in the file system."""
    sound = media_files.make_audio(
        folder / "plain.mp3", media_files.speech("en_austen_0880")
    ).read_bytes()
    size, path = 255 << 20, folder / "tagged.mp3"
    seven = bytes((size + 30) >> shift & 0x7F for shift in (21, 14, 7, 0))
    picture = b"APIC" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(2)
    with path.open("wb") as file:
        file.write(b"ID3\x04\0\0" + seven + picture + b"\0image/png\0\x03\0\x89PNG")
        file.seek(size + 40)
        file.write(sound)
    return path


def zeros_without_end(folder: Path) -> Path:
    """Write a WAV file that lasts a month: a hole of a hundred gigabytes in the file system."""
    path = _wave(folder / "month.wav", 16_000, 16_000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[4:8] = data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    with path.open("r+b") as file:
        file.truncate(100 << 30)
    return path


def nothing_to_find(folder: Path) -> Path:
    """Write three seconds followed by a terabyte of zeros to search."""
    path = media_files.make_audio(folder / "search.flac", media_files.speech("en_austen_0880"))
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    return path


def _patched(path: Path, at: int, new: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[at : at + len(new)] = new
    path.write_bytes(data)
    return path


#: Over a limit: these end with ``DecodingTooCostly``.
BOMBS: dict[str, Maker] = {
    "a hole of a day": hole_of_a_day,
    "one sample a second": one_sample_a_second,
    "an index that inflates": inflating_index,
    "zeros without end": zeros_without_end,
    "thousands of tracks": thousands_of_tracks,
}
#: The same, but only the limit on processor time stops them: a minute of it.
SLOW_BOMBS: dict[str, Maker] = {
    "nothing to find": nothing_to_find,
}
#: These only look absurd: read, or rejected like any other file.
ABSURD: dict[str, Maker] = {
    "samples without end": samples_without_end,
    "absurd rate": absurd_rate,
    "absurd channels": absurd_channels,
    "absurd pictures": absurd_pictures,
    "giant metadata": giant_metadata,
}


def mutated_files(folder: Path, count: int, *, seed: int) -> Iterator[Path]:
    """Yield ``count`` files of every kind in turn, each mutated in one of several ways.

    Equal seeds give equal files. Each is deleted when the next one is created.
    """
    rng, sound = random.Random(seed), media_files.speech("en_austen_0880")
    healthy = {
        suffix: media_files.make_audio(folder / f"healthy{suffix}", sound).read_bytes()
        for suffix in media_files.SUFFIXES
    }
    video = {
        s: media_files.make_video(folder / f"video{s}", sound).read_bytes()
        for s in (".mp4", ".mkv")
    }
    kinds = [*healthy.items(), *video.items()]
    for number in range(count):
        suffix, data = kinds[number % len(kinds)]
        path = folder / f"mutated{suffix}"
        path.write_bytes(rng.choice(_MUTATIONS)(bytearray(data), rng))
        yield path


def _add_noise(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice([1, 10, 100, 1000])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return data


def _change_header(data: bytearray, rng: random.Random) -> bytearray:
    """Change bytes where the sizes and counts are."""
    for _ in range(rng.choice([1, 3, 10])):
        data[rng.randrange(min(300, len(data)))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
    return data


def _set_number(data: bytearray, rng: random.Random) -> bytearray:
    """Set four bytes to a number at the limit of its type."""
    at = rng.randrange(len(data) - 4)
    data[at : at + 4] = struct.pack(">I", rng.choice([0, 1, 0x7FFF_FFFF, 0x8000_0000, 2**32 - 1]))
    return data


def _repeat_part(data: bytearray, rng: random.Random) -> bytearray:
    start, size, at = (rng.randrange(len(data)) for _ in range(3))
    data[at:at] = data[start : start + size]
    return data


def _remove_part(data: bytearray, rng: random.Random) -> bytearray:
    at = rng.randrange(len(data) - 1)
    del data[at : at + rng.choice([1, 8, 500, len(data)])]
    return data or bytearray(b"\0")


_MUTATIONS = (_add_noise, _change_header, _set_number, _repeat_part, _remove_part)
