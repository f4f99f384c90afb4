from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel, ElectraConfig, ElectraModel

from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.errors import BadFile, InputError
from atb.models.architecture import Architecture
from atb.models.space import SearchSpace
from atb.models.superplm.superplm import SuperPLM
from atb.training.contract import Objective, Outcome, outcome
from atb.training.one_shot.objectives import (
    Distillation,
    Inheritance,
    LogitDistillation,
    MaskedLanguageModelling,
    RelationDistillation,
)
from atb.training.teacher import AttentionStates, Batch, DistillationTarget, Teacher

VOCABULARY = 1100  # of the fixtures
SLICE = Architecture(1, 12, 2, 16, 20)


def batch(*, masked: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(4)
    tokens = torch.randint(1000, VOCABULARY, (3, 9), generator=generator)
    mask = torch.ones_like(tokens)
    mask[1, 5:] = 0
    labels = torch.full_like(tokens, -100)
    labels[0, 2], labels[2, 7] = 1001, 1002
    return Batch(tokens, mask, labels if masked else None)


SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "intermediate_size": 30,
    "max_position_embeddings": 16,
}


def encoder(kind: str, heads: int = 3) -> torch.nn.Module:
    torch.manual_seed(6)
    if kind == "electra":
        config = ElectraConfig(**SIZES, num_attention_heads=heads, embedding_size=24)
        return ElectraModel(config)  # type: ignore[no-any-return, unused-ignore]
    return BertModel(BertConfig(**SIZES, num_attention_heads=heads))  # type: ignore[no-any-return, unused-ignore]


def loss_of(
    objective: Objective, superplm: SuperPLM, shape: Architecture, given: Batch, *, done: float = 0
) -> torch.Tensor:
    return outcome(objective, superplm, shape, given, objective.prepare(given, done)).loss


def test_masked_lm_is_the_cross_entropy_at_the_masked_positions(superplm: SuperPLM) -> None:
    given = batch(masked=True)
    loss = loss_of(MaskedLanguageModelling(), superplm, SLICE, given)
    alone = superplm.extract(SLICE, "mlm")
    wanted = alone(given.input_ids, given.attention_mask, labels=given.labels).loss
    assert torch.allclose(loss, wanted, atol=1e-5)


def test_masked_lm_asks_for_its_head(
    make_superplm: Callable[..., SuperPLM], space: SearchSpace
) -> None:
    with pytest.raises(InputError, match="masked-LM head"):
        MaskedLanguageModelling().check(make_superplm(mlm=False), space)


def test_the_loss_of_sentences_is_their_direction_and_which_of_them_are_alike(
    superplm: SuperPLM,
) -> None:
    """Against a plain calculation from the models' own hidden states."""
    teacher, given = Teacher(encoder("bert")), batch()
    objective = Distillation.of_sentences(teacher)

    def pooled(hidden: torch.Tensor) -> torch.Tensor:
        rows = zip(hidden, given.attention_mask.bool(), strict=True)
        return torch.stack([states[kept].mean(0) for states, kept in rows])

    own = superplm.extract(SLICE)
    with torch.no_grad():
        states = own(given.input_ids, given.attention_mask).last_hidden_state
        student = pooled(own.projection(states))
        taught = pooled(teacher(given).hidden)
    cosines = [
        torch.nn.functional.cosine_similarity(v[:, None], v[None], -1) for v in (student, taught)
    ]
    wanted = (1 - torch.cosine_similarity(student, taught)).mean()
    wanted = wanted + 10 * (cosines[0] - cosines[1]).square().mean()
    assert torch.allclose(loss_of(objective, superplm, SLICE, given), wanted, atol=1e-5)
    # the same by way of all hidden states
    with_tokens = Distillation(
        teacher, attention_weight=0.0, sentence_weight=1.0, similarity_weight=10.0
    )
    tokens = Distillation(teacher, attention_weight=0.0)
    found = loss_of(with_tokens, superplm, SLICE, given) - loss_of(tokens, superplm, SLICE, given)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_a_distillation_of_nothing_is_refused(superplm: SuperPLM, space: SearchSpace) -> None:
    nothing = Distillation(Teacher(encoder("bert")), hidden_weight=0.0, attention_weight=0.0)
    with pytest.raises(InputError, match="above 0"):
        nothing.check(superplm, space)


