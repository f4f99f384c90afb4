"""The README of a model: what it is, how it came about, how fast it was measured, how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atb.errors import BadFile
from atb.files import read_document
from atb.models import Architecture, Stage, last_stage
from atb.search import SearchResult
from atb.units import format_duration

__all__ = ["CardFacts", "extraction", "model_card"]

#: Written beside a SuperPLM by the recipe that trained it.
_SOURCE_CARD, _SOURCE_KIND, _SOURCE_FORMAT = "card.json", "superplm-model-card", 1

_TEXT = """---
library_name: transformers
{language}{license}tags:
- autotinybert
- bert
- tinybert
- onnx
---

# {architecture}

A small BERT ({parameters:,} parameters, {layers} layers, hidden size {hidden}, {heads} heads over
{qkv} dimensions, feed-forward {feed_forward}) by AutoTinyBERT (`atb`){purpose}

## Measured latency
{latency}
## How it came about

{stages}

## Use

```python
{use}
```

{remark}{projection}

`model.onnx` (float32) and `model.int8.onnx` ({quantised} quantised matrix products) take
`input_ids`, `attention_mask` and `token_type_ids` (int64 [batch, sequence], any batch, up to
{positions} tokens) and give {outputs}; any ONNX runtime serves them.

## Checked after writing

{checks}

## Origin and licences

{origin}
"""

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
_REMOTE = (
    "`trust_remote_code` runs `modeling_tinybert.py` of this folder: the query width of this model "
    "is\nfree of its hidden size, which plain BERT classes do not know."
)
_PLAIN_BERT = (
    "A plain BERT of transformers, which needs no code of this folder: heads are padded with zeros "
    "to\nBERT's width and the queries scaled, which changes no output. The ONNX files are without "
    "padding."
)
_SENTENCES = """

For sentence vectors like those of the encoder it was distilled from, call
`model.sentence_embeddings(input_ids, attention_mask)`."""


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from.

    Attributes:
        architecture: The shape.
        history: How the model came about.
        parameters: How many numbers the model has, heads included.
        positions: Longest sequence.
        checks: What checking the written files has shown, a line each.
        head: Of a task, if there is one.
        is_plain_bert: Whether it is a plain BERT.
        projected: Whether it has a projection to sentence vectors.
        quantisation: Of int8, `dynamic` or `static`.
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
    """The stage of a slice that was cut out of a SuperPLM.

    Args:
        largest: Shape of the SuperPLM.
        weights_sha256: Hash of its weights.
        source: Its folder, whose card tells origin and licences.
        result: The search that chose the slice, if one did.
        task: What the SuperPLM was fine-tuned on, if it was.
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
    return Stage("extract", facts)


def model_card(facts: CardFacts) -> str:
    """Write the text of the card."""
    a = facts.architecture
    cut = last_stage(facts.history, "extract") or {}
    licence = str((cut.get("encoder") or {}).get("licence") or "")
    return _TEXT.format(
        architecture=a,
        parameters=facts.parameters,
        positions=facts.positions,
        layers=a.layers,
        hidden=a.hidden,
        heads=a.heads,
        qkv=a.qkv,
        feed_forward=a.feed_forward,
        language="language: en\n" if facts.is_shipped_vocabulary else "",
        license=f"license: {licence.lower()}\n" if licence else "",
        purpose=_purpose(facts.history),
        latency=_latency(cut.get("search")),
        stages="\n".join(f"{n}. {_told(stage)}" for n, stage in enumerate(facts.history, 1))
        or "Its folder does not tell.",
        use=_use(facts),
        remark=_PLAIN_BERT if facts.is_plain_bert else _REMOTE,
        projection=_SENTENCES if facts.projected else "",
        outputs=_OUTPUTS[facts.head],
        quantised="statically" if facts.quantisation == "static" else "dynamically",
        checks="\n".join(f"- {check}" for check in facts.checks),
        origin=_origin(facts, cut, last_stage(facts.history, "import")),
    )


def _purpose(history: tuple[Stage, ...]) -> str:
    tuned = last_stage(history, "finetune")
    if tuned is not None:
        return f", fine-tuned on {tuned['task']}."
    cut = last_stage(history, "extract") or {}
    if cut.get("task"):
        return (
            f", fine-tuned on {cut['task']} together with all slices of its SuperPLM: fine-tune it "
            "alone for the best scores."
        )
    if last_stage(history, "train") is not None:
        return ", trained further as a general encoder: fine-tune it on your task."
    return ", not trained further: fine-tune it on your task before you rely on it."


