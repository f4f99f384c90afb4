"""`atb superplm init`: a SuperPLM from an encoder, or from random weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Option

from atb.commands.arguments import Cased, Options, Seed, SuperPLMOutput, VocabularyPath, option
from atb.commands.output import print_line, print_warning, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.data import TextModel
    from atb.data.corpus import TokenShards
    from atb.data.tokenizer import Vocabulary
    from atb.models.superplm import SuperPLM


class EncoderOptions(Options, panel="From an encoder"):
    """How to start from a pre-trained encoder."""

    source: Path | None = option(
        "--from",
        default=None,
        metavar="DIR",
        help="Start from this BERT encoder, a transformers folder; by default --arch says the "
        "shape.",
    )
    data: Path | None = option(
        default=None,
        metavar="DIR",
        help="Measure importance on these token shards in the encoder's vocabulary; by default "
        "on the bundled English sample.",
    )
    layers: int | None = option(
        default=None, min=1, help="Keep this many layers of the encoder; by default all."
    )
    kept_layers: Literal["bottom", "even"] | None = option(
        "--keep",
        default=None,
        help="Keep the lowest layers (`bottom`) or evenly spaced ones (`even`); by default "
        "the lowest.",
    )


class ScratchOptions(Options, panel="From scratch"):
    """How to start from random weights."""

    architecture: str | None = option(
        "--arch",
        default=None,
        metavar="ARCH",
        help="Start from random weights of this largest shape; by default --from names an encoder.",
    )
    vocabulary: VocabularyPath = None
    cased: Cased = False
    projection: int | None = option(
        default=None,
        min=1,
        help="Project hidden states to this width, the hidden size of a teacher; by default "
        "there is no projection.",
    )


def init(
    out: SuperPLMOutput,
    encoder: EncoderOptions,
    scratch: ScratchOptions,
    slice_layers: Annotated[
        Literal["bottom", "even"],
        Option(
            help="Let a slice of fewer layers take the lowest ones (`bottom`, as in the paper) or "
            "evenly spaced ones with the last (`even`)."
        ),
    ] = "even",
    seed: Seed = 0,
) -> None:
    """Start from a pre-trained encoder, ordered by importance, or from scratch.

    Importance is measured on the text given by --data.

    Example:
        atb superplm init --from bert-folder --out start
    """
    from atb.files import atomic_folder
    from atb.models.superplm import CARD

    if (encoder.source is None) == (scratch.architecture is None):
        raise InputError("Give either --from DIR for a pre-trained encoder, or --arch ARCH.")
    if (out / CARD).exists():
        raise InputError(f"{out} holds a SuperPLM already: choose another --out.")
    if encoder.kept_layers is not None and encoder.layers is None:
        raise InputError(
            "--keep chooses among layers: say how many with --layers, or leave it out."
        )
    if encoder.source is not None:
        if scratch.vocabulary is not None or scratch.cased:
            raise InputError("--vocabulary and --cased are for --arch: an encoder has its own.")
        superplm, words = _from_encoder(encoder.source, encoder, seed)
        origin = f"{encoder.source.resolve().name}, ordered by importance"
    else:
        if encoder.layers is not None:
            raise InputError("--layers is for --from: --arch tells the layers itself.")
        superplm, words = _from_scratch(scratch, seed)
        origin = "random weights"
    superplm.slice_layers = slice_layers
    with atomic_folder(out, last=CARD) as folder:
        superplm.save(folder, origin=origin, seed=seed)
        words.save(folder, positions=superplm.config.max_position_embeddings)
    print_line(f"{out}: {superplm.architecture}, from {origin}")


def _from_encoder(source: Path, encoder: EncoderOptions, seed: int) -> tuple[SuperPLM, Vocabulary]:
    from atb.training.one_shot import initialise

    text_model, text = _text_of(source, encoder.data)
    with progress("importance") as show:
        superplm = initialise(
            source,
            text,
            layers=encoder.layers,
            kept_layers=encoder.kept_layers or "bottom",
            seed=seed,
            progress=lambda done, total: show(done, total, ""),
        )
    return superplm, text_model.vocabulary


def _from_scratch(scratch: ScratchOptions, seed: int) -> tuple[SuperPLM, Vocabulary]:
    import torch

    from atb.data.tokenizer import read_vocabulary
    from atb.models import resolve
    from atb.models.superplm import SuperPLM

    assert scratch.architecture is not None
    words = read_vocabulary(scratch.vocabulary, lowercase=False if scratch.cased else None)
    torch.manual_seed(seed)
    superplm = SuperPLM.from_architecture(
        resolve(scratch.architecture),
        vocabulary_size=len(words),
        with_mlm_head=True,
        projection_size=scratch.projection,
    )
    return superplm, words


def _text_of(encoder: Path, data: Path | None) -> tuple[TextModel, TokenShards]:
    """An encoder's tokenizer, and the text in its words on which importance is measured."""
    from atb.data import TextModel
    from atb.data.corpus import MANY_UNKNOWN
    from atb.training.one_shot import open_text

    model = TextModel.read(encoder)
    if data is not None:
        return model, open_text(data, model)
    text = model.sample()
    if text.unknown_share > MANY_UNKNOWN:
        print_warning(
            f"{encoder} does not know {text.unknown_share:.0%} of the words of the "
            "shipped English sample: give --data with text in its language."
        )
    return model, text
