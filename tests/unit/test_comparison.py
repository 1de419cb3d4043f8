"""Two versions of a transcript, and what a person is told of their difference."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from playhead.core.records import Segment, Transcript, Word
from playhead.transcripts.correction import correct_all, correct_segment
from playhead.transcripts.diff import Change, compare
from tests.unit.transcript_strategies import edits, transcripts


def heard(*texts: str, speaker: str | None = None) -> Transcript:
    """A second a word; each text is a segment."""
    words = tuple(Word(word, i, i + 0.8) for i, word in enumerate(" ".join(texts).split()))
    left, segments = list(words), []
    for text in texts:
        mine = [left.pop(0) for _ in text.split()]
        segments.append(Segment(text, mine[0].start, mine[-1].end, speaker))
    return Transcript(" ".join(texts), "en", float(len(words)), words, tuple(segments))


def words(seconds: float, before: str, after: str) -> Change:
    return Change("words", seconds, before, after)


def test_replaced_added_and_deleted_words_are_told_with_their_second() -> None:
    old = heard("the cat sat down and then it purred", "at us")
    new = correct_segment(old, 0, "the big cap lay down and it purred loudly")
    assert compare(old, new) == (
        words(1.0, "cat sat", "big cap lay"),
        words(5.0, "then", ""),
        words(7.8, "", "loudly"),
    )


def test_versions_that_say_the_same_do_not_differ() -> None:
    old = heard("one two", "three")
    moved = [replace(segment, start=segment.start + 0.1) for segment in old.segments]
    assert compare(old, old) == ()
    assert compare(old, correct_all(old, moved)) == ()
    assert compare(old, replace(old, text="one\ntwo\n\nthree")) == ()


def test_a_renamed_speaker_is_told_once() -> None:
    old = heard("one two", "three four", "five", speaker="SPEAKER_00")
    names = ["SPEAKER_00", "Ann", "Ann"]
    new = correct_all(
        old,
        [replace(one, speaker=name) for one, name in zip(old.segments, names, strict=True)],
    )
    assert compare(old, new) == (Change("speaker", 2.0, "SPEAKER_00", "Ann"),)
    nobody = correct_all(old, [replace(one, speaker=None) for one in old.segments])
    assert compare(nobody, old) == (Change("speaker", 0.0, "", "SPEAKER_00"),)


def test_a_speaker_without_a_space_before_is_told_too() -> None:
    ann, bob = Segment("今日", 0.0, 1.0, "Ann"), Segment("雨", 1.0, 2.0, "Bob")
    old = Transcript("今日雨", "ja", 2.0, (), (ann, bob))
    new = correct_all(old, [ann, replace(bob, speaker="Eve")])
    assert compare(old, new) == (Change("speaker", 1.0, "Bob", "Eve"),)


def test_a_character_of_a_script_without_spaces_is_told_alone() -> None:
    old = replace(heard("今日は雨です。"), words=())
    new = correct_segment(old, 0, "今日は雪です。")
    assert compare(old, new) == (words(0.0, "雨", "雪"),)


def test_all_of_a_text_can_come_or_go() -> None:
    silent = Transcript("", "en", 5.0, (), ())
    spoken = heard("one two")
    assert compare(silent, spoken) == (words(0.0, "", "one two"),)
    assert compare(spoken, silent) == (words(0.0, "one two", ""),)
    assert compare(silent, silent) == ()


@settings(max_examples=200, deadline=None)
@given(transcripts().flatmap(lambda old: st.tuples(st.just(old), edits(old))))
def test_what_is_told_accounts_for_every_letter_that_changed(
    case: tuple[Transcript, list[Segment]],
) -> None:
    old, segments = case
    new = correct_all(old, segments)
    told = [change for change in compare(old, new) if change.what == "words"]
    assert bool(told) == (old.text.split() != new.text.split())
    gone = sum(len("".join(change.before.split())) for change in told)
    come = sum(len("".join(change.after.split())) for change in told)
    before, after = "".join(old.text.split()), "".join(new.text.split())
    assert len(before) - gone == len(after) - come
    assert [change.seconds for change in told] == sorted(change.seconds for change in told)
    assert all(change.before in old.text and change.after in new.text for change in told)
