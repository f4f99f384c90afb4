"""From an architecture to a product: a folder that transformers and onnxruntime load as it is."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from atb.data.samples import held_out
from atb.data.vocabulary import Vocabulary, vocabulary_of
from atb.errors import BadFile, InputError, RunError
from atb.files import prepare_output, read_document, write_document
from atb.models.architecture import Architecture
from atb.search.model_card import model_card
from atb.search.proxy import superplm_sha256
from atb.search.result import SearchResult

if TYPE_CHECKING:
    from atb.models.modeling_tinybert import TinyBertPreTrainedModel
    from atb.models.superplm import SuperPLM

__all__ = ["FP32_FILE", "INT8_FILE", "MANIFEST", "Export", "export_model", "export_winner"]

FP32_FILE, INT8_FILE, CARD, MANIFEST = "model.onnx", "model.int8.onnx", "README.md", "atb.json"
_KIND, _FORMAT = "exported-model", 1
#: Largest difference between onnxruntime and torch in fp32.
TOLERANCE = 1e-4
#: Cosine between int8 and fp32 sentence means on real text below which something is broken.
_WORST_INT8_COSINE = 0.90
_CHECK_SEQUENCES = 8


@dataclass(frozen=True, slots=True)
class Export:
    """What was exported, and what checking it showed.

    Attributes:
        architecture: The shape.
        superplm_sha256: Hash of the weights it was cut from.
        request: Hash of the search that chose it; empty where it was chosen by hand.
        fp32_difference: Largest difference between onnxruntime and torch.
        int8_cosine: Mean cosine between the means of the hidden states in int8 and in fp32.
        files: Names in the folder with their sizes in bytes.
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
) -> Export:
    """Write a transformers folder, `model.onnx`, `model.int8.onnx`, tokenizer and model card.

    All of it is written and checked elsewhere first; the files then take their places one by one,
    the manifest last. An export of the same weights by the same search is not made twice.

    Args:
        superplm: Where the weights come from.
        architecture: The slice.
        out: The folder.
        result: The search that chose it, for the model card.
        source: Folder of the SuperPLM, for what its card says about origin and licences.
        vocabulary: Of the SuperPLM; the one in `source`, or the shipped one, when None.

    Raises:
        InputError: The slice does not fit, the vocabulary is not the SuperPLM's, or the folder
            cannot be written.
        RunError: What was written computes something else than torch, or the disk is full.
    """
    superplm.check(architecture)
    vocabulary = vocabulary or vocabulary_of(source)
    words = len(vocabulary)
    if words != superplm.config.vocab_size:
        raise InputError(
            f"The vocabulary has {words} tokens and the SuperPLM {superplm.config.vocab_size}: "
            "pass the vocabulary that it was trained with."
        )
    prepare_output(out, directory=True)
    weights = superplm_sha256(superplm)
    request = "" if result is None else result.request
    before = _find(out)
    if before is not None and (before.architecture, before.superplm_sha256, before.request) == (
        architecture,
        weights,
        request,
    ):
        return before
    with (
        _full_disk_told(out),
        tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary,
    ):
        folder = Path(temporary)
        model = superplm.extract(architecture, "mlm" if superplm.cls is not None else None)
        _write(model, architecture, folder, vocabulary)
        difference, cosine = _check(model, folder)
        made = Export(architecture, weights, request, difference, cosine, _sizes(folder))
        card = model_card(
            made,
            superplm.architecture,
            vocabulary_size=words,
            positions=superplm.config.max_position_embeddings,
            result=result,
            source=source,
        )
        (folder / CARD).write_text(card, "utf-8")
        (out / MANIFEST).unlink(missing_ok=True)
        for path in sorted(folder.iterdir()):
            path.chmod(0o644)
            path.replace(out / path.name)
        content = {**asdict(made), "architecture": str(architecture)}
        write_document(out / MANIFEST, content, kind=_KIND, format=_FORMAT)
    return made


def export_winner(
    result: SearchResult, superplm: SuperPLM, out: Path, *, source: Path | None = None
) -> Export:
    """Export the winner of a search; see `export_model`."""
    return export_model(superplm, result.winner.architecture, out, result=result, source=source)


