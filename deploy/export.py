"""From an architecture to a product: a folder that transformers and onnxruntime load as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from atb.data.corpus import held_out
from atb.data.tokenizer import Vocabulary, read_vocabulary, vocabulary_of
from atb.deploy.graph_checks import CHECK_SEQUENCES, check_graphs, describe_checks
from atb.deploy.model_card import CARD, CardFacts, extraction, write_card
from atb.errors import InputError
from atb.files import atomic_folder, read_document, write_document
from atb.models import Architecture, Stage
from atb.plain import from_plain, to_plain
from atb.search import SearchResult
from atb.search.scoring import head_of, superplm_sha256, write_graphs

if TYPE_CHECKING:
    from atb.models.superplm import SuperPLM

MANIFEST = "atb.json"
_KIND, _FORMAT = "exported-model", 1


@dataclass(frozen=True, slots=True)
class Export:
    """What was exported, and what checking it showed.

    Attributes:
        architecture: Shape of the model.
        superplm_sha256: Hash of the weights it was cut from.
        request: Hash of the search that chose it; empty where it was chosen by hand.
        fp32_difference: Largest difference between onnxruntime and torch.
        int8_cosine: Mean cosine between the means of the hidden states in int8 and in fp32.
        files: Bytes of each file in the folder, by name.
    """

    architecture: Architecture
    superplm_sha256: str
    request: str
    fp32_difference: float
    int8_cosine: float
    files: dict[str, int]


def export_model(
    superplm: SuperPLM,
    architecture: Architecture,
    out: Path,
    *,
    result: SearchResult | None = None,
    source: Path | None = None,
    vocabulary: Vocabulary | None = None,
    history: tuple[Stage, ...] | None = None,
) -> Export:
    """Write a transformers folder, `model.onnx`, `model.int8.onnx`, tokenizer and model card.

    Of a SuperPLM that was fine-tuned on a task, the task's head comes along. All of it is written
    and checked elsewhere first; the files then take their places one by one, the manifest last.
    An export of the same weights by the same search is not made twice.

    Args:
        superplm: The SuperPLM that the slice is cut out of.
        architecture: Shape of the slice.
        out: Folder that is written.
        result: The search that chose the slice, for the model card.
        source: Folder of the SuperPLM, whose card has origin and licences.
        vocabulary: Vocabulary of the SuperPLM; when None the one in `source`, and the shipped one
            where there is no `source` either.
        history: How the model came about, where it was not cut out of a SuperPLM just now.

    Raises:
        InputError: The slice does not fit, the vocabulary is not the SuperPLM's, or the folder
            cannot be written.
        RunError: What was written computes something else than torch, or the disk is full.
    """
    from atb.training.finetuning import task_of

    superplm.check(architecture)
    vocabulary = vocabulary or vocabulary_of(source)
    if len(vocabulary) > superplm.config.vocab_size:
        raise InputError(
            f"The vocabulary has {len(vocabulary)} tokens and the SuperPLM "
            f"{superplm.config.vocab_size}: pass the vocabulary that it was trained with."
        )
    weights = superplm_sha256(superplm)
    request = "" if result is None else result.request
    before = _find(out)
    if before is not None and (before.architecture, before.superplm_sha256, before.request) == (
        architecture,
        weights,
        request,
    ):
        return before
    if not history:
        task = None if source is None else task_of(source)
        history = (extraction(superplm.architecture, weights, source, result, task),)
    with atomic_folder(out, last=MANIFEST) as folder:
        checked = _write(superplm, architecture, vocabulary, history, folder)
        made = Export(architecture, weights, request, *checked)
        content = {**to_plain(made), "architecture": str(architecture)}
        write_document(folder / MANIFEST, content, kind=_KIND, format=_FORMAT)
    return made


def _write(
    superplm: SuperPLM,
    architecture: Architecture,
    vocabulary: Vocabulary,
    stages: tuple[Stage, ...],
    folder: Path,
) -> tuple[float, float, dict[str, int]]:
    """Write all but the manifest; returns what `check_graphs` found, and sizes of the files."""
    from atb.models.superplm import save_folder

    positions = superplm.config.max_position_embeddings
    model = superplm.extract(architecture, _head_of(superplm), pad_token_id=vocabulary.special.pad)
    save_folder(model, None, folder)
    vocabulary.save(folder, positions=positions)
    write_graphs(model, folder)
    text = held_out(min(128, positions), CHECK_SEQUENCES, vocabulary=vocabulary)
    difference, cosine = check_graphs(model, folder, text)
    facts = CardFacts(
        architecture,
        stages,
        parameters=superplm.parameter_count(architecture),
        positions=positions,
        checks=describe_checks(difference, cosine),
        head=head_of(model),
        projected=superplm.config.projection_size is not None,
        is_shipped_vocabulary=vocabulary == read_vocabulary(),
    )
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    write_card(folder, facts)
    return difference, cosine, sizes


def _head_of(superplm: SuperPLM) -> Literal["mlm", "classification", "qa"] | None:
    """The head that is handed over with a slice: the task's where there is one."""
    if superplm.task_head is not None:
        return "qa" if superplm.task_head[0] == "qa" else "classification"
    return "mlm" if superplm.cls is not None else None


def _find(out: Path) -> Export | None:
    """The export that a folder holds completely."""
    if not (out / MANIFEST).is_file():
        return None
    try:
        fields = read_document(out / MANIFEST, kind=_KIND, format=_FORMAT)
        architecture = Architecture.parse(fields["architecture"])
        found = from_plain(Export, {**fields, "architecture": architecture})
    except (KeyError, ValueError):
        return None
    complete = all((out / name).is_file() for name in (*found.files, CARD))
    return found if complete else None
