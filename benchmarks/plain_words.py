"""Measure the language and the file map of a checkout.

    python -m benchmarks.plain_words [FOLDER]

Compare two states of the project by naming each checkout in turn; the figures are defined here and
depend on nothing else in the measured folder.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import click

from tests.support.vocabulary import retired_in

_PRODUCT = ("pipeline_assets", "playhead", "resources", "sensors")
_CODE = (*_PRODUCT, "tests", "benchmarks")
#: The list itself, and what is history by nature.
_EXEMPT = ("tests/support/vocabulary.py", "CHANGELOG.md")
#: Modules that share a name because they are the same idea in several packages: adapters of one
#: provider or kind, the service of a use case, an asset and the table behind it.
_SAME_IDEA = {
    "__init__", "__main__", "conftest", "openai", "extractive", "stub", "service", "protocol",
    "vector_indexes", "conversations", "database", "engines", "recordings", "plans", "search",
    "transcript", "document", "embeddings", "chunks", "process", "inbox", "models", "tokens",
    "spend", "prune", "access", "exports", "ask", "ingest", "llm_reply", "model_switch", "probe",
    "orphaned_runs", "provider_batches", "rate_limits",
}  # fmt: skip
#: First words that are verbs in the imperative; extend it where an honest verb is missing.
VERBS = frozenset(
    """
    abort accept accumulate acquire activate adapt add adjust adopt advance aggregate align
    allow answer append apply archive arrange ask assemble assert assign attach attempt
    authenticate average avoid balance batch be begin bind block bound break build bump bundle
    cache calculate call cancel capture carry catch change check choose chunk claim classify
    clean clear close collapse collect combine commit compare compile complete compose compress
    compute configure confirm connect consume contain continue convert copy correct count cover
    create cut deactivate dead-letter debounce decide declare decode decorate decrease decrypt
    deduplicate defer define delete deliver demand deny derive describe deserialize detect
    determine diff disable discard disconnect dispatch display divide download drain draw drop
    dump embed emit empty enable encode encrypt end enforce enqueue ensure enter erase escape
    establish estimate evaluate evict examine exchange exclude execute exit expand expect expire
    explain export express extend extract fail feed fetch fill filter find finish fit fix flag
    flatten flush fold follow force forget format forward free freeze fuse gather generate get
    give grant group grow guard guess halve handle hash help hide hold identify ignore import
    include increase increment index infer ingest inherit initialise initialize insert inspect
    install interpolate interpret intersect invalidate invert invoke issue iterate join judge
    jump keep kill label lay leave lend let lift limit link list listen load locate lock log
    look lower lowercase maintain make manage mark match materialise materialize measure memoize
    merge migrate mix mock monitor move multiply name narrow negotiate normalise normalize note
    notice notify number observe offer omit open order output overlap overwrite pack pad pair
    park parse pass pause peek pick pin place play plot point poll populate post predict prefer
    prepare prepend present preserve prevent price print probe process produce project prompt
    propagate protect prove provide prune publish pull purge push put query queue quote raise
    rank rate re-encode re-raise reach read rebuild receive recognise recognize recompute
    reconcile reconnect record recover redirect reduce refresh refuse refute register reject
    relabel relate release reload remember remove rename render repair repeat replace replay
    reply report request requeue require rerank rescale reserve reset reshape resolve respond
    restore restrict resume retire retrieve retry return reuse reverse revoke rewrite roll
    rotate round route run sample sanitise sanitize save say scale scan schedule score search
    seed seek seize select send separate serialise serialize serve set settle shift shorten show
    shrink shuffle shut sign signal simulate skip sleep slice snap sort spawn speak spell split
    spread stage start state stay stop store stream strip stub submit subscribe substitute
    subtract suggest sum summarise summarize supervise supply support suppress suspend swap
    sweep switch sync synchronise synchronize synthesise tag take tell terminate test throttle
    tidy tile time tokenise tokenize touch track transcode transcribe transform translate
    transliterate trigger trim truncate try turn unarchive undo unify uninstall unlink unlock
    unpack unpin unregister update upload upsert use vacuum validate vary verify view visit wait
    wake walk warn watch weigh weight widen wrap write yield zip
    """.split()
)


def measure(folder: Path) -> dict[str, object]:
    """Return the figures of the checkout in ``folder``, by name."""
    product = list(_files(folder, _PRODUCT))
    code = list(_files(folder, _CODE))
    documented, without_verb = _docstrings(folder, product)
    return {
        "docstrings_of_functions": documented,
        "docstrings_without_verb": len(without_verb),
        "docstrings_without_verb_percent": round(100 * len(without_verb) / max(1, documented), 1),
        "variables_named_one": sum(_names_one(path) for path in code),
        "classes_defined_twice": _twice(product),
        "modules_named_twice": _modules_twice(folder, product),
        "largest_package": _largest(folder, product),
        "retired_words": sum(_retired(folder).values()),
        "retired_by_file": dict(_retired(folder).most_common(12)),
        "product_lines": sum(len(path.read_text().splitlines()) for path in product),
        "test_lines": sum(
            len(path.read_text().splitlines()) for path in _files(folder, ("tests",))
        ),
    }


def _tracked(folder: Path, *patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", *patterns],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [folder / name for name in listed.stdout.splitlines() if (folder / name).is_file()]


def _files(folder: Path, packages: tuple[str, ...]) -> Iterator[Path]:
    yield from _tracked(folder, *(f"{package}/*.py" for package in packages))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _is_property(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    names = {getattr(node, "id", getattr(node, "attr", "")) for node in function.decorator_list}
    return bool(names & {"property", "cached_property"})


def starts_with_verb(docstring: str) -> bool:
    """Return True if the first word is a verb of ``VERBS``."""
    first = re.match(r"[`*\"'“]*([A-Za-z-]+)", docstring.strip())
    return first is not None and first[1].lower() in VERBS


def _docstrings(folder: Path, files: list[Path]) -> tuple[int, list[str]]:
    documented, without = 0, []
    for path in files:
        for function in _functions(path):
            text = ast.get_docstring(function)
            if text is None:
                continue
            documented += 1
            if not starts_with_verb(text):
                first = text.splitlines()[0]
                without.append(
                    f"{path.relative_to(folder)}:{function.lineno} {function.name}: {first}"
                )
    return documented, without


def _names_one(path: Path) -> int:
    nodes = ast.walk(ast.parse(path.read_text()))
    return sum(
        (isinstance(node, ast.Name) and node.id == "one")
        or (isinstance(node, ast.arg) and node.arg == "one")
        for node in nodes
    )


def _twice(files: list[Path]) -> dict[str, int]:
    places: Counter[str] = Counter()
    for path in files:
        places.update(
            {node.name for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.ClassDef)}
        )  # fmt: skip
    return {name: count for name, count in sorted(places.items()) if count > 1}


def _modules_twice(folder: Path, files: list[Path]) -> dict[str, list[str]]:
    places = defaultdict(list)
    for path in files:
        places[path.stem].append(str(path.relative_to(folder)))
    return {
        name: paths
        for name, paths in sorted(places.items())
        if len(paths) > 1 and name not in _SAME_IDEA
    }


def _largest(folder: Path, files: list[Path]) -> dict[str, float]:
    """Return the share of the product's lines, in percent, of the three largest packages."""
    lines: Counter[str] = Counter()
    for path in files:
        parts = path.relative_to(folder).parts
        package = "/".join(parts[:2]) if parts[0] == "playhead" and len(parts) > 2 else parts[0]
        lines[package] += len(path.read_text().splitlines())
    total = lines.total() or 1
    return {name: round(100 * count / total, 1) for name, count in lines.most_common(3)}


