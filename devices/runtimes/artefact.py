"""Describe the files that a runtime serves."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path

from atb.devices import Artefact, ArtefactFile
from atb.models import data_files

__all__ = ["describe_artefact", "describe_model", "gather"]


def describe_artefact(path: Path) -> Artefact:
    """Hash and measure a file that is a whole model, as all that we build are."""
    return Artefact(path=path, sha256=_hash(path), size_bytes=path.stat().st_size)


def describe_model(path: Path) -> Artefact:
    """Hash and measure a user's own model with all files that belong to it.

    Raises:
        OSError: One of them cannot be read.
        BadFile: One of them is missing or is not what the graph says.
    """
    whole = describe_artefact(path)
    data = tuple(
        ArtefactFile(file.location, file.path, _hash(file.path), file.path.stat().st_size)
        for file in data_files(path)
    )
    if not data:
        return whole
    hashes = [whole.sha256, *([file.location, file.sha256] for file in data)]
    return Artefact(
        path,
        sha256=hashlib.sha256(json.dumps(hashes).encode()).hexdigest(),
        size_bytes=whole.size_bytes + sum(file.size_bytes for file in data),
        data=data,
    )


def gather(artefact: Artefact, folder: Path) -> Artefact:
    """Let the files of a model lie where the graph says, without links.

    Runtimes and `onnx` refuse weights that a link leads to outside of the graph's folder. Where
    they lie as they should nothing is done; else they are put into `folder`, as further names of
    the same files where the file system can do that.

    Raises:
        OSError: The folder cannot be written.
    """
    real = artefact.path.resolve().parent
    if all(file.path.resolve() == real / file.location for file in artefact.data):
        return artefact
    path = folder / artefact.path.name
    _place(artefact.path, path)
    data = []
    for file in artefact.data:
        target = folder / file.location
        _place(file.path, target)
        data.append(ArtefactFile(file.location, target, file.sha256, file.size_bytes))
    return Artefact(path, artefact.sha256, artefact.size_bytes, tuple(data))


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source = source.resolve()
    with contextlib.suppress(OSError):  # another file system, or one without links
        os.link(source, target)
        return
    shutil.copyfile(source, target)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
