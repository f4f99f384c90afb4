"""The public surface speaks the terms of the field, not a vocabulary of its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from pages.documents import PAGES, ROOT, page_name

STAGES = (
    "atb",
    "data",
    "deploy",
    "devices",
    "models",
    "predictor",
    "profiler",
    "report",
    "search",
    "training",
)
#: Public names of before, as whole names.
NAMES = (
    r"Nonsense|Death|death|Conversation|Far[A-Z]\w*|Refusal|Refused|Gone|Launch|LaunchRun|Launcher"
    r"|Patience|Opened|hold|alone|at_one_moment|measurements_then|together|Comparing|looks|judge"
    r"|Measures|Measured|Place|Elsewhere|Weighed|hopeless|screening|evolved|peers|fit_prices|prices"
    r"|seal|Shrinking|Pupil|taught|aims|complain|note|refuse_beside|\w+_told|Neighbour|neighbours"
    r"|embedded|stock|chosen|sides|as_seen_ms|tails|spread|cache"
)
#: What texts no longer say, each with what they say instead.
PHRASES = {
    r"nonsense": "a protocol error",
    r"over there": "on the device",
    r"hopeless": "pruned",
    r"screening": "pruning",
    r"\bevolved\b": "evolution",
    r"\bpeers?\b": "baselines",
    r"\bprices?\b": "coefficients",
    r"\bseal(s|ed)?\b": "checksum",
    r"\bpupils?\b": "student",
    r"\btaught\b": "trained by",
    r"\bneighbours?\b": "other tenants, or a baseline",
    r"\bstock BERT": "plain BERT",
    r"\bas seen\b": "wall median",
    r"\bembedded\b": "bundled",
    r"\binterim looks?\b|\blooks at it\b": "interim analyses",
    r"\bjudged?\b": "score, evaluate, verdict",
    r"\bblamed?\b": "attribute",
    r"\bwho(m|ever)?\b": "which, for things",
    r"\bby the runtime's word\b": "by the runtime's own profiler",
}


@dataclass(frozen=True)
class Allowed:
    """A text that may say a phrase all the same.

    Attributes:
        path: Where it stands, from the root; a folder stands for all below it.
        text: A part of what it says.
        reason: Why it stays.
    """

    path: str
    text: str
    reason: str


EXCEPTIONS = (
    Allowed("atb/cli.py", "peers", "a hidden alias of --baselines"),
    Allowed("search/methods/methods.py", "evolved", "names of methods in searches of before"),
    Allowed("search/candidate.py", "hopeless", "a field of result.json"),
    Allowed("docs/reference/formats.md", "`hopeless`", "a field of result.json"),
    Allowed("training/identity.py", "taught", "a field that runs of before have"),
    Allowed("profiler/campaign/details.py", "neighbours, clocks", "a text that is tokenised"),
)


@cache
def sources() -> tuple[Path, ...]:
    """The package's files."""
    return tuple(path for stage in STAGES for path in sorted((ROOT / stage).rglob("*.py")))


def texts_of(path: Path) -> Iterator[str]:
    """String constants of a file, and docstrings of what is public in it."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef | ast.Module):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docstrings.add(first.value)
                if not isinstance(node, ast.Module) and not node.name.startswith("_"):
                    yield ast.get_docstring(node) or ""
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and node not in docstrings else None
        if isinstance(text, str):
            yield text


def said(path: Path, texts: Iterator[str]) -> list[str]:
    """What texts of a file say that they should not."""
    name = path.relative_to(ROOT).as_posix()
    allowed = [one.text for one in EXCEPTIONS if name.startswith(one.path)]
    found = []
    for text in texts:
        plain = " ".join(text.split())
        for one in allowed:
            plain = plain.replace(one, "")
        for phrase, instead in PHRASES.items():
            for match in re.finditer(phrase, plain, re.IGNORECASE):
                around = plain[max(0, match.start() - 40) : match.end() + 40]
                found.append(f"{name}: ...{around}... ({instead})")
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_messages_and_docstrings_use_the_terms_of_the_field(stage: str) -> None:
    files = [path for path in sources() if path.is_relative_to(ROOT / stage)]
    found = [line for path in files for line in said(path, texts_of(path))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_pages_use_the_terms_of_the_field(page: Path) -> None:
    found = said(page, iter([page.read_text("utf-8")]))
    assert not found, "\n".join(found)


def test_public_names_are_the_terms_of_the_field() -> None:
    names = re.compile(rf"(?<= as )({NAMES})(?=[,\s])")
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for stage in STAGES
        for path in (ROOT / stage).rglob("__init__.pyi")
        for name in names.findall(path.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("exception", EXCEPTIONS, ids=lambda one: one.text)
def test_every_exception_is_needed(exception: Allowed) -> None:
    path = ROOT / exception.path
    files = [path] if path.is_file() else [*path.rglob("*.py"), *path.rglob("*.md")]
    assert any(exception.text in " ".join(file.read_text("utf-8").split()) for file in files)
