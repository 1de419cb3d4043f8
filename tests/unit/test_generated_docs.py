"""The generated pages of docs/ are those that the code would generate today."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import generate
from playhead.core.settings import Settings


@pytest.mark.parametrize("page", sorted(generate.PAGES), ids=lambda page: page.name)
def test_generated_page_is_up_to_date(page: Path) -> None:
    stale = f"docs/{page.name} differs from the code; `make docs` regenerates it"
    assert page.read_text("utf-8") == generate.PAGES[page](), stale


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_setting_has_a_description(name: str) -> None:
    assert Settings.model_fields[name].description


def test_settings_page_has_the_keys_of_nested_values() -> None:
    page = generate.settings_page()

    assert "Keys in the values of `PLAYHEAD_CHUNKING`" in page
    assert "| `overlap` | `50` |" in page
