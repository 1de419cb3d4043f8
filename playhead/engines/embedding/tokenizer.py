"""A model's own tokens, read from its ``tokenizer.json``.

Here: counting, positions and ids. Not here: vectors (``minilm.py``, ``wordllama.py``),
cutting text to size (``playhead/chunking``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from playhead.core.text import replace_surrogates

# Not Unicode text, so no tokenizer takes them; an undecodable command-line byte becomes one.


class FileTokenizer:
    """A ``tokenizer.json``, neither padding nor truncating."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """``(char_start, char_end)`` of every token, in order. A character of several tokens
        (a rare one, spelt in bytes) gives each of them the same pair."""
        encoding = self._tokenizer.encode(replace_surrogates(text), add_special_tokens=False)
        return list(encoding.offsets)

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(replace_surrogates(text), add_special_tokens=False))

    def ids(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        """The token ids of each text; ``special`` adds what the model was trained to see
        around a text ([CLS] and [SEP], say)."""
        readable = [replace_surrogates(text) for text in texts]
        encodings = self._tokenizer.encode_batch_fast(readable, add_special_tokens=special)
        return [encoding.ids for encoding in encodings]
