"""Differences between two versions of a transcript."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from playhead.core.records import Segment, Transcript, Word
from playhead.transcripts.correction import correct_all, correct_segment
from playhead.transcripts.diff import Change, compare
from tests.unit.transcript_strategies import edits, transcripts


def make_transcript(*texts: str, speaker: str | None = None) -> Transcript:
    """Return a transcript of one second per word; each text is a segment."""
    words_change = tuple(Word(word, i, i + 0.8) for i, word in enumerate(" ".join(texts).split()))
    remaining, segments = list(words_change), []
    for text in texts:
        own_words = [remaining.pop(0) for _ in text.split()]
        segments.append(Segment(text, own_words[0].start, own_words[-1].end, speaker))
    return Transcript(
        " ".join(texts), "en", float(len(words_change)), words_change, tuple(segments)
    )


def words_change(seconds: float, before: str, after: str) -> Change:
    return Change("words", seconds, before, after)


def test_changed_words_are_reported_with_their_second() -> None:
    old = make_transcript("the cat sat down and then it purred", "at us")
    new = correct_segment(old, 0, "the big cap lay down and it purred loudly")
    assert compare(old, new) == (
        words_change(1.0, "cat sat", "big cap lay"),
        words_change(5.0, "then", ""),
        words_change(7.8, "", "loudly"),
    )


def test_versions_with_equal_words_do_not_differ() -> None:
    old = make_transcript("one two", "three")
    moved = [replace(segment, start=segment.start + 0.1) for segment in old.segments]
    assert compare(old, old) == ()
    assert compare(old, correct_all(old, moved)) == ()
    assert compare(old, replace(old, text="one\ntwo\n\nthree")) == ()


def test_renamed_speaker_is_reported_once() -> None:
    old = make_transcript("one two", "three four", "five", speaker="SPEAKER_00")
    names = ["SPEAKER_00", "Ann", "Ann"]
    new = correct_all(
        old,
        [replace(segment, speaker=name) for segment, name in zip(old.segments, names, strict=True)],
    )
    assert compare(old, new) == (Change("speaker", 2.0, "SPEAKER_00", "Ann"),)
    unlabelled = correct_all(old, [replace(segment, speaker=None) for segment in old.segments])
    assert compare(unlabelled, old) == (Change("speaker", 0.0, "", "SPEAKER_00"),)


def test_speaker_change_without_a_space_is_reported() -> None:
    ann, bob = Segment("今日", 0.0, 1.0, "Ann"), Segment("雨", 1.0, 2.0, "Bob")
    old = Transcript("今日雨", "ja", 2.0, (), (ann, bob))
    new = correct_all(old, [ann, replace(bob, speaker="Eve")])
    assert compare(old, new) == (Change("speaker", 1.0, "Bob", "Eve"),)


def test_character_of_an_unspaced_script_is_reported_alone() -> None:
    old = replace(make_transcript("今日は雨です。"), words=())
    new = correct_segment(old, 0, "今日は雪です。")
    assert compare(old, new) == (words_change(0.0, "雨", "雪"),)


def test_whole_text_can_be_added_or_removed() -> None:
    silent = Transcript("", "en", 5.0, (), ())
    spoken = make_transcript("one two")
    assert compare(silent, spoken) == (words_change(0.0, "", "one two"),)
    assert compare(spoken, silent) == (words_change(0.0, "one two", ""),)
    assert compare(silent, silent) == ()


@settings(max_examples=200, deadline=None)
@given(transcripts().flatmap(lambda old: st.tuples(st.just(old), edits(old))))
def test_diff_accounts_for_every_changed_letter(
    case: tuple[Transcript, list[Segment]],
) -> None:
    old, segments = case
    new = correct_all(old, segments)
    changes = [change for change in compare(old, new) if change.what == "words"]
    assert bool(changes) == (old.text.split() != new.text.split())
    removed = sum(len("".join(change.before.split())) for change in changes)
    added = sum(len("".join(change.after.split())) for change in changes)
    before, after = "".join(old.text.split()), "".join(new.text.split())
    assert len(before) - removed == len(after) - added
    assert [change.seconds for change in changes] == sorted(change.seconds for change in changes)
    assert all(change.before in old.text and change.after in new.text for change in changes)
