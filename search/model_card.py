"""The README of an exported model: what it is, where it comes from, how fast it was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from atb.errors import BadFile
from atb.files import read_document
from atb.models.architecture import Architecture
from atb.search.result import SearchResult
from atb.units import format_duration

if TYPE_CHECKING:
    from atb.search.export import Export

__all__ = ["model_card"]

#: Written beside a SuperPLM by the recipe that trained it.
_SOURCE_CARD, _SOURCE_KIND, _SOURCE_FORMAT = "card.json", "superplm-model-card", 1

_TEXT = """---
library_name: transformers
language: en
{license}tags:
- autotinybert
- bert
- tinybert
- onnx
---

# {architecture}

A small BERT encoder ({parameters:,} parameters, {layers} layers, hidden size {hidden}, {heads}
heads over {qkv} dimensions, feed-forward {feed_forward}), cut by AutoTinyBERT (`atb`) from a
SuperPLM. It has not been trained further: fine-tune it on your task before you rely on it.

## Measured latency
{latency}
## How it was chosen
{search}
## Use

```python
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("PATH", trust_remote_code=True)
model = AutoModel.from_pretrained("PATH", trust_remote_code=True)
output = model(**tokenizer("A sentence.", return_tensors="pt"))
```

`trust_remote_code` runs `modeling_tinybert.py` of this folder: the query width of this model is
free of its hidden size, which stock BERT classes do not know.{projection}

`model.onnx` (float32) and `model.int8.onnx` (dynamically quantised matrix products) take
`input_ids`, `attention_mask` and `token_type_ids` (int64 [batch, sequence], any batch, up to
{positions} tokens) and give `last_hidden_state` and `pooler_output`; any ONNX runtime serves them.

## Checked after writing

- `model.onnx` differs from torch by at most {difference:.1e}.
- `model.int8.onnx`: mean cosine {cosine:.4f} to float32 (means of hidden states on held-out text).

## Origin and licences

{origin}
"""


def model_card(
    made: Export,
    largest: Architecture,
    *,
    vocabulary_size: int,
    positions: int,
    result: SearchResult | None,
    source: Path | None,
) -> str:
    """Write the text of the card.

    Args:
        made: The export.
        largest: Shape of the SuperPLM.
        vocabulary_size: Number of tokens.
        positions: Longest sequence.
        result: The search that chose the architecture, if one did.
        source: Folder of the SuperPLM, whose card tells origin and licences.
    """
    a = made.architecture
    facts = _source_facts(source)
    licence = str(facts.get("encoder", {}).get("licence", ""))
    projected = facts.get("encoder") is not None
    return _TEXT.format(
        architecture=a,
        parameters=a.parameters(vocabulary_size=vocabulary_size, positions=positions),
        positions=positions,
        layers=a.layers,
        hidden=a.hidden,
        heads=a.heads,
        qkv=a.qkv,
        feed_forward=a.feed_forward,
        license=f"license: {licence.lower()}\n" if licence else "",
        latency=_latency(result),
        search=_search(result),
        projection=_SENTENCES if projected else "",
        difference=made.fp32_difference,
        cosine=made.int8_cosine,
        origin=_origin(made, largest, facts),
    )


_SENTENCES = """

For sentence vectors like those of the encoder it was distilled from, call
`model.sentence_embeddings(input_ids, attention_mask)`."""


def _latency(result: SearchResult | None) -> str:
    if result is None or result.winner.measured_seconds is None:
        return "\nNot measured.\n"
    winner, conditions = result.winner, result.conditions
    assert winner.measured_seconds is not None
    assert winner.interval_seconds is not None
    low, high = (format_duration(seconds) for seconds in winner.interval_seconds)
    rows = [
        ("measured", f"**{format_duration(winner.measured_seconds)}** ({low} to {high})"),
        ("limit", f"{format_duration(result.constraint_seconds)} ({result.basis})"),
        ("predicted", format_duration(winner.predicted_seconds)),
        ("conditions", str(conditions)),
        *((f"device: {name.replace('_', ' ')}", fact) for name, fact in conditions.platform),
    ]
    if winner.flagged:
        rows.append(("flagged", "; ".join(winner.flagged)))
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"\n| | |\n| --- | --- |\n{table}\n\n"
        "The exported encoder was timed with random weights of the same shape.\n"
    )


def _search(result: SearchResult | None) -> str:
    if result is None:
        return "\nBy hand.\n"
    return (
        f"\nSearch method `{result.method}` (seed {result.seed}) over {result.feasible:,} "
        f"architectures of the space `{result.space}` whose predicted latency lies between "
        f"{result.window[0]:.0%} and {result.window[1]:.0%} of the limit: {result.evaluations} "
        f"scored by held-out {result.proxy} loss, {len(result.finalists)} finalists measured. "
        f"Score {result.winner.proxy:.4f} (0 is best).\n"
    )


def _origin(made: Export, largest: Architecture, facts: dict[str, Any]) -> str:
    lines = [f"- Weights: a slice of a SuperPLM of shape {largest}, sha256 {made.superplm_sha256}."]
    encoder = facts.get("encoder")
    if encoder:
        lines.append(f"- The SuperPLM derives from {encoder['name']} ({encoder['licence']}).")
        texts = facts.get("text", {}).get("sources", {}).values()
        lines += [f"- Trained on: {origin}." for origin in texts]
    else:
        lines.append("- Licence and training text are those of the SuperPLM: see its own card.")
    lines.append("- Vocabulary: BERT uncased WordPiece (Google, Apache-2.0), unless replaced.")
    return "\n".join(lines)


def _source_facts(source: Path | None) -> dict[str, Any]:
    """What the recipe of the SuperPLM wrote down, where it did."""
    if source is None or not (source / _SOURCE_CARD).is_file():
        return {}
    try:
        return read_document(source / _SOURCE_CARD, kind=_SOURCE_KIND, format=_SOURCE_FORMAT)
    except BadFile:  # a user's own SuperPLM may carry another card
        return {}
