"""Files of our own kinds that arrive damaged are read, or refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutation import Reader, check_reader

from atb.commands.build.recipe import read_recipe
from atb.data.corpus.corpus import Corpus
from atb.data.corpus.preparation import prepare
from atb.data.corpus.shards import TokenShards
from atb.models.space import find_space
from atb.models.superplm.card import read_card
from atb.predictor.known_devices.known_device import read_known_device

ROOT = Path(__file__).resolve().parents[2]


def read_steps(path: Path) -> None:
    steps = list(read_recipe(path).steps(Path("out")))
    assert all(isinstance(word, str) for step in steps for word in step.words)


def read_own_space(path: Path) -> None:
    assert find_space(str(path)).size > 0


def read_shards(path: Path) -> None:
    ids, mask = TokenShards.open(path.parent).batch([0])
    assert ids.shape == mask.shape


READERS = [
    Reader("recipe", {"r.toml": (ROOT / "examples/laptop.toml").read_bytes()}, read_steps, 400),
    Reader(
        "space", {"s.toml": (ROOT / "examples/own_space.toml").read_bytes()}, read_own_space, 500
    ),
    Reader(
        "card",
        {"superplm.json": (ROOT / "models/mini/superplm.json").read_bytes()},
        lambda path: read_card(path.parent),
        200,
    ),
    Reader(
        "known device",
        {"known.json": (ROOT / "devices/known/amd-epyc-milan.json").read_bytes()},
        read_known_device,
        60,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=str)
def test_a_damaged_file_of_ours_is_read_or_refused(reader: Reader, tmp_path: Path) -> None:
    check_reader(reader, tmp_path / "files")


@pytest.mark.slow
def test_damaged_shards_are_read_or_refused(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("The ferry leaves.\n\nIt is late.\n")
    prepare(Corpus(tmp_path / "text.txt"), tmp_path / "shards")
    samples = {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()}
    check_reader(Reader("shards", samples, read_shards, mutations=300), tmp_path / "files")


@pytest.mark.parametrize("name", ["examples/laptop.toml", "examples/own_space.toml"])
def test_files_in_toml_may_begin_with_a_byte_order_mark(name: str, tmp_path: Path) -> None:
    path = tmp_path / "marked.toml"
    path.write_bytes(b"\xef\xbb\xbf" + (ROOT / name).read_bytes())
    (read_own_space if "space" in name else read_steps)(path)