@pytest.mark.parametrize("kind", ["bert", "electra"])
def test_distillation_is_the_specified_loss(superplm: SuperPLM, kind: str) -> None:
    """Against a plain calculation from the models' own attention probabilities and states."""
    model = encoder(kind).eval()
    given = batch()
    student = Architecture(2, 20, 3, 24, 16)
    objective = Distillation(Teacher(model))
    loss = loss_of(objective, superplm, student, given)
    target = objective.prepare(given)
    assert target is not None
    assert target.attention is not None

    model.set_attn_implementation("eager")  # type: ignore[operator]
    with torch.no_grad():
        output = model(given.input_ids, given.attention_mask, output_attentions=True)
    # the teacher's logits give its probabilities
    real = given.attention_mask.bool()
    padded = ~real[:, None, None, :].expand(-1, 3, 9, -1)
    probabilities = target.attention.logits.masked_fill(padded, -1e9).softmax(-1)
    assert torch.allclose(
        probabilities[real[:, None, :].expand(-1, 3, -1)],
        output.attentions[-1][real[:, None, :].expand(-1, 3, -1)],
        atol=1e-5,
    )

    own = superplm(student, given.input_ids, given.attention_mask, attention_states=True)
    hidden = superplm.projected(student, own.last_hidden_state)
    hidden_term = (hidden - output.last_hidden_state).square().mean(-1)[real].mean()
    query, key = (states.view(3, 9, 3, 8).transpose(1, 2) for states in own.attention_states[:2])
    logits = (query @ key.transpose(2, 3) / 8**0.5).masked_fill(padded, 0.0)
    wanted = hidden_term + (logits - target.attention.logits).square().mean()
    assert torch.allclose(loss, wanted, atol=1e-5)


def test_other_head_counts_learn_from_hidden_states_alone(superplm: SuperPLM) -> None:
    given = batch()
    teacher = Teacher(encoder("bert"))
    both, hidden_only = Distillation(teacher), Distillation(teacher, attention_weight=0.0)
    two_heads, three_heads = SLICE, Architecture(1, 12, 3, 24, 20)
    assert loss_of(both, superplm, two_heads, given) == loss_of(
        hidden_only, superplm, two_heads, given
    )
    assert loss_of(both, superplm, three_heads, given) > loss_of(
        hidden_only, superplm, three_heads, given
    )


@pytest.mark.parametrize(
    "kind", [Distillation, RelationDistillation, LogitDistillation], ids=lambda kind: kind.__name__
)
def test_a_whole_is_its_own_perfect_student(
    superplm: SuperPLM, space: SearchSpace, kind: type[Distillation]
) -> None:
    objective = kind(Teacher.of(superplm))
    given = batch(masked=True)
    assert loss_of(objective, superplm, space.largest, given).item() == pytest.approx(0, abs=1e-5)
    assert loss_of(objective, superplm, SLICE, given) > 1e-6


def test_padding_has_no_part_in_distillation(superplm: SuperPLM) -> None:
    given = batch()
    other_words = given.input_ids.clone()
    other_words[1, 5:] = 1003
    changed = Batch(other_words, given.attention_mask)
    teacher = Teacher(encoder("bert"))
    for objective in (Distillation(teacher, sentence_weight=1.0), RelationDistillation(teacher)):
        losses = [loss_of(objective, superplm, SLICE, one) for one in (given, changed)]
        assert torch.allclose(losses[0], losses[1], atol=1e-6)


def test_relations_are_those_of_minilm(superplm: SuperPLM) -> None:
    """Against a plain calculation, token by token."""
    model = encoder("bert", heads=4).eval()
    given = batch()
    teacher = Teacher(model)
    loss = loss_of(RelationDistillation(teacher, relation_heads=4), superplm, SLICE, given)
    theirs = teacher(given, attention=True).attention
    ours = superplm(SLICE, given.input_ids, given.attention_mask, attention_states=True)
    assert theirs is not None
    divergences = []
    for row in range(3):
        length = int(given.attention_mask[row].sum())
        for one, other in zip(theirs.states, ours.attention_states, strict=True):
            for head in range(4):  # divides both 24 and 16
                probabilities = []
                for states, size in ((one, 6), (other, 4)):
                    part = states[row, :length, head * size : (head + 1) * size]
                    probabilities.append((part @ part.T / size**0.5).softmax(-1))
                taught, own = probabilities
                divergences.append((taught * (taught / own).log()).sum(-1))
    assert torch.allclose(loss, torch.cat(divergences).mean(), atol=1e-6)


def test_relation_heads_need_not_be_the_layers_own(superplm: SuperPLM) -> None:
    objective = RelationDistillation(Teacher(encoder("bert", heads=4)), relation_heads=12)
    for shape in (SLICE, Architecture(1, 12, 3, 24, 20), Architecture(2, 8, 1, 8, 8)):
        assert loss_of(objective, superplm, shape, batch()).isfinite()


def test_a_teachers_head_is_learnt_from_at_the_masked_positions(superplm: SuperPLM) -> None:
    torch.manual_seed(3)
    model = BertForMaskedLM(BertConfig(**SIZES, num_attention_heads=3)).eval()
    given = batch(masked=True)
    objective = LogitDistillation(Teacher(model.bert, head=model.cls), temperature=3.0)
    loss = loss_of(objective, superplm, SLICE, given)
    with torch.no_grad():
        taught = model(given.input_ids, given.attention_mask).logits[given.masked]
    own = superplm.extract(SLICE, "mlm")(given.input_ids, given.attention_mask).logits[given.masked]
    p, q = (taught / 3).softmax(-1), (own / 3).softmax(-1)
    assert torch.allclose(loss, 9 * (p * (p / q).log()).sum(-1).mean(), atol=1e-5)


