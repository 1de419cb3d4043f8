"""A corrected transcript says what was corrected, and all else exactly as before."""

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
    """All but the white space."""
    return "".join("".join(texts).split())


def heard(*segments: str, words: Sequence[str] | None = None) -> Transcript:
    """A second a word (``words``, else those between spaces): 0.8 of speech, then a pause."""
    spoken = list(words or " ".join(segments).split())
    timed = tuple(Word(word, float(i), i + 0.8) for i, word in enumerate(spoken))
    left, parts = list(timed), []
    for text in segments:
        mine = [left.pop(0)]
        while letters(*(word.word for word in mine)) != letters(text):
            mine.append(left.pop(0))
        parts.append(Segment(text, mine[0].start, mine[-1].end))
    return Transcript(" ".join(segments), "en", float(len(spoken)), timed, tuple(parts))


def timed(transcript: Transcript) -> list[tuple[str, float, float]]:
    return [(one.word, round(one.start, 3), round(one.end, 3)) for one in transcript.words]


# --- promises -----------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(edited())
def test_every_correction_is_a_sound_transcript_that_says_just_what_was_given(case: Edited) -> None:
    old, segments = case
    new = correct_all(old, segments)
    check_times(new)
    given_ = [segment for segment in segments if segment.text.strip()]
    assert letters(new.text) == letters(*(one.text for one in given_))
    assert [letters(one.text) for one in new.segments] == [letters(one.text) for one in given_]
    assert [(one.start, one.end, one.speaker) for one in new.segments] == [
        (one.start, one.end, one.speaker) for one in given_
    ]
    assert len(segment_timeline(new.text, new.segments)) == len(given_)
    assert (new.language, new.duration_seconds) == (old.language, old.duration_seconds)


@settings(max_examples=200, deadline=None)
@given(edited(all_timed=True))
def test_where_every_word_had_times_every_word_has_them_and_none_goes_back(case: Edited) -> None:
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
def test_nothing_edited_is_nothing_changed(old: Transcript) -> None:
    assert correct_all(old, old.segments) == old


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["keep", "drop", "spell", "add", "split"]), min_size=1, max_size=40),
    st.integers(1, 9),
)
def test_untouched_words_keep_their_times_to_the_bit_whatever_happens_beside_them(
    fates: list[str], a_segment: int
) -> None:
    spoken = [f"word{i}" for i in range(len(fates))]
    rows = [spoken[i : i + a_segment] for i in range(0, len(spoken), a_segment)]
    old = heard(*(" ".join(row) for row in rows))
    become = {"keep": "{}", "drop": "", "spell": "{},", "add": "{} (new) words", "split": "a b c"}
    segments = [
        replace(
            segment,
            text=" ".join(become[fates[int(w[4:])]].format(w) for w in segment.text.split()),
        )
        for segment in old.segments
    ]
    new = correct_all(old, segments)
    kept = {word.word: word for word in new.words}
    for word, fate in zip(old.words, fates, strict=True):
        if fate in ("keep", "add"):
            assert kept[word.word] == word
        else:
            assert word.word not in kept
    untouched = [word for word in new.words if word in old.words]
    for before, after in pairwise([Word("", 0.0, 0.0), *untouched, Word("", 1e9, 1e9)]):
        first = new.words.index(before) + 1 if before.word else 0
        last = new.words.index(after) if after.word else len(new.words)
        between = new.words[first:last]
        assert all(before.end <= one.start <= one.end <= after.start for one in between)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["{}", "{}!", "other"]), min_size=1, max_size=40))
def test_as_many_words_for_as_many_have_their_times(fates: list[str]) -> None:
    spoken = [f"word{i}" for i in range(len(fates))]
    old = heard(" ".join(spoken))
    become = [fate.format(word) for fate, word in zip(fates, spoken, strict=True)]
    new = correct_segment(old, 0, " ".join(become))
    assert new.words == tuple(
        replace(before, word=word) for before, word in zip(old.words, become, strict=True)
    )


# --- words and their times ----------------------------------------------------------------


def test_a_misheard_word_is_replaced_in_its_place() -> None:
    old = heard("The cat sat down.", "It purred.")
    new = correct_segment(old, 0, "The cap sat down.")
    assert new.text == "The cap sat down. It purred."
    assert new.words == (old.words[0], Word("cap", 1.0, 1.8), *old.words[2:])
    assert new.segments == (replace(old.segments[0], text="The cap sat down."), old.segments[1])


def test_two_words_heard_as_one_share_its_seconds_by_their_letters() -> None:
    new = correct_segment(heard("we alot more"), 0, "we love more more")
    assert timed(new)[1:3] == [("love", 1.0, 1.4), ("more", 1.4, 1.8)]
    new = correct_segment(heard("so abcd more"), 0, "so a bcd more")
    assert timed(new)[1:3] == [("a", 1.0, 1.2), ("bcd", 1.2, 1.8)]


def test_one_word_heard_as_two_has_the_seconds_of_both() -> None:
    new = correct_segment(heard("a new foundland dog"), 0, "a Newfoundland dog")
    assert timed(new) == [("a", 0.0, 0.8), ("Newfoundland", 1.0, 2.8), ("dog", 3.0, 3.8)]


