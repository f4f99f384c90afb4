"""Against which teacher distillation scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from scipy.stats import kendalltau

from atb.data.corpus.corpus import Corpus
from atb.data.corpus.preparation import prepare
from atb.data.corpus.shards import TokenShards
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.data.tokenizer.vocabulary import Vocabulary
from atb.errors import BadFile, InputError
from atb.models.architecture import Architecture
from atb.models.space import SearchSpace
from atb.models.superplm.bundled import load_superplm
from atb.models.superplm.card import CARD, read_card
from atb.models.superplm.superplm import SuperPLM
from atb.search.scoring.proxies import make_proxy
from atb.search.scoring.proxy import DistillationProxy
from atb.training.identity import fingerprint
from atb.training.one_shot.evaluation import HeldOut, held_out_text
from atb.training.one_shot.objectives import Distillation, RelationDistillation
from atb.training.one_shot.scoring_teacher import score_teacher
from atb.training.one_shot.trainer import train_superplm
from atb.training.settings import TrainingSettings
from atb.training.teacher import Teacher

SLICES = [
    Architecture(layers, hidden, heads, 8 * heads, feed_forward)
    for layers in (1, 2)
    for hidden in (8, 16, 24)
    for heads, feed_forward in ((1, 40), (3, 8))
]


@pytest.fixture
def train(
    make_superplm: Callable[..., SuperPLM], text: TokenShards, space: SearchSpace, tmp_path: Path
) -> Callable[..., SuperPLM]:
    """Two steps of training from noisy weights, towards what a saved SuperPLM says."""
    origin = make_superplm()
    origin.save(tmp_path / "teacher")

    def run(objective: type = Distillation, **changes: float) -> SuperPLM:
        teacher = Teacher.of(load_superplm(tmp_path / "teacher"))
        start = make_superplm()
        with torch.no_grad():
            for parameter in start.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        settings = TrainingSettings(space, steps=2, batch_size=4, sampling="uniform")
        aim = objective(teacher, **changes)
        return train_superplm(start, text, settings, tmp_path / "run", objective=aim)

    return run


def test_the_card_names_the_teacher_and_the_score_uses_it(
    train: Callable[..., SuperPLM], text: TokenShards, tmp_path: Path
) -> None:
    trained = train(attention_weight=0.0)
    teacher = Teacher.of(load_superplm(tmp_path / "teacher"))
    assert read_card(tmp_path / "run").facts["teacher"] == {
        "name": str(tmp_path / "teacher"), "sha256": fingerprint(teacher.encoder)
    }  # fmt: skip
    for superplm in (trained, load_superplm(tmp_path / "run")):
        judge, right = HeldOut(superplm, text), HeldOut(superplm, text, teacher=teacher)
        assert judge.teacher_description == str(tmp_path / "teacher")
        losses = [judge.loss(slice_) for slice_ in SLICES]
        assert losses == [right.loss(slice_) for slice_ in SLICES]
        assert judge.loss(superplm.architecture) > 0.01  # the whole SuperPLM is no measure
        own = HeldOut(superplm, text, teacher=Teacher.of(superplm))
        assert kendalltau(losses, [own.loss(slice_) for slice_ in SLICES]).statistic < 1


def test_scores_by_different_teachers_are_kept_apart(
    train: Callable[..., SuperPLM], text: TokenShards, tmp_path: Path
) -> None:
    train(attention_weight=0.0)
    superplm = load_superplm(tmp_path / "run")
    by_teacher = DistillationProxy(superplm, text)
    shutil.move(tmp_path / "teacher", tmp_path / "elsewhere")
    by_whole = DistillationProxy(superplm, text)
    assert by_teacher.key != by_whole.key
    assert by_teacher.score(SLICES) != by_whole.score(SLICES)
    assert "whole SuperPLM" in by_whole.facts["teacher"]


@pytest.mark.parametrize("fault", ["gone", "other weights", "damaged"])
def test_a_teacher_that_cannot_be_had_is_told(
    train: Callable[..., SuperPLM],
    make_superplm: Callable[..., SuperPLM],
    text: TokenShards,
    tmp_path: Path,
    fault: str,
) -> None:
    train(attention_weight=0.0)
    shutil.copytree(tmp_path / "teacher", tmp_path / "moved")
    if fault == "gone":
        shutil.rmtree(tmp_path / "teacher")
    elif fault == "damaged":
        (tmp_path / "teacher" / "model.safetensors").write_bytes(b"no tensors")
    else:
        changed = make_superplm()
        with torch.no_grad():
            changed.bert.projection.bias.add_(0.1)
        changed.save(tmp_path / "teacher")
    superplm = load_superplm(tmp_path / "run")
    found = score_teacher(superplm)
    assert found.teacher is None
    assert "whole SuperPLM" in found.description
    assert str(tmp_path / "teacher") in found.description
    assert "--teacher" in found.description
    assert HeldOut(superplm, text).loss(superplm.architecture) == pytest.approx(0, abs=1e-5)
    named = score_teacher(superplm, str(tmp_path / "moved"))
    assert named.teacher is not None
    with pytest.raises(InputError, match="other weights"):
        score_teacher(superplm, str(tmp_path / "run"))
    with pytest.raises(InputError, match="nowhere"):
        score_teacher(superplm, str(tmp_path / "nowhere"))


def test_without_states_to_imitate_the_whole_is_the_measure(
    train: Callable[..., SuperPLM], tmp_path: Path
) -> None:
    assert score_teacher(train(RelationDistillation)).description == "the whole SuperPLM"
    assert "teacher" not in read_card(tmp_path / "run").facts


def test_a_card_of_before_says_that_there_was_a_teacher(
    train: Callable[..., SuperPLM], tmp_path: Path
) -> None:
    train(attention_weight=0.0)
    card = json.loads((tmp_path / "run" / CARD).read_text())
    del card["teacher"]
    (tmp_path / "run" / CARD).write_text(json.dumps(card))
    superplm = load_superplm(tmp_path / "run")
    assert "does not say where the teacher is" in score_teacher(superplm).description
    assert score_teacher(superplm, str(tmp_path / "teacher")).teacher is not None
    card["teacher"] = "a name"
    (tmp_path / "run" / CARD).write_text(json.dumps(card))
    with pytest.raises(BadFile, match="damaged"):
        score_teacher(superplm)


def test_a_hub_teacher_is_not_fetched_for_scores(
    train: Callable[..., SuperPLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(attention_weight=0.0)
    card = json.loads((tmp_path / "run" / CARD).read_text())
    card["teacher"]["name"] = "somebody/bert-of-nobody"
    (tmp_path / "run" / CARD).write_text(json.dumps(card))
    asked: list[bool] = []
    load = Teacher.load

    def watched(name: str, *, download: bool = True) -> Teacher:
        asked.append(download)
        return load(name, download=download)

    monkeypatch.setattr(Teacher, "load", watched)
    assert "somebody/bert-of-nobody" in score_teacher(load_superplm(tmp_path / "run")).description
    assert asked == [False]


def vocabulary(*words: str) -> Vocabulary:
    return Vocabulary(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words))


def foreign(folder: Path, words: Vocabulary, *, size: int | None = None) -> SuperPLM:
    torch.manual_seed(0)
    superplm = SuperPLM.from_architecture(
        Architecture(1, 8, 1, 8, 8),
        vocabulary_size=size or len(words),
        positions=16,
        with_mlm_head=True,
    )
    superplm.save(folder)
    words.save(folder)
    return load_superplm(folder)


@pytest.mark.slow
def test_the_shipped_sample_is_refused_for_other_words(tmp_path: Path) -> None:
    shipped = read_vocabulary().tokens
    shuffled = Vocabulary((*shipped[:1000], *reversed(shipped[1000:])))
    for name, words in (("few", vocabulary("der", "die")), ("as many", shuffled)):
        superplm = foreign(tmp_path / name, words)
        for score in (held_out_text, make_proxy):
            with pytest.raises(InputError, match=r"--held-out SHARDS.*--vocabulary") as refused:
                score(superplm)
            assert str(tmp_path / name) in str(refused.value)


def test_held_out_shards_are_held_against_words_and_positions(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(f"{w} der uhr" for w in ("die", "am") * 9))
    words, other = vocabulary("der", "die", "uhr", "am"), vocabulary("der", "am", "uhr", "die")
    superplm = foreign(tmp_path / "superplm", words)
    for name, known in (("own", words), ("other", other)):
        prepare(Corpus(tmp_path / "text.txt"), tmp_path / name, vocabulary=known)
    proxy = make_proxy(superplm, held_out=tmp_path / "own")
    assert proxy.score([superplm.architecture])[0] is not None
    assert proxy.facts["text"] == f"18 sequences of {tmp_path / 'own'}"  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="another vocabulary"):
        make_proxy(superplm, held_out=tmp_path / "other")
    with pytest.raises(BadFile, match="no folder"):
        make_proxy(superplm, held_out=tmp_path / "none")
    (tmp_path / "long.txt").write_text(" ".join(["der die uhr am"] * 30))
    prepare(Corpus(tmp_path / "long.txt"), tmp_path / "long", vocabulary=words)
    with pytest.raises(InputError, match="--sequence-length 16"):
        make_proxy(superplm, held_out=tmp_path / "long")
    # a text of the same size and other words is another text
    (tmp_path / "text.txt").write_text("\n\n".join(f"{w} uhr der" for w in ("die", "am") * 9))
    prepare(Corpus(tmp_path / "text.txt"), tmp_path / "turned", vocabulary=words)
    assert make_proxy(superplm, held_out=tmp_path / "turned").key != proxy.key


def test_options_that_a_proxy_has_no_use_for_are_refused(tmp_path: Path) -> None:
    superplm = foreign(tmp_path / "superplm", vocabulary("der"))
    for options, option in (
        ({"name": "mlm", "teacher": "mini"}, "--teacher"),
        ({"name": "task", "held_out": tmp_path}, "--held-out"),
    ):
        with pytest.raises(InputError, match=f"no use for {option}"):
            make_proxy(superplm, **options)  # type: ignore[arg-type]
