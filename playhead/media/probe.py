"""Probe a media file in a sandboxed process: its facts, and whether it can be transcribed."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Final

from playhead.core.errors import UnreadableMedia
from playhead.core.records import MediaFacts
from playhead.media.limits import MAX_STREAMS, require_length
from playhead.media.sandbox import run_sandboxed, sanitize_text

_CHANNELS: Final = re.compile(r"^audio: .* (\d+) channels$")


def probe(path: Path) -> MediaFacts:
    """Decode all of the first audio track, and return the facts of the file.

    A few damaged packets are accepted, and so is silence. Raises ``EmptyFile``,
    ``UnreadableMedia``, ``TruncatedMedia``, ``NoAudioTrack``, ``DecodingTooCostly``, and
    ``DecoderUnavailable``.
    """
    for kind, payload in run_sandboxed(path, {"do": "probe"}):
        if kind == "facts":
            facts = _parse_facts(payload)
            require_length(facts.duration_seconds, path.stat().st_size)
            return facts
    raise _no_result()


def channels_of_tracks(facts: MediaFacts) -> tuple[int, ...]:
    """Return the number of channels of each audio track, 0 if it cannot be decoded.

    These are the choices for an ``AudioChannel``.
    """
    audio = [line for line in facts.streams if line.startswith("audio: ")]
    found = [_CHANNELS.match(line) for line in audio]
    return tuple(int(match[1]) if match else 0 for match in found)


def _parse_facts(payload: bytes) -> MediaFacts:
    """Parse untrusted facts from the sandbox.

    Raises ``UnreadableMedia`` if they are invalid.
    """
    try:
        fields: dict[str, Any] = json.loads(payload)
        facts = MediaFacts(
            container=sanitize_text(fields["container"]),
            codec=sanitize_text(fields["codec"]),
            media_type=sanitize_text(fields["media_type"]),
            sample_rate=int(fields["sample_rate"]),
            channels=int(fields["channels"]),
            duration_seconds=float(fields["duration_seconds"]),
            streams=tuple(sanitize_text(line) for line in fields["streams"][:MAX_STREAMS]),
        )
    except (ValueError, LookupError, TypeError) as error:
        raise _no_result() from error
    if not math.isfinite(facts.duration_seconds):
        raise _no_result()
    return facts


def _no_result() -> UnreadableMedia:
    return UnreadableMedia(
        "The decoder returned invalid facts about the file.",
        remedy="Upload the recording again from its source, or convert it first.",
    )