def test_an_added_word_has_the_pause_it_stands_in() -> None:
    new = correct_segment(heard("not good"), 0, "not so good")
    assert timed(new) == [("not", 0.0, 0.8), ("so", 0.8, 1.0), ("good", 1.0, 1.8)]


def test_a_word_added_at_the_edge_of_a_segment_is_not_in_the_silence_before_it() -> None:
    old = heard("one two", "three")
    later = [replace(word, start=word.start + 60, end=word.end + 60) for word in old.words[2:]]
    segments = (old.segments[0], Segment("three", later[0].start, later[0].end))
    old = replace(old, words=(*old.words[:2], *later), segments=segments, duration_seconds=90.0)
    new = correct_segment(old, 1, "and three")
    assert timed(new)[2:] == [("and", 62.0, 62.0), ("three", 62.0, 62.8)]


def test_a_new_segment_in_a_silence_has_its_own_times() -> None:
    old = heard("one", "two")
    old = replace(
        old,
        duration_seconds=60.0,
        words=(old.words[0], Word("two", 50.0, 51.0)),
        segments=(old.segments[0], Segment("two", 50.0, 51.0)),
    )
    added = Segment("hear hear", 20.0, 22.0, "Bob")
    new = correct_all(old, [old.segments[0], added, old.segments[1]])
    assert timed(new)[1:3] == [("hear", 20.0, 21.0), ("hear", 21.0, 22.0)]
    assert new.text == "one hear hear two"


def test_new_segments_that_overlap_are_said_one_after_the_other() -> None:
    old = heard("one", "two")
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


def test_words_said_anew_over_several_segments_stay_in_theirs() -> None:
    old = heard("la la la", "lo lo lo")
    new = correct_all(
        old,
        [replace(old.segments[0], text="a b"), replace(old.segments[1], text="c d e f g")],
    )
    assert [one.start < 3.0 for one in new.words] == [True] * 2 + [False] * 5


def test_a_word_is_known_in_other_letters_and_with_other_marks() -> None:
    new = correct_segment(heard("well um Yes. go"), 0, "yes, go")
    assert timed(new)[0] == ("yes,", 2.0, 2.8)


def test_times_shared_by_words_end_where_those_they_replace_do() -> None:
    words = (Word("one", 0.03, 0.2), Word("two", 0.2, 0.29), Word("now", 0.29, 0.6))
    old = Transcript("one two now", "en", 1.0, words, (Segment("one two now", 0.03, 0.6),))
    new = correct_segment(old, 0, "won to a now")
    assert (new.words[0].start, new.words[2].end) == (0.03, 0.29)
    assert new.words[3] == words[2]


def test_sentences_that_changed_places_are_said_in_their_new_order() -> None:
    old = heard("alpha beta gamma", "delta epsilon")
    texts = ["delta epsilon", "alpha beta gamma"]
    new = correct_all(
        old, [replace(one, text=text) for one, text in zip(old.segments, texts, strict=True)]
    )
    check_times(new)
    assert [word.word for word in new.words] == "delta epsilon alpha beta gamma".split()


def test_a_deleted_word_is_gone_and_the_rest_stays() -> None:
    old = heard("so um we go", "on")
    assert correct_segment(old, 0, "so we go").words == (old.words[0], *old.words[2:])


def test_a_segment_without_text_is_gone() -> None:
    old = heard("Thanks for watching!", "one", "two")
    new = correct_segment(old, 0, "  ")
    assert (new.text, new.words, new.segments) == ("one two", old.words[3:], old.segments[1:])


def test_all_text_can_go() -> None:
    new = correct_segment(heard("Thanks for watching!"), 0, "")
    assert (new.text, new.words, new.segments) == ("", (), ())


def test_words_that_overlap_leave_an_added_one_their_overlap() -> None:
    words = (Word("one", 0.0, 2.0), Word("two", 1.5, 2.2))
    old = Transcript("one two", "en", 3.0, words, (Segment("one two", 0.0, 2.2),))
    new = correct_segment(old, 0, "one and so two")
    assert timed(new)[1:3] == [("and", 1.5, 2.0), ("so", 1.5, 2.0)]


def test_parts_of_a_word_with_a_hyphen_are_one_word_when_it_is_another() -> None:
    old = heard("is twenty-five now", words=["is", "twenty", "-five", "now"])
    new = correct_segment(old, 0, "is twenty-six now")
    assert timed(new)[1] == ("twenty-six", 1.0, 2.8)
    assert correct_segment(old, 0, "is twenty-five then").words[:3] == old.words[:3]


def test_a_transcript_without_times_for_words_gets_none() -> None:
    old = replace(heard("one two", "three"), words=())
    new = correct_segment(old, 0, "won two")
    assert (new.text, new.words, new.segments[0].text) == ("won two three", (), "won two")


# --- scripts without spaces -----------------------------------------------------------------


