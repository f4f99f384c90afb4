"""From a trained model to what is deployed: a folder for transformers, and ONNX with its head."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from atb.data import TextModel
from atb.data.corpus import MANY_UNKNOWN
from atb.data.tokenizer import read_vocabulary
from atb.deploy.graph_checks import CHECK_SEQUENCES, check_graphs, describe_checks
from atb.deploy.model_card import CardFacts, write_card
from atb.errors import BadFile, InputError
from atb.files import atomic_folder
from atb.models import Architecture, read_history
from atb.search.constraints import Layout
from atb.search.scoring import FP32_FILE, INT8_FILE, head_of, open_session, write_graphs

if TYPE_CHECKING:
    from torch import Tensor

    from atb.data.tasks import Task
    from atb.models.superplm import TinyBertPreTrainedModel

Quantisation = Literal["dynamic", "static"]
#: What another layout may have left in a folder.
_FOREIGN = ("modeling_tinybert.py",)
_PLAIN_BERT_TOLERANCE = 1e-4
#: Inputs from which static quantisation learns ranges.
_CALIBRATED = 64


@dataclass(frozen=True, slots=True)
class TaskData:
    """Rows on which a deployed model is scored.

    Attributes:
        task: Task that the model was fine-tuned on.
        source: Folder or dataset of the rows; see `Task.read`.
        sequence_length: Most tokens of a row.
    """

    task: Task
    source: str
    sequence_length: int


@dataclass(frozen=True, slots=True)
class Deployment:
    """What was written, and what checking it showed.

    Attributes:
        architecture: Shape of the model.
        layout: Format of the folder.
        fp32_difference: Largest difference between onnxruntime and torch.
        int8_cosine: Mean cosine between outputs in int8 and in fp32.
        scores: Scores by precision (`fp32`, `int8`), split and name; empty without rows.
    """

    architecture: Architecture
    layout: Layout
    fp32_difference: float
    int8_cosine: float
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]


def deploy(
    model: Path,
    out: Path,
    *,
    layout: Layout = "tinybert",
    quantisation: Quantisation = "dynamic",
    rows: TaskData | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Deployment:
    """Write a model with its head for transformers and for any ONNX runtime.

    All of it is written and checked elsewhere first; the files then take their places.

    Args:
        model: A folder that `atb model extract`, `train`, `import` or `finetune` wrote.
        out: Another folder, which is written.
        layout: As a TinyBert, or as an exactly equal plain BERT.
        quantisation: Whether int8 finds ranges of activations at each inference, or fixes them.
        rows: Development rows of its task, on which both ONNX files are scored.
        progress: Called with the features done, the features in all, and a word.

    Raises:
        BadFile: It is no TinyBert.
        InputError: No plain BERT is equal, or the folder cannot be written.
        RunError: What was written computes something else, or the disk is full.
    """
    from atb.models.superplm import architecture_of, save_folder

    if out.resolve() == model.resolve():
        raise InputError(f"{out} is the model itself: choose another --out.")
    loaded, text_model, history = _read(model), TextModel.read(model), read_history(model)
    bert = _equal_bert(loaded) if layout == "bert" else None
    calibration = None if quantisation == "dynamic" else _calibration(text_model, rows)
    config: Any = loaded.config
    with atomic_folder(out) as folder, _without_bars():
        if bert is None:
            save_folder(loaded, None, folder)
        else:
            bert.save_pretrained(folder, safe_serialization=True)
        text_model.save_tokenizer(folder)
        write_graphs(loaded, folder, calibration)
        difference, cosine = check_graphs(loaded, folder, text_model.sample(CHECK_SEQUENCES))
        scores = {} if rows is None else _scores(folder, model, rows, progress)
        facts = CardFacts(
            architecture_of(config),
            history,
            parameters=sum(part.numel() for part in (bert or loaded).parameters()),
            positions=config.max_position_embeddings,
            checks=(*describe_checks(difference, cosine), *_describe_scores(scores)),
            head=head_of(loaded),
            is_shipped_vocabulary=text_model.vocabulary == read_vocabulary(),
            is_plain_bert=bert is not None,
            projected=bert is None and config.projection_size is not None,
            quantisation=quantisation,
        )
        write_card(folder, facts)
        for name in _FOREIGN:
            (out / name).unlink(missing_ok=True)
    return Deployment(facts.architecture, layout, difference, cosine, scores)


def _read(folder: Path) -> TinyBertPreTrainedModel:
    """A TinyBert with its head, in eval mode; no code of the folder runs."""
    from safetensors import SafetensorError

    from atb.models.superplm import TINYBERTS

    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        kind = TINYBERTS[config["architectures"][0]]
    except FileNotFoundError as error:
        raise BadFile(
            f"There is no {folder / 'config.json'}: give the folder of a model."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise BadFile(
            f"{folder} is no TinyBert: take a BERT over with `atb model import`, then fine-tune it."
        ) from error
    try:
        with _without_bars():
            model: Any = kind.from_pretrained(folder, use_safetensors=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadFile(f"{folder} cannot be loaded ({line}): make it again.") from error
    found: TinyBertPreTrainedModel = model.eval()
    return found


def _calibration(model: TextModel, rows: TaskData | None) -> list[dict[str, npt.NDArray[np.int64]]]:
    """Inputs for static quantisation: training rows of the task, or text of the shipped sample."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    if rows is not None:
        from atb.training.finetuning import TaskModel

        examples = rows.task.read(rows.source, "train").draw(_CALIBRATED, 0)
        features = TaskModel.load(str(model.folder), rows.task).encode(
            examples, rows.sequence_length
        )
        return [
            {
                name: np.asarray([feature.get(name, [0] * len(feature["input_ids"]))])
                for name in names
            }
            for feature in features[:_CALIBRATED]
        ]
    text = model.sample(_CALIBRATED)
    if text.unknown_share > MANY_UNKNOWN:
        raise InputError(
            f"Static quantisation needs text that the model knows, and {text.unknown_share:.0%} of "
            "the words of the shipped English sample are unknown to it: give rows of its task with "
            "--data, or leave out --quantisation."
        )
    batches = (text.batch([place]) for place in range(_CALIBRATED))
    return [dict(zip(names, (ids, mask, np.zeros_like(ids)), strict=True)) for ids, mask in batches]


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """Keep transformers from showing a bar for each file; ours says what goes on."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _equal_bert(model: TinyBertPreTrainedModel) -> Any:
    """The equal plain BERT, held against the model on real tokens."""
    import torch

    from atb.errors import RunError
    from atb.models.superplm import plain_bert

    bert = plain_bert(model)
    config: Any = model.config
    length = min(64, config.max_position_embeddings)
    ids = torch.randint(config.vocab_size, (4, length), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = zip(model(ids).to_tuple(), bert(ids).to_tuple(), strict=True)
        difference = max(float((one - other).abs().max()) for one, other in outputs)
    if not difference <= _PLAIN_BERT_TOLERANCE:
        raise RunError(
            f"The plain BERT differs from the model by {difference:.2g}, more than "
            f"{_PLAIN_BERT_TOLERANCE:g}: export it as --format tinybert."
        )
    return bert


def _scores(
    folder: Path,
    model: Path,
    rows: TaskData,
    progress: Callable[[int, int, str], None] | None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Scores of both ONNX files on the first development split."""
    from atb.training.finetuning import TaskModel

    loaded = TaskModel.load(str(model), rows.task)
    split = rows.task.development_splits[0]
    examples = rows.task.read(rows.source, split)
    features = loaded.encode(examples, rows.sequence_length)
    scores = {}
    for precision, file in (("fp32", FP32_FILE), ("int8", INT8_FILE)):
        tell = None if progress is None else functools.partial(_tell, progress, precision)
        outputs = replace(loaded, model=_Graph(folder / file)).run(features, tell)
        scores[precision] = {split: rows.task.score(examples, features, outputs)}
    return scores


