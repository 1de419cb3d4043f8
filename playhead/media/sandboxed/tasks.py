"""Tasks of a sandboxed process: each decodes or probes one file and sends the results."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from playhead.core.errors import PermanentError, UnreadableMedia
from playhead.media.limits import decoding_too_costly
from playhead.media.sandbox_messages import send, send_json, send_sound
from playhead.media.sandboxed.pcm import DecodeRequest, decode_pcm
from playhead.media.sandboxed.probe import probe_media
from playhead.media.sandboxed.restrictions import allow_cpu, lock_down_child

_PROGRESS_SECONDS: Final = 60.0  # of sound between two progress messages


def run_task(task: dict[str, Any], media: int, line: socket.socket) -> None:
    """Run ``task`` and send its results, or its error."""
    lock_down_child()
    try:
        _TASKS[task.pop("do")](media, line, **task)
        send(line, "end")
    except PermanentError as error:
        _send_error(line, error)
    except MemoryError:
        _send_error(line, decoding_too_costly("it needs more memory than any real recording"))
    except Exception as error:  # an unforeseen error is attributed to the file
        _send_error(line, _unexpected_error(error))


def _decode(
    media: int, line: socket.socket, start: float, end: float | None, **options: Any
) -> None:
    """Send the sound from second ``start`` to ``end``.

    Decodes from the beginning: only that gives the exact second of a sample in every container.
    """
    form, working, done = DecodeRequest(**options), _progress_sender(line), 0
    bytes_per_second = form.rate * form.sample_bytes
    first = round(start * form.rate) * form.sample_bytes
    last = sys.maxsize if end is None else round(end * form.rate) * form.sample_bytes
    for block in decode_pcm(media, os.fstat(media).st_size, form):
        block_start, done = done, done + len(block)
        allow_cpu(done / bytes_per_second)
        if done > first:
            send_sound(line, block[max(0, first - block_start) : last - block_start])
        else:
            working(done / bytes_per_second)
        if done >= last:
            return


def _probe(media: int, line: socket.socket) -> None:
    found = probe_media(media, os.fstat(media).st_size, _progress_sender(line))
    send_json(line, "facts", asdict(found))


def _progress_sender(line: socket.socket) -> Callable[[float], None]:
    reported = 0.0

    def working(seconds: float) -> None:
        nonlocal reported
        if seconds >= reported + _PROGRESS_SECONDS:
            reported = seconds
            allow_cpu(seconds)
            send(line, "working")

    return working


_TASKS: Final[dict[str, Callable[..., None]]] = {"decode": _decode, "probe": _probe}


def _send_error(line: socket.socket, error: PermanentError) -> None:
    fields = {"class": type(error).__name__, "message": str(error), "remedy": error.remedy}
    send_json(line, "error", fields)


def _unexpected_error(error: Exception) -> PermanentError:
    return UnreadableMedia(
        f"The decoder failed on the file: {type(error).__name__}.",
        remedy="Upload the recording again from its source, or convert it first.",
    )