def test_the_weight_of_the_teacher_falls_to_zero_and_it_is_then_not_run(superplm: SuperPLM) -> None:
    calls = []

    class Counting(Teacher):
        def __call__(self, *arguments: object, **options: object) -> DistillationTarget:
            calls.append(options)
            return super().__call__(*arguments, **options)  # type: ignore[arg-type]

    taught = RelationDistillation(Counting(encoder("bert")))
    objective = Inheritance(taught, annealed=0.5)
    given = batch(masked=True)
    own = loss_of(MaskedLanguageModelling(), superplm, SLICE, given)
    other = loss_of(taught, superplm, SLICE, given)
    calls.clear()
    for done, weight in ((0.0, 1.0), (0.2, 0.6), (0.5, 0.0), (0.9, 0.0)):
        found = loss_of(objective, superplm, SLICE, given, done=done)
        assert torch.allclose(found, (1 - weight) * own + weight * other, atol=1e-6)
    assert len(calls) == 2


@pytest.mark.parametrize("teaching", ["mlm", "kd", "relations", "inherit"])
def test_a_larger_sub_model_can_teach_a_smaller_one(
    superplm: SuperPLM, space: SearchSpace, teaching: str
) -> None:
    teacher = Teacher(encoder("bert"))
    objective: Objective = {
        "mlm": MaskedLanguageModelling(),
        "kd": Distillation(teacher),
        "relations": RelationDistillation(teacher),
        "inherit": Inheritance(RelationDistillation(teacher)),
    }[teaching]
    given = batch(masked=True)
    largest: Outcome = outcome(objective, superplm, space.largest, given, objective.prepare(given))
    assert largest.target is not None
    for tensor in (largest.target.hidden, largest.target.vocabulary_logits):
        assert tensor is None or not tensor.requires_grad
    for shape in (space.largest, SLICE):
        taught = outcome(objective, superplm, shape, given, largest.target).loss
        assert taught.requires_grad
        if shape == space.largest and teaching in ("kd", "relations"):
            assert taught.item() == pytest.approx(0.0, abs=1e-5)


def test_a_teacher_keeps_no_gradients_and_no_dropout() -> None:
    teacher = Teacher(encoder("bert").train())
    first, second = (teacher(batch(), attention=True) for _ in range(2))
    assert first.hidden is not None
    assert second.hidden is not None
    assert torch.equal(first.hidden, second.hidden)
    assert not first.hidden.requires_grad
    assert isinstance(first.attention, AttentionStates)
    assert not any(parameter.requires_grad for parameter in teacher.encoder.parameters())


@pytest.mark.parametrize("kind", ["bert", "electra", "masked"])
def test_a_teacher_is_loaded_from_a_transformers_folder(tmp_path: Path, kind: str) -> None:
    if kind == "masked":
        model: Any = BertForMaskedLM(BertConfig(**SIZES, num_attention_heads=3)).eval()
    elif kind == "electra":  # with narrow embeddings, as the small ones have
        model = ElectraModel(ElectraConfig(**SIZES, num_attention_heads=3, embedding_size=8)).eval()
    else:
        model = encoder(kind).eval()
    model.save_pretrained(tmp_path)
    read_vocabulary().save(tmp_path)
    teacher = Teacher.load(str(tmp_path))
    assert teacher.vocabulary_sha256 == read_vocabulary().sha256
    given = batch(masked=True)
    with torch.no_grad():
        wanted = model.base_model(given.input_ids, given.attention_mask).last_hidden_state
    found = teacher(given, vocabulary_logits=teacher.has_head)
    assert found.hidden is not None
    assert torch.allclose(found.hidden, wanted, atol=1e-6)
    assert teacher.has_head == (kind == "masked")
    assert (found.vocabulary_logits is not None) == teacher.has_head


def test_what_is_no_teacher_is_refused(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2Model

    with pytest.raises(InputError, match="Cannot load the teacher"):
        Teacher.load(str(tmp_path / "nothing"))
    GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=20)).save_pretrained(tmp_path)
    with pytest.raises(BadFile, match="gpt2"):
        Teacher.load(str(tmp_path))


def test_a_teacher_that_does_not_fit_is_refused(
    make_superplm: Callable[..., SuperPLM], space: SearchSpace
) -> None:
    teacher = Teacher(encoder("bert"))
    for projection in (16, None):
        with pytest.raises(InputError, match="24 wide"):
            Distillation(teacher).check(make_superplm(projection=projection), space)
    four_heads = Teacher(encoder("bert", heads=4))
    with pytest.raises(InputError, match="4 heads"):
        Distillation(four_heads).check(make_superplm(), space)
    Distillation(four_heads, attention_weight=0.0).check(make_superplm(), space)
    other_words = Teacher(BertModel(BertConfig(**{**SIZES, "vocab_size": 900})))
    for objective in (Distillation(other_words), RelationDistillation(other_words)):
        with pytest.raises(InputError, match="vocabulary of 900"):
            objective.check(make_superplm(), space)
    with pytest.raises(InputError, match="no masked-LM head"):
        LogitDistillation(teacher).check(make_superplm(), space)
    with pytest.raises(InputError, match="--annealed"):
        Inheritance(RelationDistillation(teacher), annealed=0.0).check(make_superplm(), space)
