"""What is timed: an architecture of ours, or a model file of the user's own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from atb.devices.runtimes import describe_model
from atb.errors import BadFile
from atb.models import Architecture, precision_of
from atb.text import given_text

__all__ = ["ModelFile", "Subject", "parse_subject"]

_HASH_CHARACTERS = 12
_TEXT = re.compile(rf"(.+)@([0-9a-f]{{{_HASH_CHARACTERS}}})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A user's own model, known by its content; its text form is `NAME@HASH`.

    Attributes:
        name: Of the file, without its folder.
        sha256: First characters of the hash of its content, which comprises weights that it keeps
            in other files.
        path: Where it lies now; None where a database tells of it.
        size_bytes: Of all its files; zero where a database tells of it.
        precision: In which it computes its products; `fp32` where a database tells of it.
    """

    name: str
    sha256: str
    path: Path | None = field(default=None, compare=False)
    size_bytes: int = field(default=0, compare=False)
    precision: str = field(default="fp32", compare=False)

    @classmethod
    def of(cls, path: Path) -> ModelFile:
        """Describe a file.

        Raises:
            BadFile: It or a file that belongs to it is missing or cannot be read.
        """
        try:
            artefact = describe_model(path)
        except OSError as error:
            raise BadFile(
                f"Cannot read the model {path} ({error.strerror}): check the path."
            ) from error
        name, sha256 = given_text(path.name), artefact.sha256[:_HASH_CHARACTERS]
        return cls(name, sha256, path, artefact.size_bytes, precision_of(path))

    def __str__(self) -> str:
        return f"{self.name}@{self.sha256}"


#: Whatever a campaign can time.
Subject = Architecture | ModelFile


def parse_subject(text: str) -> Subject:
    """The reverse of `str(subject)`.

    Raises:
        BadArchitecture: It is neither `NAME@HASH` nor an architecture.
    """
    match = _TEXT.fullmatch(text)
    return Architecture.parse(text) if match is None else ModelFile(match[1], match[2])
