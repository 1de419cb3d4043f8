"""A model's own tokens, read from its ``tokenizer.json``.

Here: counting, positions and ids. Not here: vectors (``minilm.py``, ``wordllama.py``),
cutting text to size (``playhead/chunking``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

# Not Unicode text, so no tokenizer takes them; an undecodable command-line byte becomes one.
_SURROGATES = re.compile("[\ud800-\udfff]")


class FileTokenizer:
    """A ``tokenizer.json``, neither padding nor truncating."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """``(char_start, char_end)`` of every token, in order. A character of several tokens
        (a rare one, spelt in bytes) gives each of them the same pair."""
        encoding = self._tokenizer.encode(_readable(text), add_special_tokens=False)
        return list(encoding.offsets)

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(_readable(text), add_special_tokens=False))

    def ids(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        """The token ids of each text; ``special`` adds what the model was trained to see
        around a text ([CLS] and [SEP], say)."""
        readable = [_readable(text) for text in texts]
        encodings = self._tokenizer.encode_batch_fast(readable, add_special_tokens=special)
        return [encoding.ids for encoding in encodings]


def _readable(text: str) -> str:
    """``text`` with each lone surrogate replaced by U+FFFD: as many characters as before."""
    return _SURROGATES.sub("\ufffd", text)
