"""What a newcomer does: add, process, look, search, with real speech and real models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Home


@pytest.fixture(scope="module")
def known(spoken_home: Home) -> dict[str, dict[str, Any]]:
    """Three recordings and a text that says it is a video, all run; by title."""
    speech = Path(__file__).parents[1] / "fixtures" / "speech"
    spoken_home.playhead("add", speech / "en_jfk.flac", "--title", "Inaugural", "--kind", "lecture")
    spoken_home.playhead("add", speech / "en_austen_0870.flac", speech / "en_austen_0920.flac")
    text = spoken_home.folder / "notes.mp4"
    text.write_text("These are notes, not a video.\n" * 50)
    spoken_home.playhead("add", text)
    spoken_home.playhead("process", exits=1)
    return {line["title"]: line for line in spoken_home.json("list")}


def test_the_good_ones_are_ready_though_one_failed(known: dict[str, dict[str, Any]]) -> None:
    assert {title: line["status"] for title, line in known.items()} == {
        "Inaugural": "ready",
        "en_austen_0870": "ready",
        "en_austen_0920": "ready",
        "notes": "failed",
    }


def test_the_failed_one_says_where_why_and_what_to_do(known: dict[str, dict[str, Any]]) -> None:
    error = known["notes"]["error"]
    assert error["stage"] == "raw_media"
    assert error["class"] == "UnreadableMedia"
    assert error["attempts"] == 1
    assert error["message"]
    assert error["remedy"]


def test_a_question_lands_on_the_second_it_was_said(
    spoken_home: Home, known: dict[str, dict[str, Any]]
) -> None:
    [best, *_] = spoken_home.json("search", "do for your country")
    assert best["title"] == "Inaugural"
    assert "country" in best["text"]
    shown = spoken_home.json("show", best["recording"])[0]
    country = [w for w in shown["transcript"]["words"] if w["word"].startswith("country")]
    assert best["start_seconds"] <= country[-1]["start"]
    assert country[-1]["end"] <= best["end_seconds"] + 2
    assert best["link"].endswith(f"#t={best['start_seconds']:.2f}")


def test_a_search_can_be_kept_to_a_kind_or_a_recording(
    spoken_home: Home, known: dict[str, dict[str, Any]]
) -> None:
    kinds = spoken_home.json("search", "country", "--kind", "recording")
    assert kinds
    assert "Inaugural" not in {hit["title"] for hit in kinds}
    recording_id = known["en_austen_0920"]["id"]
    only = spoken_home.json("search", "country", "--recording", recording_id)
    assert {hit["recording"] for hit in only} == {recording_id}


def test_everything_made_of_a_recording_is_shown_and_whole(
    spoken_home: Home, known: dict[str, dict[str, Any]]
) -> None:
    shown = spoken_home.json("show", known["Inaugural"]["id"])[0]
    texts = {"transcript": shown["transcript"]["text"], "document": shown["document"]["content"]}
    assert shown["transcript"]["language"] == "en"
    assert shown["transcript"]["duration_seconds"] == pytest.approx(11.0, abs=0.1)
    assert {chunk["source"] for chunk in shown["chunks"]} == {"transcript", "document"}
    for chunk in shown["chunks"]:
        source = texts[chunk["source"]]
        assert source[chunk["char_start"] : chunk["char_end"]] == chunk["text"]
        assert 0 <= chunk["start_seconds"] <= chunk["end_seconds"] <= 11.1
        assert chunk["token_count"] <= 254


def test_lineage_leads_from_vectors_back_to_the_bytes(
    spoken_home: Home, known: dict[str, dict[str, Any]]
) -> None:
    shown = spoken_home.json("show", known["Inaugural"]["id"])[0]
    made = {row["stage"]: row for row in shown["lineage"]}
    assert made["embeddings"]["inputs"]["chunks"] == made["chunks"]["output_hash"]
    assert made["chunks"]["inputs"]["document"] == made["document"]["output_hash"]
    assert made["document"]["inputs"]["transcript"] == made["transcript"]["output_hash"]
    assert made["transcript"]["inputs"]["raw_media"] == made["raw_media"]["output_hash"]
    assert made["raw_media"]["output_hash"] == shown["recording"]["sha256"]
    assert all(row["run_id"] and row["attempt"] == 1 for row in made.values())


def test_a_second_time_does_no_work_at_all(
    spoken_home: Home, known: dict[str, dict[str, Any]]
) -> None:
    before = spoken_home.json("show", known["Inaugural"]["id"])[0]["lineage"]
    speech = Path(__file__).parents[1] / "fixtures" / "speech"
    [again] = spoken_home.json("add", speech / "en_jfk.flac")
    assert again["duplicate"]
    assert again["recording"] == known["Inaugural"]["id"]
    assert "0 of 0 ready" in spoken_home.playhead("process")
    assert spoken_home.json("show", known["Inaugural"]["id"])[0]["lineage"] == before


def test_tables_for_people_name_every_recording(
    spoken_home: Home, known: dict[str, dict[str, Any]]
) -> None:
    table = spoken_home.playhead("list")
    assert all(line["id"] in table for line in known.values())
    told = spoken_home.playhead("show", known["Inaugural"]["id"])
    assert "Lineage" in told
    assert "00:00:0" in told
