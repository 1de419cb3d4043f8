"""Corrected transcripts: the correction applies, everything else stays exactly as before."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playhead.core.errors import InvalidCorrection, InvalidEngineOutput
from playhead.core.records import Segment, Transcript, Word
from playhead.transcripts.correction import correct_all, correct_segment
from playhead.transcripts.word_positions import check_times, segment_timeline
from tests.unit.chunking_strategies import prose
from tests.unit.transcript_strategies import edits, transcripts

Edited = tuple[Transcript, list[Segment]]


def edited(all_timed: bool = False) -> st.SearchStrategy[Edited]:
    return transcripts(all_timed=all_timed).flatmap(lambda old: st.tuples(st.just(old), edits(old)))


def letters(*texts: str) -> str:
    """Return the texts without white space."""
    return "".join("".join(texts).split())


def make_transcript(*segments: str, words: Sequence[str] | None = None) -> Transcript:
    """Return a transcript of one second per word: 0.8 of speech, then a pause.

    ``words`` replaces the words between spaces.
    """
    spoken = list(words or " ".join(segments).split())
    word_times = tuple(Word(word, float(i), i + 0.8) for i, word in enumerate(spoken))
    remaining, parts = list(word_times), []
    for text in segments:
        own_words = [remaining.pop(0)]
        while letters(*(word.word for word in own_words)) != letters(text):
            own_words.append(remaining.pop(0))
        parts.append(Segment(text, own_words[0].start, own_words[-1].end))
    return Transcript(" ".join(segments), "en", float(len(spoken)), word_times, tuple(parts))


def word_times(transcript: Transcript) -> list[tuple[str, float, float]]:
    return [(word.word, round(word.start, 3), round(word.end, 3)) for word in transcript.words]


# --- invariants ---------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(edited())
def test_correction_is_a_valid_transcript_with_the_given_text(case: Edited) -> None:
    old, segments = case
    new = correct_all(old, segments)
    check_times(new)
    given_ = [segment for segment in segments if segment.text.strip()]
    assert letters(new.text) == letters(*(segment.text for segment in given_))
    assert [letters(segment.text) for segment in new.segments] == [
        letters(segment.text) for segment in given_
    ]
    assert [(segment.start, segment.end, segment.speaker) for segment in new.segments] == [
        (segment.start, segment.end, segment.speaker) for segment in given_
    ]
    assert len(segment_timeline(new.text, new.segments)) == len(given_)
    assert (new.language, new.duration_seconds) == (old.language, old.duration_seconds)


@settings(max_examples=200, deadline=None)
@given(edited(all_timed=True))
def test_words_keep_times_and_order_if_all_had_times(case: Edited) -> None:
    old, segments = case
    new = correct_all(old, segments)
    spoken = letters(*(word.word for word in new.words))
    assert spoken == (letters(new.text) if old.words else "")
    assert all(word.start <= word.end for word in new.words)
    for before, after in pairwise(new.words):
        assert before.start <= after.start
        assert before.end <= after.end


@settings(max_examples=200, deadline=None)
@given(transcripts())
def test_unedited_segments_change_nothing(old: Transcript) -> None:
    assert correct_all(old, old.segments) == old


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["keep", "drop", "spell", "add", "split"]), min_size=1, max_size=40),
    st.integers(1, 9),
)
def test_untouched_words_keep_their_exact_times(operations: list[str], segment_size: int) -> None:
    spoken = [f"word{i}" for i in range(len(operations))]
    rows = [spoken[i : i + segment_size] for i in range(0, len(spoken), segment_size)]
    old = make_transcript(*(" ".join(row) for row in rows))
    replacements = {
        "keep": "{}",
        "drop": "",
        "spell": "{},",
        "add": "{} (new) words",
        "split": "a b c",
    }
    segments = [
        replace(
            segment,
            text=" ".join(
                replacements[operations[int(w[4:])]].format(w) for w in segment.text.split()
            ),
        )
        for segment in old.segments
    ]
    new = correct_all(old, segments)
    stored = {word.word: word for word in new.words}
    for word, operation in zip(old.words, operations, strict=True):
        if operation in ("keep", "add"):
            assert stored[word.word] == word
        else:
            assert word.word not in stored
    untouched = [word for word in new.words if word in old.words]
    for before, after in pairwise([Word("", 0.0, 0.0), *untouched, Word("", 1e9, 1e9)]):
        first = new.words.index(before) + 1 if before.word else 0
        last = new.words.index(after) if after.word else len(new.words)
        between = new.words[first:last]
        assert all(before.end <= word.start <= word.end <= after.start for word in between)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["{}", "{}!", "other"]), min_size=1, max_size=40))
def test_equal_number_of_replaced_words_keeps_their_times(operations: list[str]) -> None:
    spoken = [f"word{i}" for i in range(len(operations))]
    old = make_transcript(" ".join(spoken))
    replacements = [
        operation.format(word) for operation, word in zip(operations, spoken, strict=True)
    ]
    new = correct_segment(old, 0, " ".join(replacements))
    assert new.words == tuple(
        replace(before, word=word) for before, word in zip(old.words, replacements, strict=True)
    )


# --- words and their times ----------------------------------------------------------------


def test_replaced_word_takes_the_time_of_the_old_one() -> None:
    old = make_transcript("The cat sat down.", "It purred.")
    new = correct_segment(old, 0, "The cap sat down.")
    assert new.text == "The cap sat down. It purred."
    assert new.words == (old.words[0], Word("cap", 1.0, 1.8), *old.words[2:])
    assert new.segments == (replace(old.segments[0], text="The cap sat down."), old.segments[1])


def test_one_word_split_in_two_shares_its_time_by_letters() -> None:
    new = correct_segment(make_transcript("we alot more"), 0, "we love more more")
    assert word_times(new)[1:3] == [("love", 1.0, 1.4), ("more", 1.4, 1.8)]
    new = correct_segment(make_transcript("so abcd more"), 0, "so a bcd more")
    assert word_times(new)[1:3] == [("a", 1.0, 1.2), ("bcd", 1.2, 1.8)]


def test_two_words_joined_take_the_time_of_both() -> None:
    new = correct_segment(make_transcript("a new foundland dog"), 0, "a Newfoundland dog")
    assert word_times(new) == [("a", 0.0, 0.8), ("Newfoundland", 1.0, 2.8), ("dog", 3.0, 3.8)]


def test_added_word_takes_the_pause_around_it() -> None:
    new = correct_segment(make_transcript("not good"), 0, "not so good")
    assert word_times(new) == [("not", 0.0, 0.8), ("so", 0.8, 1.0), ("good", 1.0, 1.8)]


def test_word_added_at_a_segment_edge_is_not_in_the_silence_before_it() -> None:
    old = make_transcript("one two", "three")
    later = [replace(word, start=word.start + 60, end=word.end + 60) for word in old.words[2:]]
    segments = (old.segments[0], Segment("three", later[0].start, later[0].end))
    old = replace(old, words=(*old.words[:2], *later), segments=segments, duration_seconds=90.0)
    new = correct_segment(old, 1, "and three")
    assert word_times(new)[2:] == [("and", 62.0, 62.0), ("three", 62.0, 62.8)]


def test_new_segment_in_silence_has_its_own_times() -> None:
    old = make_transcript("one", "two")
    old = replace(
        old,
        duration_seconds=60.0,
        words=(old.words[0], Word("two", 50.0, 51.0)),
        segments=(old.segments[0], Segment("two", 50.0, 51.0)),
    )
    added = Segment("hear hear", 20.0, 22.0, "Bob")
    new = correct_all(old, [old.segments[0], added, old.segments[1]])
    assert word_times(new)[1:3] == [("hear", 20.0, 21.0), ("hear", 21.0, 22.0)]
    assert new.text == "one hear hear two"


def test_new_segments_that_overlap_follow_each_other() -> None:
    old = make_transcript("one", "two")
    old = replace(
        old,
        duration_seconds=60.0,
        words=(old.words[0], Word("two", 50.0, 51.0)),
        segments=(old.segments[0], Segment("two", 50.0, 51.0)),
    )
    added = [Segment("I see", 20.0, 30.0, "Ann"), Segment("no no", 22.0, 32.0, "Bob")]
    new = correct_all(old, [old.segments[0], *added, old.segments[1]])
    assert [word.end for word in new.words[1:5]] == sorted(word.end for word in new.words[1:5])
    assert new.words[3].start == 30.0


def test_words_replaced_over_several_segments_stay_in_their_segment() -> None:
    old = make_transcript("la la la", "lo lo lo")
    new = correct_all(
        old,
        [replace(old.segments[0], text="a b"), replace(old.segments[1], text="c d e f g")],
    )
    assert [word.start < 3.0 for word in new.words] == [True] * 2 + [False] * 5


def test_word_is_matched_despite_case_and_punctuation() -> None:
    new = correct_segment(make_transcript("well um Yes. go"), 0, "yes, go")
    assert word_times(new)[0] == ("yes,", 2.0, 2.8)


def test_shared_times_end_where_the_replaced_words_end() -> None:
    words = (Word("one", 0.03, 0.2), Word("two", 0.2, 0.29), Word("now", 0.29, 0.6))
    old = Transcript("one two now", "en", 1.0, words, (Segment("one two now", 0.03, 0.6),))
    new = correct_segment(old, 0, "won to a now")
    assert (new.words[0].start, new.words[2].end) == (0.03, 0.29)
    assert new.words[3] == words[2]


def test_swapped_sentences_are_in_their_new_order() -> None:
    old = make_transcript("alpha beta gamma", "delta epsilon")
    texts = ["delta epsilon", "alpha beta gamma"]
    new = correct_all(
        old,
        [replace(segment, text=text) for segment, text in zip(old.segments, texts, strict=True)],
    )
    check_times(new)
    assert [word.word for word in new.words] == "delta epsilon alpha beta gamma".split()


def test_deleted_word_is_removed_and_the_rest_stays() -> None:
    old = make_transcript("so um we go", "on")
    assert correct_segment(old, 0, "so we go").words == (old.words[0], *old.words[2:])


def test_segment_without_text_is_removed() -> None:
    old = make_transcript("Thanks for watching!", "one", "two")
    new = correct_segment(old, 0, "  ")
    assert (new.text, new.words, new.segments) == ("one two", old.words[3:], old.segments[1:])


def test_all_text_can_be_removed() -> None:
    new = correct_segment(make_transcript("Thanks for watching!"), 0, "")
    assert (new.text, new.words, new.segments) == ("", (), ())


def test_word_added_between_overlapping_words_takes_their_overlap() -> None:
    words = (Word("one", 0.0, 2.0), Word("two", 1.5, 2.2))
    old = Transcript("one two", "en", 3.0, words, (Segment("one two", 0.0, 2.2),))
    new = correct_segment(old, 0, "one and so two")
    assert word_times(new)[1:3] == [("and", 1.5, 2.0), ("so", 1.5, 2.0)]


def test_hyphenated_word_parts_become_one_word() -> None:
    old = make_transcript("is twenty-five now", words=["is", "twenty", "-five", "now"])
    new = correct_segment(old, 0, "is twenty-six now")
    assert word_times(new)[1] == ("twenty-six", 1.0, 2.8)
    assert correct_segment(old, 0, "is twenty-five then").words[:3] == old.words[:3]


def test_transcript_without_word_times_gets_none() -> None:
    old = replace(make_transcript("one two", "three"), words=())
    new = correct_segment(old, 0, "won two")
    assert (new.text, new.words, new.segments[0].text) == ("won two three", (), "won two")


# --- scripts without spaces -----------------------------------------------------------------


def test_replaced_character_in_an_unspaced_script_is_its_word() -> None:
    old = make_transcript("今日は雨です。", words=["今日", "は", "雨", "です。"])
    new = correct_segment(old, 0, "明日は雪です。")
    assert word_times(new) == [
        ("明日", 0.0, 0.8),
        ("は", 1.0, 1.8),
        ("雪", 2.0, 2.8),
        ("です。", 3.0, 3.8),
    ]


def test_added_characters_in_an_unspaced_script_keep_the_words_around() -> None:
    old = make_transcript("今天下雨", words=["今天", "下雨"])
    new = correct_segment(old, 0, "今天又下雨了")
    assert word_times(new) == [
        ("今天", 0.0, 0.8),
        ("又", 0.8, 1.0),
        ("下雨", 1.0, 1.8),
        ("了", 1.8, 1.8),
    ]
    assert new.text == "今天又下雨了"


def test_words_of_other_lengths_keep_the_replaced_times() -> None:
    new = correct_segment(make_transcript("今日は", words=["今日", "は"]), 0, "雪だ")
    assert word_times(new) == [("雪", 0.0, 0.8), ("だ", 1.0, 1.8)]


def test_thai_vowels_stay_with_their_consonants() -> None:
    old = make_transcript("สวัสดีครับ", words=["สวัสดี", "ครับ"])
    new = correct_segment(old, 0, "สวัสดีที่นี่")
    assert new.words[0] == old.words[0]
    assert [word.word for word in new.words[1:]] == ["ที่", "นี่"]


def test_space_between_characters_is_not_an_edit() -> None:
    old = make_transcript("今日は雨です。", words=["今日", "は", "雨", "です。"])
    assert correct_segment(old, 0, "今日は 雨です。\n") == old


# --- the text -------------------------------------------------------------------------------


def test_unedited_text_stays_identical() -> None:
    old = make_transcript("one  two", "three\tfour", "five six")
    old = replace(old, text="  one  two\n\nthree\tfour\n\nfive six ")
    new = correct_segment(old, 1, "three for")
    assert new.text == "  one  two\n\nthree\tfor\n\nfive six "
    assert correct_segment(old, 1, "").text == "  one  two\n\nfive six "


def test_joined_and_split_segments_change_no_word() -> None:
    old = make_transcript("one two three", "four five")
    new = correct_all(
        old,
        [
            Segment("one", 0.0, 0.8, "Ann"),
            Segment("two three four five", 1.0, 4.8, "Bob"),
        ],
    )
    assert (new.text, new.words) == (old.text, old.words)
    assert [segment.speaker for segment in new.segments] == ["Ann", "Bob"]


def test_renamed_speaker_changes_nothing_else() -> None:
    old = make_transcript("one two", "three")
    new = correct_all(old, [replace(segment, speaker="Ann") for segment in old.segments])
    assert replace(new, segments=old.segments) == old


def test_unknown_segment_is_rejected() -> None:
    for number in (-1, 2):
        with pytest.raises(InvalidCorrection, match="there are 2 segments"):
            correct_segment(make_transcript("one", "two"), number, "three")


def test_text_outside_all_segments_is_rejected() -> None:
    old = make_transcript("one", "two")
    with pytest.raises(InvalidEngineOutput, match="differs from its segments"):
        correct_segment(replace(old, segments=old.segments[:1]), 0, "won")


# --- speed ----------------------------------------------------------------------------------


def test_word_in_a_four_hour_lecture_is_corrected_quickly() -> None:
    spoken = prose(random.Random(1), 40_000).split()
    old = make_transcript(*(" ".join(spoken[i : i + 12]) for i in range(0, len(spoken), 12)))
    segment_words = old.segments[1_500].text.split()
    begin = time.thread_time()
    new = correct_segment(old, 1_500, " ".join(["Changed", *segment_words[1:]]))
    assert time.thread_time() - begin < 2  # 0.3 s on an idle 2-core machine
    differ = [after for before, after in zip(old.words, new.words, strict=True) if before != after]
    assert [word.word for word in differ] == ["Changed"]


def test_lecture_with_every_line_edited_is_corrected_quickly() -> None:
    rng = random.Random(2)
    vocabulary = prose(rng, 3_000).split()
    spoken = rng.choices(vocabulary, [1 / (i + 1) for i in range(len(vocabulary))], k=40_000)
    old = make_transcript(*(" ".join(spoken[i : i + 12]) for i in range(0, len(spoken), 12)))
    segments = [replace(segment, text=segment.text + " so it is") for segment in old.segments]
    begin = time.thread_time()
    new = correct_all(old, segments)
    assert time.thread_time() - begin < 4  # 0.6 s on an idle 2-core machine
    assert len(set(new.words) & set(old.words)) > 0.9 * len(spoken)


def test_repeated_word_for_hours_is_corrected_quickly() -> None:
    old = make_transcript("lo", *["la"] * 20_000, "lu")
    first, _, *rest, last = old.segments
    begin = time.thread_time()
    new = correct_all(old, [replace(first, text="li"), *rest, replace(last, text="le")])
    assert time.thread_time() - begin < 3  # 0.2 s on an idle 2-core machine
    check_times(new)
    assert new.text.split() == ["li", *["la"] * 19_999, "le"]
