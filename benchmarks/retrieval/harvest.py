"""Create the labelled sets beside this file from two documentation packages of Debian 12.

    apt-get download perl-doc python3.11-doc && dpkg -x …each… FOLDER
    python -m benchmarks.retrieval.harvest FOLDER

A heading that ends with a question mark is a question, the text below it up to the next heading is
its answer. The tutorials beside each FAQ are included as text that answers no question. Code blocks
and addresses of pages are removed, since nobody speaks them. ``labelled.py`` reads the sets.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import click

_SETS = Path(__file__).parent / "sets"
_PERL = "usr/share/perl/5.36.0/pod"
_PYTHON = "usr/share/doc/python3.11/html"
_TUTORIALS = (
    "perlintro perlreftut perldsc perllol perlrequick perlretut perlootut perlopentut perlsub "
    "perlsec perlthrtut perldebtut perluniintro perlunitut perlstyle perlpacktut perlipc perlperf"
)
_TO_HTML = (
    "$p = Pod::Simple::XHTML->new; $p->html_header(''); $p->html_footer(''); "
    "$p->output_fh(*STDOUT); $p->parse_file(shift)"
)
_BOILERPLATE = frozenset(
    "NAME|VERSION|AUTHOR|AUTHORS|AUTHOR AND COPYRIGHT|COPYRIGHT|SEE ALSO|BUGS|HISTORY".split("|")
)
_ADDRESS = re.compile(r"(?:https?|ftp)://\S+|\b(?:\w+\.)*cpan\.org\S*")
_MIN_LETTERS = 80  # shorter answers consist of code


class Page(HTMLParser):
    """The prose of a page by its headings: ``sections`` are (heading, paragraphs)."""

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.sections: list[tuple[str, list[str]]] = []
        self._open: list[str] = []
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = dict(attrs).get("class") or ""
        if tag in {"pre", "style", "script", "table"} or "headerlink" in classes:
            self._open.append(tag)
        elif tag in {"h1", "h2", "h3", "h4", "p", "li", "dt", "dd"}:
            self._flush()

    def handle_endtag(self, tag: str) -> None:
        if self._open:
            if tag == self._open[-1]:
                self._open.pop()
        elif tag in {"h1", "h2", "h3", "h4"}:
            heading = self._take_text()
            self.title = self.title or heading
            self.sections.append((heading, []))
        elif tag in {"p", "li", "dt", "dd"}:
            self._flush()

    def handle_data(self, data: str) -> None:
        if not self._open:
            self._words.append(data)

    def _flush(self) -> None:
        text = self._take_text()
        if text and self.sections:
            self.sections[-1][1].append(text)

    def _take_text(self) -> str:
        text = " ".join(_ADDRESS.sub("", "".join(self._words)).split())
        self._words.clear()
        return text


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Write the sets from the packages unpacked in FOLDER."""
    _write("perl", _perl(folder / _PERL))
    _write("python", _python(folder / _PYTHON))


def _perl(folder: Path) -> Iterator[tuple[str, Page]]:
    for name in [*(f"perlfaq{number}" for number in range(1, 10)), *_TUTORIALS.split()]:
        command = ["perl", "-MPod::Simple::XHTML", "-e", _TO_HTML, str(folder / f"{name}.pod")]
        yield name, _page(subprocess.run(command, check=True, capture_output=True).stdout)


def _python(folder: Path) -> Iterator[tuple[str, Page]]:
    for file in sorted(
        path
        for part in ("faq", "howto", "tutorial")
        for path in (folder / part).glob("*.html")
        if path.stem != "index"
    ):
        html = file.read_bytes()
        body, end = html.index(b'<div class="body"'), html.index(b'<div class="sphinxsidebar"')
        yield f"{file.parent.name}/{file.stem}", _page(html[body:end])


def _page(html: bytes) -> Page:
    page = Page()
    page.feed(html.decode())
    page.close()
    return page


def _write(name: str, pages: Iterator[tuple[str, Page]]) -> None:
    with (_SETS / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for talk, page in pages:
            for heading, paragraphs in page.sections:
                text = " ".join(paragraphs)
                if heading in _BOILERPLATE or len(text) < _MIN_LETTERS:
                    continue
                is_question = "faq" in talk and heading.endswith("?")
                row = {"talk": talk, "question": heading if is_question else None, "text": text}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
