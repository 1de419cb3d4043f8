"""Search: hits open at the time of the words, are not repeated, and list how they matched."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from playhead.core.records import Chunk, SearchFilter, TimedSpan
from playhead.engines.reranking.nearest_sentence import NearestSentence
from playhead.media.local_store import LocalStore
from playhead.postgres.database import Database
from playhead.search.hits import Hit
from tests.support import factories
from tests.support.search_fixtures import SearchLibrary, make_chunk

_numbers = itertools.count()


@pytest.fixture(scope="module")
def shared(fresh_database: Callable[[], str]) -> Iterator[Database]:
    database = Database(fresh_database())
    yield database
    database.close()


@pytest.fixture
def library(shared: Database, tmp_path: Path) -> Iterator[SearchLibrary]:
    """Yield a library in an organisation of the test's own, so that all tests share a database."""
    library = SearchLibrary(shared, LocalStore(tmp_path), f"org-{next(_numbers)}")
    yield library
    library.results.close()


def hit_texts(hits: list[Hit]) -> list[str]:
    return [hit.text for hit in hits]


# Times


def test_hit_has_the_time_and_speaker_of_the_words(library: SearchLibrary) -> None:
    spoken = make_chunk("The zeppelin landed in Lakehurst.", 3, speaker="SPEAKER_0")
    talk = library.add(spoken, title="Airships", kind="lecture")
    library.database.run(
        b"insert into speaker_names values (%(org)s, %(id)s, 'SPEAKER_0', 'Ada Lovelace')",
        org=talk.org_id,
        id=talk.id,
    )
    [hit] = library.search()("zeppelin landing").hits
    assert (hit.recording, hit.title, hit.kind) == (talk.id, "Airships", "lecture")
    assert hit.text == "The zeppelin landed in Lakehurst."
    assert (hit.start_seconds, hit.end_seconds) == (30.0, 40.0)
    assert hit.timecode == "00:00:30"
    assert hit.link == f"{library.media.path(talk).as_uri()}#t=30.00"
    assert hit.speaker == "Ada Lovelace"
    assert hit.added.tzinfo is not None


def test_hit_lists_how_it_matched(library: SearchLibrary) -> None:
    library.add("amber birch", "cedar dogwood", "amber cedar")
    [first, second, third] = library.search()("amber birch").hits
    assert first.matched == {"text": 1, "vector": 1}
    assert second.matched == {"text": 2, "vector": 2}
    assert third.matched == {"vector": 3}
    assert first.cosine == pytest.approx(1.0, abs=1e-3)
    assert third.cosine == pytest.approx(0.0, abs=1e-3)
    assert first.words == ("amber", "birch")
    assert third.words == ()


def test_hit_shows_the_best_sentence_of_its_chunk(
    library: SearchLibrary,
) -> None:
    first, second = "Nothing to see. ", "The zeppelin landed."
    spans = (TimedSpan(0, 16, 0.0, 4.0), TimedSpan(16, 36, 4.0, 9.0))
    library.add(make_chunk(first + second, phrases=spans))
    [hit] = library.search()("when did the zeppelin land").hits
    assert hit.text == second
    assert (hit.start_seconds, hit.end_seconds) == (4.0, 9.0)
    assert hit.passage == first + second
    assert hit.passage[slice(*hit.text_range)] == second


# Marks


def marked_words(hit: Hit) -> list[str]:
    return [hit.passage[start:end] for start, end in hit.marks]


def test_words_are_marked_by_the_stems_of_their_language(library: SearchLibrary) -> None:
    library.add("Les chevaux chantaient; une chevelure.", language="fr")
    [hit] = library.search()("cheval chanter").hits
    assert marked_words(hit) == ["chevaux", "chantaient"]
    assert hit.words == ("chevaux", "chantaient")


@pytest.mark.parametrize(
    "text",
    [
        "<b>amber</b> is not <mark>amber</mark>",
        "StartSel=<<, amber \x01\x02 {{amber}} [1] **amber**",
        "🎷🎷 amber é amber שלום amber",
        "amber",
    ],
)
def test_marks_cannot_be_forged_by_the_text(library: SearchLibrary, text: str) -> None:
    library.add(text)
    [hit] = library.search()("ambers").hits
    assert hit.passage == text
    assert marked_words(hit) == ["amber"] * text.count("amber")


def test_stop_words_are_not_marked(library: SearchLibrary) -> None:
    library.add("the amber of the sea")
    [hit] = library.search()("the amber").hits
    assert marked_words(hit) == ["amber"]


# Joined chunks


def test_overlapping_chunks_are_one_hit(library: SearchLibrary) -> None:
    text_ = "Amber is old. It comes from resin. Birch is young."
    library.add(
        make_chunk(text_[:34], 0, start=0, seconds=(0.0, 6.0)),
        make_chunk(text_[14:], 1, start=14, seconds=(2.0, 9.0)),  # they overlap
        "elsewhere",
    )
    hit, _ = library.search()("amber resin birch").hits
    assert hit.passage == text_
    assert len(hit.chunks) == 2
    assert hit.chunk in hit.chunks
    assert marked_words(hit) == ["Amber", "resin", "Birch"]


def test_separate_chunks_and_sources_are_separate_hits(
    library: SearchLibrary,
) -> None:
    written = make_chunk("amber written", 1, source="document", seconds=(500.0, 510.0))
    library.add(make_chunk("amber one", 0), make_chunk("amber two", 2), written=[written])
    library.add(make_chunk("amber three", 1))
    hits = library.search()("amber").hits
    assert sorted(hit_texts(hits)) == ["amber one", "amber three", "amber two", "amber written"]


