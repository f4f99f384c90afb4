"""The README of a model: what it is, how it came about, how fast it was measured, how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atb.errors import BadFile
from atb.files import read_document
from atb.models import Architecture, Stage, last_stage, write_history
from atb.plain import to_plain
from atb.search import SearchResult
from atb.search.methods import canonical_name
from atb.units import format_duration

CARD = "README.md"

#: Written beside a SuperPLM by the recipe that trained it.
_SOURCE_CARD, _SOURCE_KIND, _SOURCE_FORMAT = "card.json", "superplm-model-card", 1

_TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.jinja"
#: Outputs of the ONNX files, and the class of transformers, by the head.
_OUTPUTS = {
    None: "`last_hidden_state` and `pooler_output`",
    "classification": "`logits`",
    "qa": "`start_logits` and `end_logits`",
}
_CLASSES = {
    None: "AutoModel",
    "classification": "AutoModelForSequenceClassification",
    "qa": "AutoModelForQuestionAnswering",
}
_TASK_TYPES = {None: "other", "classification": "text-classification", "qa": "question-answering"}


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from.

    Attributes:
        architecture: The shape.
        history: Stages in which the model came about, the first one first.
        parameters: Number of weights, heads included.
        positions: Tokens of the longest sequence.
        checks: What checking the written files has shown, a sentence each.
        head: Head of a task, `classification` or `qa`; None for an encoder.
        is_plain_bert: Whether it is a plain BERT.
        projected: Whether it has a projection to sentence vectors.
        quantisation: How int8 was quantised, `dynamic` or `static`.
        is_shipped_vocabulary: Whether its words are those of BERT's English vocabulary.
    """

    architecture: Architecture
    history: tuple[Stage, ...]
    parameters: int
    positions: int
    checks: tuple[str, ...]
    head: str | None = None
    is_plain_bert: bool = False
    projected: bool = False
    quantisation: str = "dynamic"
    is_shipped_vocabulary: bool = True


def extraction(
    largest: Architecture,
    weights_sha256: str,
    source: Path | None,
    result: SearchResult | None,
    task: str | None = None,
) -> Stage:
    """Describe how a slice was cut out of a SuperPLM, as a stage of a model's history.

    Args:
        largest: Shape of the SuperPLM.
        weights_sha256: Hash of its weights.
        source: Folder of the SuperPLM, whose card has origin and licences.
        result: The search that chose the slice, if one did.
        task: Task that the SuperPLM was fine-tuned on, if it was.
    """
    facts: dict[str, Any] = {"superplm": str(largest), "sha256": weights_sha256}
    if task is not None:
        facts["task"] = task
    origin = _source_facts(source)
    if origin.get("encoder"):
        facts["encoder"] = {name: origin["encoder"].get(name) for name in ("name", "licence")}
        facts["texts"] = [*origin.get("text", {}).get("sources", {}).values()]
    if result is not None:
        facts["search"] = {
            "method": result.method,
            "seed": result.seed,
            "space": result.space,
            "feasible": result.feasible,
            "window": [*result.window],
            "evaluations": result.evaluations,
            "finalists": len(result.finalists),
            "proxy": result.proxy,
            "scoring": dict(result.scoring),
            "score": result.winner.proxy,
            "limit_seconds": result.constraint_seconds,
            "basis": result.basis,
            "predicted_seconds": result.winner.predicted_seconds,
            "measured_seconds": result.winner.measured_seconds,
            "interval_seconds": [*(result.winner.interval_seconds or ())],
            "flagged": [*result.winner.flagged],
            "conditions": str(result.conditions),
            "platform": dict(result.conditions.platform),
        }
        if result.quality is not None:
            facts["search"]["quality"] = to_plain(result.quality)
    return Stage("extract", facts)


def write_card(folder: Path, facts: CardFacts) -> None:
    """Write the card and the history that it is made of into a model's folder."""
    (folder / CARD).write_text(model_card(facts), "utf-8")
    write_history(folder, facts.history)


def model_card(facts: CardFacts) -> str:
    """Write the text of the card, with scores of fine-tuning as metadata too."""
    from huggingface_hub import ModelCard, ModelCardData

    cut = last_stage(facts.history, "extract") or {}
    tuned = last_stage(facts.history, "finetune")
    licence = str((cut.get("encoder") or {}).get("licence") or "")
    data = ModelCardData(
        library_name="transformers",
        language="en" if facts.is_shipped_vocabulary else None,
        license=licence.lower() or None,
        tags=["autotinybert", "bert", "tinybert", "onnx"],
        model_name=str(facts.architecture) if tuned else None,
        eval_results=_eval_results(tuned, facts.head) if tuned else None,
    )
    card = ModelCard.from_template(
        data,
        str(_TEMPLATE),
        facts=facts,
        shape=facts.architecture,
        history=facts.history,
        cut=cut,
        search=cut.get("search"),
        tuned=tuned,
        trained=last_stage(facts.history, "train") is not None,
        taken_over=last_stage(facts.history, "import"),
        automatic=_CLASSES[facts.head],
        outputs=_OUTPUTS[facts.head],
        duration=format_duration,
        canonical_name=canonical_name,
    )
    return str(card)


def _eval_results(tuned: Mapping[str, Any], head: str | None) -> list[Any]:
    """The scores of a fine-tuned model, as the metadata of a card says them."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=_TASK_TYPES[head],
            dataset_type=tuned["task"],
            dataset_name=tuned["task"],
            dataset_split=split,
            metric_type=name,
            metric_value=round(value, 4),
        )
        for split, values in tuned["scores"].items()
        for name, value in values.items()
    ]


def _source_facts(source: Path | None) -> dict[str, Any]:
    """What the recipe of the SuperPLM wrote down, where it did."""
    if source is None or not (source / _SOURCE_CARD).is_file():
        return {}
    try:
        return read_document(source / _SOURCE_CARD, kind=_SOURCE_KIND, format=_SOURCE_FORMAT)
    except BadFile:  # a user's own SuperPLM may carry another card
        return {}
