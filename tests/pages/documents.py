"""The pages of the documentation, cut into blocks, paragraphs and cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: A block with this word behind its language needs a network, a board or hours.
NO_RUN = "no-run"
_FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: The first word behind the fence, such as `sh`.
        marks: The further ones.
        text: What stands in it.
    """

    language: str
    marks: tuple[str, ...]
    text: str

    @property
    def commands(self) -> list[str]:
        """The lines of a block of commands, without comments."""
        lines = (line.split(" #")[0].strip() for line in self.text.splitlines())
        return [line for line in lines if line]


def page_name(page: Path) -> str:
    """A page's path below the root."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found = []
    for info, text in _FENCED.findall(page.read_text("utf-8")):
        language, *marks = info.split() or [""]
        found.append(Block(language, tuple(marks), text))
    return found


def prose_of(page: Path) -> str:
    """A page without its blocks and comments."""
    return re.sub(r"<!--.*?-->", "", _FENCED.sub("", page.read_text("utf-8")), flags=re.DOTALL)


def paragraphs_of(page: Path) -> Iterator[str]:
    """Paragraphs and items of lists, each on one line."""
    for part in re.split(r"\n\s*\n", prose_of(page)):
        if part.strip() and part.lstrip()[0] not in "|#":
            for item in re.split(r"^\s*(?:[-*]|\d+\.) ", part, flags=re.MULTILINE):
                if item.strip():
                    yield " ".join(item.split())


def cells_of(page: Path) -> Iterator[str]:
    """Cells of all tables, links without their addresses."""
    for line in prose_of(page).splitlines():
        if line.lstrip().startswith("|"):
            for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")):
                yield re.sub(r"\]\([^)]*\)", "]", cell).strip()


def sentences_of(paragraph: str) -> list[str]:
    """Sentences of a paragraph; code counts as one word."""
    paragraph = re.sub(r"^\*\*[^*]+\*\* ", "", paragraph)  # a heading within the line
    plain = re.sub(r"`[^`]*`", "code", re.sub(r"\]\([^)]*\)", "]", paragraph))
    return re.split(r"(?<=[.!?])[*)]* (?=[*`(\[A-Z0-9\"])", plain)