def _retired(folder: Path) -> Counter[str]:
    patterns = ("*.py", "*.sql", "*.md", "*.toml", "*.yaml", "Makefile", "*.sh", ".env.example")
    counts: Counter[str] = Counter()
    for path in _tracked(folder, *patterns):
        name = str(path.relative_to(folder))
        if name not in _EXEMPT:
            counts[name] = len(retired_in(path.read_text()))
    return +counts


@click.command()
@click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default="."
)
@click.option("--docstrings", is_flag=True, help="List docstrings that do not start with a verb.")
@click.option("--words", is_flag=True, help="List retired words with their lines.")
@click.option("--only", default="", help="Limit the lists to paths that start with this.")
def main(folder: Path, docstrings: bool, words: bool, only: str) -> None:
    """Print the figures of a checkout as JSON, or the places behind them."""
    folder = folder.resolve()
    if docstrings:
        for line in _docstrings(folder, list(_files(folder, _PRODUCT)))[1]:
            if line.startswith(only):
                click.echo(line)
    elif words:
        for name in sorted(_retired(folder)):
            if name.startswith(only):
                for number, line in enumerate((folder / name).read_text().splitlines(), 1):
                    for word in retired_in(line):
                        click.echo(f"{name}:{number}: {word}")
    else:
        click.echo(json.dumps(measure(folder), indent=2))


if __name__ == "__main__":
    main()
