"""Tokenizers and model folders that arrive damaged are read soundly, or refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
import transformers
from mutation import Reader, check_reader

from atb.data.text_model import TextModel
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.data.tokenizer.vocabulary import Vocabulary
from atb.models.architecture import Architecture
from atb.models.superplm.bundled import load_superplm, pack
from atb.models.superplm.superplm import SuperPLM
from atb.training.reading import read_encoder

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcäß東", "##b", "der")


def files(write: Callable[[Path], object], *names: str) -> dict[str, bytes]:
    """What something writes into a folder: all of it, or the files named."""
    with TemporaryDirectory() as folder:
        write(Path(folder))
        found = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return {name: content for name, content in found.items() if not names or name in names}


def save_tokenizer(folder: Path) -> None:
    numbers = {word: number for number, word in enumerate(WORDS)}
    transformers.BertTokenizer(vocab=numbers, do_lower_case=False).save_pretrained(folder)


def save_encoder(folder: Path) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(
        **sizes, intermediate_size=6, vocab_size=len(WORDS), max_position_embeddings=8
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    Vocabulary(WORDS).save(folder)


def superplm() -> SuperPLM:
    torch.manual_seed(0)
    shape = Architecture(1, 4, 2, 4, 6)
    return SuperPLM.from_architecture(shape, vocabulary_size=len(WORDS), positions=8)


def save_superplm(folder: Path) -> None:
    superplm().save(folder, origin="nowhere")
    Vocabulary(WORDS).save(folder)


def save_packed(folder: Path) -> None:
    pack(superplm(), folder)
    Vocabulary(WORDS).save(folder)


def read_tokenizer(path: Path) -> None:
    vocabulary = read_vocabulary(path.parent)
    found = vocabulary.tokenizer().encode("der Äb 東!")
    assert (found.ids[0], found.ids[-1]) == (vocabulary.special.cls, vocabulary.special.sep)
    assert all(0 <= number < len(vocabulary) for number in found.ids)
    vocabulary.save(path.parent / "again")
    assert read_vocabulary(path.parent / "again") == vocabulary


def compute(model: SuperPLM, text_model: TextModel) -> None:
    assert text_model.rows == model.config.vocab_size
    tokens = torch.tensor([[2, 5, 3]])
    with torch.no_grad():
        hidden = model.hidden_states(model.architecture, tokens)
    assert hidden.shape == (1, 3, model.architecture.hidden)


def read_model(path: Path) -> None:
    text_model = TextModel.read(path.parent)
    compute(read_encoder(path.parent), text_model)


def read_superplm(path: Path) -> None:
    model = load_superplm(path.parent)
    compute(model, TextModel.read(path.parent))


READERS = (
    Reader("tokenizer.json", files(save_tokenizer), read_tokenizer, mutations=400),
    Reader(
        "vocab.txt",
        files(Vocabulary(WORDS).save, "vocab.txt", "tokenizer_config.json"),
        read_tokenizer,
    ),
    Reader(
        "encoder",
        files(save_encoder, "config.json", "model.safetensors", "vocab.txt"),
        read_model,
        mutations=300,
    ),
    Reader(
        "SuperPLM",
        files(save_superplm, "superplm.json", "model.safetensors", "vocab.txt"),
        read_superplm,
        mutations=300,
    ),
    Reader(
        "packed SuperPLM",
        files(save_packed, "superplm.json", "model.safetensors", "vocab.txt"),
        read_superplm,
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=str)
def test_a_damaged_text_model_is_read_soundly_or_refused(reader: Reader, tmp_path: Path) -> None:
    check_reader(reader, tmp_path / "files")