def _find(out: Path) -> Export | None:
    """The export that a folder holds completely."""
    if not (out / MANIFEST).is_file():
        return None
    try:
        fields = read_document(out / MANIFEST, kind=_KIND, format=_FORMAT)
        named = {name: value for name, value in fields.items() if name not in ("kind", "format")}
        found = Export(**{**named, "architecture": Architecture.parse(named["architecture"])})
    except (BadFile, KeyError, TypeError):
        return None
    complete = all((out / name).is_file() for name in (*found.files, CARD))
    return found if complete else None


def _write(
    model: TinyBertPreTrainedModel,
    architecture: Architecture,
    folder: Path,
    vocabulary: Vocabulary,
) -> None:
    from atb.devices.onnxruntime_cpu import quantise
    from atb.models.modeling_tinybert import save_folder
    from atb.models.onnx_builder import build_graph, save_graph

    save_folder(model, None, folder)
    vocabulary.save(folder)
    encoder = model.base_model
    graph = build_graph(
        architecture,
        weights={name: tensor.numpy() for name, tensor in encoder.state_dict().items()},
        vocabulary_size=model.config.vocab_size,
        positions=model.config.max_position_embeddings,
        token_types=model.config.type_vocab_size,
        sequence_length=None,
        batch=None,
        layer_norm_epsilon=model.config.layer_norm_eps,
    )
    save_graph(graph, folder / FP32_FILE)
    quantise(folder / FP32_FILE, folder / INT8_FILE)


def _check(model: TinyBertPreTrainedModel, folder: Path) -> tuple[float, float]:
    """Hold the written files against torch, on text with padding, batches and lengths.

    Returns:
        Largest difference in fp32, and the mean cosine of int8.
    """
    import torch

    difference = 0.0
    cosines = []
    fp32, int8 = (_session(folder / name) for name in (FP32_FILE, INT8_FILE))
    for ids, mask in _inputs(model.config.vocab_size, model.config.max_position_embeddings):
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        with torch.no_grad():
            wanted = model.base_model(**{name: torch.from_numpy(a) for name, a in feeds.items()})
        hidden, pooled = fp32.run(["last_hidden_state", "pooler_output"], feeds)
        difference = max(
            difference,
            float(np.abs(hidden - wanted.last_hidden_state.numpy()).max()),
            float(np.abs(pooled - wanted.pooler_output.numpy()).max()),
        )
        (quantised,) = int8.run(["last_hidden_state"], feeds)
        cosines.append(_cosine(_mean(quantised, mask), _mean(hidden, mask)))
    cosine = float(np.mean(np.concatenate(cosines)))
    if not difference <= TOLERANCE:
        raise RunError(
            f"The written {FP32_FILE} differs from torch by {difference:.2g}, more than "
            f"{TOLERANCE:g}: check the installation of onnx and onnxruntime."
        )
    if not cosine >= _WORST_INT8_COSINE:
        raise RunError(
            f"The written {INT8_FILE} agrees with fp32 only to a cosine of {cosine:.2f}: this "
            "processor's int8 cannot be trusted; use model.onnx of a search in fp32."
        )
    return difference, cosine


def _inputs(
    vocabulary_size: int, positions: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Real text where the vocabulary is the shipped one, random tokens otherwise."""
    text = held_out(min(128, positions), _CHECK_SEQUENCES)
    for batch in ([0], [1, 2], range(3, _CHECK_SEQUENCES)):
        ids, mask = text.batch(list(batch))
        if text.vocabulary_size != vocabulary_size:
            random = np.random.default_rng(0).integers(vocabulary_size, size=ids.shape)
            ids = np.where(mask == 1, random, 0)
        yield ids, mask


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _mean(hidden: npt.NDArray[np.float32], mask: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Mean over tokens but padding: [B, T, H] -> [B, H]."""
    return np.asarray((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True), np.float32)


def _cosine(
    one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.asarray((one * other).sum(-1) / lengths, np.float32)


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}


@contextlib.contextmanager
def _full_disk_told(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"Cannot write the model to {out} ({error.strerror or error}): make room and run the "
            "same command again."
        ) from error
