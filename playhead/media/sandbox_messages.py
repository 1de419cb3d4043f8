"""Message protocol between the sandboxed process and its caller.

On the socket a message is a letter, a length, and that many bytes: JSON for facts and errors, plain
samples for sound, so nothing that could be executed.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any, Final, Literal

Kind = Literal["sound", "facts", "error", "working", "end"]
Message = tuple[Kind, bytes]

RATE: Final = 16_000  # Hz, the sample rate of Whisper and Silero

_LETTERS: Final[dict[Kind, bytes]] = {
    "sound": b"s",  # mono at RATE, signed 16 bit, little-endian
    "facts": b"f",
    "error": b"x",
    "working": b"w",
    "end": b".",
}
_KINDS: Final = {letter: kind for kind, letter in _LETTERS.items()}
_HEAD: Final = struct.Struct("<cI")
_MAX_BYTES: Final = 1 << 20  # thirty seconds of sound; blocks of ten seconds, split at this size


class ProtocolError(Exception):
    """The received bytes are not a valid message."""


def send(line: socket.socket, kind: Kind, payload: bytes = b"") -> None:
    line.sendall(_HEAD.pack(_LETTERS[kind], len(payload)) + payload)


def send_sound(line: socket.socket, samples: bytes) -> None:
    """Send samples in as many messages as needed."""
    for start in range(0, len(samples), _MAX_BYTES):
        send(line, "sound", samples[start : start + _MAX_BYTES])


def send_json(line: socket.socket, kind: Kind, value: Any) -> None:
    send(line, kind, json.dumps(value).encode())


def receive(line: socket.socket) -> Iterator[Message]:
    """Yield messages up to the last one, or until the other side disconnects.

    Raises ``ProtocolError`` for invalid data, and ``TimeoutError`` after the socket's timeout.
    """
    while head := _read_exactly(line, _HEAD.size):
        letter, size = _HEAD.unpack(head)
        if letter not in _KINDS or size > _MAX_BYTES:
            raise ProtocolError(f"{letter!r}, {size} bytes")
        payload = _read_exactly(line, size)
        if len(payload) < size:
            return
        yield _KINDS[letter], payload
        if _KINDS[letter] == "end":
            return


def _read_exactly(line: socket.socket, size: int) -> bytes:
    """Read exactly ``size`` bytes; none if the other side disconnected before."""
    data, done = bytearray(size), 0
    while done < size:
        if not (count := line.recv_into(memoryview(data)[done:])):
            return b""
        done += count
    return bytes(data)