def _use(facts: CardFacts) -> str:
    kind = _CLASSES[facts.head]
    trust = "" if facts.is_plain_bert else ", trust_remote_code=True"
    return (
        f"from transformers import {kind}, AutoTokenizer\n\n"
        f'tokenizer = AutoTokenizer.from_pretrained("PATH"{trust})\n'
        f'model = {kind}.from_pretrained("PATH"{trust})\n'
        'output = model(**tokenizer("A sentence.", return_tensors="pt"))'
    )


def _latency(search: Mapping[str, Any] | None) -> str:
    if search is None or search["measured_seconds"] is None:
        return "\nNot measured.\n"
    low, high = (format_duration(seconds) for seconds in search["interval_seconds"])
    rows = [
        ("measured", f"**{format_duration(search['measured_seconds'])}** ({low} to {high})"),
        ("limit", f"{format_duration(search['limit_seconds'])} ({search['basis']})"),
        ("predicted", format_duration(search["predicted_seconds"])),
        ("conditions", search["conditions"]),
        *((f"device: {name.replace('_', ' ')}", f) for name, f in search["platform"].items()),
    ]
    if search["flagged"]:
        rows.append(("flagged", "; ".join(search["flagged"])))
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"\n| | |\n| --- | --- |\n{table}\n\n"
        "The exported encoder was timed with random weights of the same shape.\n"
    )


def _told(stage: Stage) -> str:
    """One stage in a sentence."""
    facts = stage.facts
    if stage.name == "import":
        return f"Taken over from {facts['source']}."
    if stage.name == "train":
        teacher = f" by {facts['teacher']}" if facts.get("teacher") else ""
        return (
            f"Trained further{teacher} with the objective `{facts['objective']}`: "
            f"{facts['steps']:,} steps of {facts['batch']} sequences, learning rate "
            f"{facts['learning_rate']:g}."
        )
    if stage.name == "finetune":
        scores = ", ".join(
            f"{name} {value:.4f} on {split}"
            for split, values in facts["scores"].items()
            for name, value in values.items()
        )
        return f"Fine-tuned on {facts['task']}: {scores}."
    cut = f"Cut out of a SuperPLM of shape {facts['superplm']}"
    search = facts.get("search")
    if facts.get("task"):
        cut += f" that was fine-tuned on {facts['task']}"
    if search is None:
        return f"{cut}, chosen by hand."
    low, high = search["window"]
    return (
        f"{cut}. Search method `{search['method']}` (seed {search['seed']}) over "
        f"{search['feasible']:,} architectures of the space `{search['space']}` whose predicted "
        f"latency lies between {low:.0%} and {high:.0%} of the limit: {search['evaluations']} "
        f"scored by {search['proxy']} loss{_scoring(search)}, {search['finalists']} finalists "
        f"measured. Score {search['score']:.4f} (0 is best)."
    )


def _scoring(search: Mapping[str, Any]) -> str:
    """What scores rest on, in brackets; searches of before do not tell."""
    told = ", ".join(f"{name}: {words}" for name, words in search.get("scoring", {}).items())
    return f" ({told})" if told else ""


def _origin(facts: CardFacts, cut: Mapping[str, Any], taken_over: Mapping[str, Any] | None) -> str:
    lines = []
    if cut:
        lines.append(
            f"- Weights: a slice of a SuperPLM of shape {cut['superplm']}, sha256 {cut['sha256']}."
        )
    encoder = cut.get("encoder")
    if encoder:
        lines.append(f"- The SuperPLM derives from {encoder['name']} ({encoder['licence']}).")
        lines += [f"- Trained on: {origin}." for origin in cut["texts"]]
    elif cut:
        lines.append("- Licence and training text are those of the SuperPLM: see its own card.")
    if taken_over is not None:
        lines.append(f"- Licence and training text are those of {taken_over['source']}.")
    if facts.is_shipped_vocabulary:
        lines.append("- Vocabulary: BERT uncased WordPiece (Google, Apache-2.0).")
    return "\n".join(lines)


def _source_facts(source: Path | None) -> dict[str, Any]:
    """What the recipe of the SuperPLM wrote down, where it did."""
    if source is None or not (source / _SOURCE_CARD).is_file():
        return {}
    try:
        return read_document(source / _SOURCE_CARD, kind=_SOURCE_KIND, format=_SOURCE_FORMAT)
    except BadFile:  # a user's own SuperPLM may carry another card
        return {}