def test_a_character_replaced_in_a_script_without_spaces_is_its_words() -> None:
    old = heard("今日は雨です。", words=["今日", "は", "雨", "です。"])
    new = correct_segment(old, 0, "明日は雪です。")
    assert timed(new) == [
        ("明日", 0.0, 0.8),
        ("は", 1.0, 1.8),
        ("雪", 2.0, 2.8),
        ("です。", 3.0, 3.8),
    ]


def test_characters_added_in_a_script_without_spaces_leave_the_words_around() -> None:
    old = heard("今天下雨", words=["今天", "下雨"])
    new = correct_segment(old, 0, "今天又下雨了")
    assert timed(new) == [
        ("今天", 0.0, 0.8),
        ("又", 0.8, 1.0),
        ("下雨", 1.0, 1.8),
        ("了", 1.8, 1.8),
    ]
    assert new.text == "今天又下雨了"


def test_as_many_words_of_other_lengths_have_the_times_of_those_they_replace() -> None:
    new = correct_segment(heard("今日は", words=["今日", "は"]), 0, "雪だ")
    assert timed(new) == [("雪", 0.0, 0.8), ("だ", 1.0, 1.8)]


def test_thai_vowels_stay_with_their_consonants() -> None:
    old = heard("สวัสดีครับ", words=["สวัสดี", "ครับ"])
    new = correct_segment(old, 0, "สวัสดีที่นี่")
    assert new.words[0] == old.words[0]
    assert [word.word for word in new.words[1:]] == ["ที่", "นี่"]


def test_a_space_between_characters_is_no_edit() -> None:
    old = heard("今日は雨です。", words=["今日", "は", "雨", "です。"])
    assert correct_segment(old, 0, "今日は 雨です。\n") == old


# --- the text -------------------------------------------------------------------------------


def test_text_that_was_not_edited_stays_to_the_character() -> None:
    old = heard("one  two", "three\tfour", "five six")
    old = replace(old, text="  one  two\n\nthree\tfour\n\nfive six ")
    new = correct_segment(old, 1, "three for")
    assert new.text == "  one  two\n\nthree\tfor\n\nfive six "
    assert correct_segment(old, 1, "").text == "  one  two\n\nfive six "


def test_segments_put_together_and_parted_touch_no_word() -> None:
    old = heard("one two three", "four five")
    new = correct_all(
        old,
        [
            Segment("one", 0.0, 0.8, "Ann"),
            Segment("two three four five", 1.0, 4.8, "Bob"),
        ],
    )
    assert (new.text, new.words) == (old.text, old.words)
    assert [segment.speaker for segment in new.segments] == ["Ann", "Bob"]


def test_a_renamed_speaker_changes_nothing_else() -> None:
    old = heard("one two", "three")
    new = correct_all(old, [replace(one, speaker="Ann") for one in old.segments])
    assert replace(new, segments=old.segments) == old


def test_a_segment_that_is_not_there_is_refused() -> None:
    for number in (-1, 2):
        with pytest.raises(InvalidCorrection, match="there are 2 segments"):
            correct_segment(heard("one", "two"), number, "three")


def test_text_that_is_in_no_segment_cannot_be_lost() -> None:
    old = heard("one", "two")
    with pytest.raises(InvalidEngineOutput, match="not that of its segments"):
        correct_segment(replace(old, segments=old.segments[:1]), 0, "won")


# --- speed ----------------------------------------------------------------------------------


def test_a_word_in_a_lecture_of_four_hours_is_corrected_at_once() -> None:
    spoken = prose(random.Random(1), 40_000).split()
    old = heard(*(" ".join(spoken[i : i + 12]) for i in range(0, len(spoken), 12)))
    said = old.segments[1_500].text.split()
    begin = time.thread_time()
    new = correct_segment(old, 1_500, " ".join(["Changed", *said[1:]]))
    assert time.thread_time() - begin < 2  # 0.3 s on an idle 2-core machine
    differ = [after for before, after in zip(old.words, new.words, strict=True) if before != after]
    assert [word.word for word in differ] == ["Changed"]


def test_a_lecture_with_every_line_edited_is_corrected_soon() -> None:
    rng = random.Random(2)
    vocabulary = prose(rng, 3_000).split()
    spoken = rng.choices(vocabulary, [1 / (i + 1) for i in range(len(vocabulary))], k=40_000)
    old = heard(*(" ".join(spoken[i : i + 12]) for i in range(0, len(spoken), 12)))
    segments = [replace(one, text=one.text + " so it is") for one in old.segments]
    begin = time.thread_time()
    new = correct_all(old, segments)
    assert time.thread_time() - begin < 4  # 0.6 s on an idle 2-core machine
    assert len(set(new.words) & set(old.words)) > 0.9 * len(spoken)


def test_one_word_said_for_hours_is_no_trap() -> None:
    old = heard("lo", *["la"] * 20_000, "lu")
    first, _, *rest, last = old.segments
    begin = time.thread_time()
    new = correct_all(old, [replace(first, text="li"), *rest, replace(last, text="le")])
    assert time.thread_time() - begin < 3  # 0.2 s on an idle 2-core machine
    check_times(new)
    assert new.text.split() == ["li", *["la"] * 19_999, "le"]
