"""First steps of a new user: add, process, list and search real speech with real models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Home


@pytest.fixture(scope="module")
def recordings(spoken_home: Home) -> dict[str, dict[str, Any]]:
    """Add and process three recordings and a text named as a video; return them by title."""
    speech = Path(__file__).parents[1] / "fixtures" / "speech"
    spoken_home.playhead("add", speech / "en_jfk.flac", "--title", "Inaugural", "--kind", "lecture")
    spoken_home.playhead("add", speech / "en_austen_0870.flac", speech / "en_austen_0920.flac")
    text = spoken_home.folder / "notes.mp4"
    text.write_text("These are notes, not a video.\n" * 50)
    spoken_home.playhead("add", text)
    spoken_home.playhead("process", exits=1)
    return {line["title"]: line for line in spoken_home.json("list")}


def test_good_recordings_are_ready_though_one_failed(recordings: dict[str, dict[str, Any]]) -> None:
    assert {title: line["status"] for title, line in recordings.items()} == {
        "Inaugural": "ready",
        "en_austen_0870": "ready",
        "en_austen_0920": "ready",
        "notes": "failed",
    }


def test_failed_recording_has_stage_reason_and_remedy(
    recordings: dict[str, dict[str, Any]],
) -> None:
    error = recordings["notes"]["error"]
    assert error["stage"] == "raw_media"
    assert error["class"] == "UnreadableMedia"
    assert error["attempts"] == 1
    assert error["message"]
    assert error["remedy"]


def test_search_opens_at_the_second_of_the_words(
    spoken_home: Home, recordings: dict[str, dict[str, Any]]
) -> None:
    [hit, *_] = spoken_home.json("search", "do for your country")
    assert hit["title"] == "Inaugural"
    assert "country" in hit["text"]
    details = spoken_home.json("show", hit["recording"])[0]
    country = [w for w in details["transcript"]["words"] if w["word"].startswith("country")]
    assert hit["start_seconds"] <= country[-1]["start"]
    assert country[-1]["end"] <= hit["end_seconds"] + 2
    assert hit["link"].endswith(f"#t={hit['start_seconds']:.2f}")


def test_search_can_be_limited_to_a_kind_or_recording(
    spoken_home: Home, recordings: dict[str, dict[str, Any]]
) -> None:
    kinds = spoken_home.json("search", "country", "--kind", "recording")
    assert kinds
    assert "Inaugural" not in {hit["title"] for hit in kinds}
    recording_id = recordings["en_austen_0920"]["id"]
    hits = spoken_home.json("search", "country", "--recording", recording_id)
    assert {hit["recording"] for hit in hits} == {recording_id}


def test_show_prints_every_result_of_a_recording(
    spoken_home: Home, recordings: dict[str, dict[str, Any]]
) -> None:
    details = spoken_home.json("show", recordings["Inaugural"]["id"])[0]
    texts = {
        "transcript": details["transcript"]["text"],
        "document": details["document"]["content"],
    }
    assert details["transcript"]["language"] == "en"
    assert details["transcript"]["duration_seconds"] == pytest.approx(11.0, abs=0.1)
    assert {chunk["source"] for chunk in details["chunks"]} == {"transcript", "document"}
    for chunk in details["chunks"]:
        source = texts[chunk["source"]]
        assert source[chunk["char_start"] : chunk["char_end"]] == chunk["text"]
        assert 0 <= chunk["start_seconds"] <= chunk["end_seconds"] <= 11.1
        assert chunk["token_count"] <= 254


def test_lineage_links_the_results_back_to_the_file(
    spoken_home: Home, recordings: dict[str, dict[str, Any]]
) -> None:
    details = spoken_home.json("show", recordings["Inaugural"]["id"])[0]
    results = {row["stage"]: row for row in details["lineage"]}
    assert results["embeddings"]["inputs"]["chunks"] == results["chunks"]["output_hash"]
    assert results["chunks"]["inputs"]["document"] == results["document"]["output_hash"]
    assert results["document"]["inputs"]["transcript"] == results["transcript"]["output_hash"]
    assert results["transcript"]["inputs"]["raw_media"] == results["raw_media"]["output_hash"]
    assert results["raw_media"]["output_hash"] == details["recording"]["sha256"]
    assert all(row["run_id"] and row["attempt"] == 1 for row in results.values())


def test_second_processing_does_no_work(
    spoken_home: Home, recordings: dict[str, dict[str, Any]]
) -> None:
    before = spoken_home.json("show", recordings["Inaugural"]["id"])[0]["lineage"]
    speech = Path(__file__).parents[1] / "fixtures" / "speech"
    [again] = spoken_home.json("add", speech / "en_jfk.flac")
    assert again["duplicate"]
    assert again["recording"] == recordings["Inaugural"]["id"]
    assert "0 of 0 ready" in spoken_home.playhead("process")
    assert spoken_home.json("show", recordings["Inaugural"]["id"])[0]["lineage"] == before


def test_tables_list_every_recording(
    spoken_home: Home, recordings: dict[str, dict[str, Any]]
) -> None:
    table = spoken_home.playhead("list")
    assert all(line["partition_key"] in table for line in recordings.values())
    text = spoken_home.playhead("show", recordings["Inaugural"]["id"])
    assert "Lineage" in text
    assert "00:00:0" in text
