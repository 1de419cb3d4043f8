"""Tokenizer of a model, loaded from its ``tokenizer.json``: counts, positions and ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from playhead.core.text import replace_surrogates

# Surrogates are replaced first: they are not Unicode text, so tokenizers reject them. An
# undecodable byte on the command line becomes one.


class FileTokenizer:
    """Tokenizer from a ``tokenizer.json``, without padding or truncation."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """Return ``(char_start, char_end)`` of every token, in order.

        If a character has several tokens (a rare one, encoded in bytes), each has the same pair.
        """
        encoding = self._tokenizer.encode(replace_surrogates(text), add_special_tokens=False)
        return list(encoding.offsets)

    def count(self, text: str) -> int:
        """Return the number of tokens of ``text``, without special tokens."""
        return len(self._tokenizer.encode(replace_surrogates(text), add_special_tokens=False))

    def ids(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        """Return the token ids of each text.

        ``special`` adds the special tokens that the model was trained with around a text ([CLS] and
        [SEP], for example).
        """
        readable = [replace_surrogates(text) for text in texts]
        encodings = self._tokenizer.encode_batch_fast(readable, add_special_tokens=special)
        return [encoding.ids for encoding in encodings]
