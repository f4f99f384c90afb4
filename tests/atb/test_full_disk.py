"""No room to write: one sentence, nothing half-written, and what was there stays."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from atb.data.tokenizer.vocabulary import Vocabulary
from atb.errors import RunError
from atb.files import atomic_folder, translate_write_errors
from atb.models.architecture import Architecture
from atb.models.superplm.bundled import pack
from atb.models.superplm.superplm import SuperPLM

WORDS = Vocabulary(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"))
SHAPE = Architecture(1, 16, 1, 16, 24)


@contextmanager
def room_for(file_bytes: int) -> Iterator[None]:
    """No file may become larger; writing beyond fails as on a full disk, with another number."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def made() -> SuperPLM:
    torch.manual_seed(0)
    return SuperPLM.from_architecture(
        SHAPE, vocabulary_size=len(WORDS), positions=32, with_mlm_head=True
    ).eval()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def sources(atb_here, tmp_path: Path) -> None:
    made().save(tmp_path / "superplm")
    WORDS.save(tmp_path / "superplm", positions=32)
    done = atb_here("model", "extract", str(SHAPE), "--superplm", "superplm", "--out", "model")
    assert done.returncode == 0, done.stderr


COMMANDS = {
    "extract": f"model extract {SHAPE} --superplm superplm",
    "import": "model import model",
    "import as a SuperPLM": "model import model --as-superplm",
    "export": "model export model --format bert",
    "init from an encoder": "superplm init --from model",
    "init from scratch": f"superplm init --arch {SHAPE} --vocabulary superplm",
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_without_room_says_so_and_leaves_nothing(
    atb_here, tmp_path: Path, sources: None, command: str
) -> None:
    words = (*command.split(), "--out", "out")
    refused = 0
    for file_bytes in (600, 2000, 8000, 20_000, 2**30):
        with room_for(file_bytes):
            found = atb_here(*words)
        if found.returncode == 0:
            break
        assert found.returncode == 1, found.stderr
        told = [line for line in found.stderr.splitlines() if line.startswith("atb: ")]
        assert len(told) == 1, found.stderr
        # onnx writes its intermediate files without looking whether that went well
        assert re.match(r"atb: Cannot write to out \((File too large|.* is cut off)\)", told[0])
        assert "Traceback" not in found.stderr
        assert not (tmp_path / "out").exists()
        refused += 1
    assert refused >= 2
    assert found.returncode == 0


@pytest.mark.slow
def test_an_export_without_room_leaves_the_one_before(
    atb_here, tmp_path: Path, sources: None
) -> None:
    assert atb_here("model", "export", "model", "--out", "out").returncode == 0
    before = contents(tmp_path / "out")
    with room_for(4000):
        failed = atb_here("model", "export", "model", "--format", "bert", "--out", "out")
    assert failed.returncode == 1
    assert contents(tmp_path / "out") == before


def test_packing_without_room_leaves_the_package_before(tmp_path: Path) -> None:
    pack(made(), tmp_path / "packed", name="before")
    before = contents(tmp_path / "packed")
    with room_for(1000), pytest.raises(RunError, match="File too large"):
        pack(made(), tmp_path / "packed", name="after")
    assert contents(tmp_path / "packed") == before


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError("12 requested and 0 written"),  # numpy's
        Exception("No space left on device (os error 28)"),  # tokenizers'
        RuntimeError(
            "[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"
        ),  # torch's
    ],
)
def test_what_libraries_raise_on_a_full_disk_becomes_one_sentence(
    tmp_path: Path, error: Exception
) -> None:
    wanted = r"^Cannot write to .*: what was there is kept"
    with pytest.raises(RunError, match=wanted), translate_write_errors(tmp_path):
        raise error
    with pytest.raises(RuntimeError, match="a fault of ours"), translate_write_errors(tmp_path):
        raise RuntimeError("a fault of ours")


def test_files_of_a_folder_take_their_places_together(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with pytest.raises(KeyError), atomic_folder(out) as folder:
        (folder / "a").write_text("half")
        raise KeyError
    assert not out.exists()
    out.mkdir(parents=True)
    (out / "other").write_text("stays")
    (out / "card").write_text("old")
    with pytest.raises(KeyError), atomic_folder(out, last="card") as folder:
        (folder / "card").write_text("new")
        raise KeyError
    assert contents(out) == {"other": b"stays", "card": b"old"}
    with atomic_folder(out, last="card") as folder:
        (folder / "card").write_text("new")
        (folder / "weights").write_text("w")
    assert contents(out) == {"other": b"stays", "card": b"new", "weights": b"w"}
