"""Where a page's numbers come from: files with hashes, versions, seeds; and how to load a model."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

#: Libraries that a number or a model may depend on.
_LIBRARIES = ("autotinybert", "torch", "transformers", "onnx", "onnxruntime", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A file beside the page.

    Attributes:
        label: What the file is.
        path: Its path from the folder of the page.
        size: Its size in bytes.
        sha256: SHA-256 of its content.
    """

    label: str
    path: str
    size: int
    sha256: str


#: What lies in a model's folder.
_MODEL_FILES = {
    "atb.json": "where the model comes from",
    "config.json": "transformers: configuration",
    "history.json": "what was done to it, stage by stage",
    "generation_config.json": "transformers: settings of generation",
    "model.int8.onnx": "ONNX graph with weights, int8",
    "model.onnx": "ONNX graph with weights, fp32",
    "model.safetensors": "transformers: weights",
    "modeling_tinybert.py": "transformers: the model's code",
    "tokenizer.json": "tokenizer",
    "tokenizer_config.json": "tokenizer: configuration",
    "vocab.txt": "tokenizer: vocabulary",
    "README.md": "card",
}


def model_files(model: Path, folder: Path) -> list[ShownFile]:
    """The files of a model's folder, each with a word on what it is."""
    return [
        replace(file, label=_MODEL_FILES.get(Path(file.path).name, "other"))
        for file in files_of({"model": model}, folder)
    ]


def files_of(files: Mapping[str, Path], folder: Path) -> list[ShownFile]:
    """Hash files; of a folder, those directly in it.

    Args:
        files: What each is called -> where it lies.
        folder: Folder of the page.
    """
    return [
        ShownFile(label, _relative(path, folder), path.stat().st_size, _sha256(path))
        for label, given in files.items()
        for path in _expanded(given)
    ]


def _expanded(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    elif path.is_file():
        yield path


def _relative(path: Path, folder: Path) -> str:
    """A path from the folder of the page, so that no page names folders of the machine."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def versions() -> list[tuple[str, str]]:
    """Versions of Python and of the libraries, as installed where the page is written."""
    found = [("python", platform.python_version())]
    for name in _LIBRARIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed"))
    return found


def snippets_of(model: Path, folder: Path) -> list[tuple[str, str]]:
    """Code that loads a model's folder, for what is in it."""
    place = _relative(model, folder)
    found = []
    if (model / "config.json").is_file():
        tokenizer = any((model / name).is_file() for name in ("tokenizer.json", "vocab.txt"))
        found.append(("transformers, with the modelling code in the folder",
                      _transformers_code(place, tokenizer=tokenizer)))  # fmt: skip
    graphs = [name for name in ("model.onnx", "model.int8.onnx") if (model / name).is_file()]
    if graphs:
        words = f"; {graphs[1]} is loaded alike and is smaller" if len(graphs) > 1 else ""
        found.append((f"onnxruntime{words}", _onnx_code(f"{place}/{graphs[0]}")))
    return found


def _transformers_code(place: str, *, tokenizer: bool) -> str:
    lines = ["from transformers import AutoModel" + (", AutoTokenizer" if tokenizer else ""), ""]
    lines.append(f"model = AutoModel.from_pretrained({place!r}, trust_remote_code=True).eval()")
    if tokenizer:
        lines.append(f"tokenizer = AutoTokenizer.from_pretrained({place!r})")
        lines.append('vectors = model(**tokenizer("A small model.", return_tensors="pt"))[0]')
    return "\n".join(lines)


def _onnx_code(path: str) -> str:
    return f"""import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession({path!r})
tokens = np.array([[101, 7592, 2088, 102]])  # [batch, length], of any size
inputs = {{
    "input_ids": tokens,
    "attention_mask": np.ones_like(tokens),
    "token_type_ids": np.zeros_like(tokens),
}}
vectors, pooled = session.run(["last_hidden_state", "pooler_output"], inputs)"""