def _tell(progress: Callable[[int, int, str], None], word: str, done: int, total: int) -> None:
    progress(done, total, f"scoring {word}")


class _Graph:
    """An ONNX file in the place of a torch model."""

    training = False

    def __init__(self, path: Path) -> None:
        import torch

        self.device = torch.device("cpu")
        self._session = open_session(path)

    def eval(self) -> None:
        """It knows nothing else."""

    def train(self, mode: bool) -> None:
        """It never does."""

    def __call__(self, **inputs: Tensor) -> SimpleNamespace:
        import torch

        feeds = {name: tensor.numpy() for name, tensor in inputs.items()}
        feeds.setdefault("token_type_ids", np.zeros_like(feeds["input_ids"]))
        names = [output.name for output in self._session.get_outputs()]
        found = zip(names, self._session.run(names, feeds), strict=True)
        return SimpleNamespace(**{name: torch.from_numpy(array) for name, array in found})


def _describe_scores(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """A sentence for each score: in fp32, in int8, and what the latter costs."""
    return [
        f"{name} on {split}: {value:.4f} by `{FP32_FILE}`, {scores['int8'][split][name]:.4f} by "
        f"`{INT8_FILE}` ({scores['int8'][split][name] - value:+.4f})."
        for split, values in scores.get("fp32", {}).items()
        for name, value in values.items()
    ]