def test_recording_about_the_question_has_several_hits(
    library: SearchLibrary,
) -> None:
    parts = [f"amber part {number}." for number in range(12)]
    library.add(*(make_chunk(text, at) for at, text in enumerate(parts)))
    hits = library.search()("amber").hits
    assert sorted(len(hit.chunks) for hit in hits)[-1] == 3
    assert sorted(c for hit in hits for c in hit.chunks) == sorted(
        {c for hit in hits for c in hit.chunks}
    )
    assert sum(len(hit.chunks) for hit in hits) == 12


def test_spoken_and_written_text_of_one_time_is_one_hit(
    library: SearchLibrary,
) -> None:
    spoken = make_chunk("well the amber birch you know", 0, seconds=(30.0, 34.0))
    written = make_chunk("amber birch", 0, source="document", seconds=(30.0, 34.0))
    library.add(spoken, written=[written])
    for limit in (1, 10):
        [hit] = library.search()("amber birch", limit=limit).hits
        assert (hit.source, hit.text) == ("transcript", "well the amber birch you know")


# Limits


@pytest.mark.parametrize("limit", [1, 7, 40])
def test_number_of_hits_is_limited_by_the_request_and_the_library(
    library: SearchLibrary, limit: int
) -> None:
    library.add(*(f"amber number{number}" for number in range(30)))
    hits = library.search()("amber", limit=limit).hits
    assert len({hit.text for hit in hits}) == len(hits) == min(limit, 30)


def test_many_chunks_of_one_time_hide_no_others(library: SearchLibrary) -> None:
    repeated = [
        make_chunk(f"amber birch cedar {number}", 2 * number, source="document", seconds=(5.0, 6.0))
        for number in range(120)
    ]
    library.add(make_chunk("amber birch cedar", 0, seconds=(5.0, 6.0)), written=repeated)
    others = [library.add(f"amber in recording {number}").id for number in range(9)]
    hits = library.search()("amber birch cedar").hits
    assert len(hits) == 10
    assert {hit.recording for hit in hits} > set(others)


# Whole recordings


def test_recordings_are_listed_once_with_their_best_hits(library: SearchLibrary) -> None:
    matching = library.add(
        *(f"amber birch {n}" for n in range(60)), title="On amber", kind="lecture"
    )
    others = [library.add(f"amber at {n}", "cedar").id for n in range(4)]
    found = library.search().recordings("amber birch", limit=5).recordings
    assert [found[0].recording, found[0].title, found[0].kind] == [
        matching.id,
        "On amber",
        "lecture",
    ]
    assert {result.recording for result in found[1:]} == set(others)
    assert [len(result.hits) for result in found] == [3, 2, 2, 2, 2]
    for result in found:
        assert {hit.recording for hit in result.hits} == {result.recording}
        assert "amber" in result.hits[0].words
    assert [result.score for result in found] == sorted(
        (result.score for result in found), reverse=True
    )


def test_recordings_are_limited_by_the_filter(library: SearchLibrary) -> None:
    library.add("amber", kind="lecture")
    meeting = library.add("amber", kind="meeting")
    found = library.search().recordings("amber", filters=SearchFilter(kinds=("meeting",)))
    assert [result.recording for result in found.recordings] == [meeting.id]


# Reranked


def make_sentences_chunk(*sentences: str, ordinal: int) -> Chunk:
    spans, at = [], 1000 * ordinal
    for number, sentence in enumerate(sentences):
        second = 100.0 * ordinal + number
        spans.append(TimedSpan(at, at + len(sentence), second, second + 1))
        at += len(sentence) + 1
    return make_chunk(" ".join(sentences), ordinal, phrases=tuple(spans))


def test_reranker_lifts_the_chunk_whose_sentence_answers(library: SearchLibrary) -> None:
    exact = make_sentences_chunk(
        "amber birch cedar", *(f"aside {n} far off" for n in range(9)), ordinal=8
    )
    scattered = (
        make_sentences_chunk("amber amber sea", "birch birch hill", f"cedar cedar {n}", ordinal=n)
        for n in (0, 2, 4, 6)
    )
    library.add(*scattered, exact)
    plain = library.search()("amber birch cedar").hits
    reranked = library.search(reranker=NearestSentence())("amber birch cedar").hits
    places = [[hit.text for hit in hits].index("amber birch cedar") for hits in (plain, reranked)]
    assert places[1] < places[0]
    assert {hit.chunk for hit in reranked} == {hit.chunk for hit in plain}


def test_hits_beyond_the_rerankers_limit_stay_at_the_end(library: SearchLibrary) -> None:
    library.add(*(f"amber number{number}" for number in range(30)))
    search = library.search(reranker=NearestSentence())
    assert len({hit.text for hit in search("amber", limit=30).hits}) == 30


# During changes


def test_chunk_to_be_replaced_is_still_found(
    library: SearchLibrary,
) -> None:
    library.add(make_chunk("amber birch", 0), make_chunk("amber cedar", 1))
    library.database.run(
        b"update chunks set is_current = false where ordinal = 0 and org_id = %(org)s",
        org=library.org_id,
    )
    hits = library.search()("amber").hits
    assert sorted(hit_texts(hits)) == ["amber birch", "amber cedar"]


def test_search_without_an_active_set_has_a_note(database: Database, tmp_path: Path) -> None:
    library = SearchLibrary(database, LocalStore(tmp_path))
    database.run(b"update embedding_sets set state = 'building'")
    found = library.search()("amber")
    assert found.hits == []
    assert found.note is not None
    assert factories.count_rows(database, b"recordings") == 0
    library.results.close()
