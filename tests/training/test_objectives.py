from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import BertConfig, BertModel, ElectraConfig, ElectraModel

from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.models.space import SearchSpace
from atb.models.superplm import SuperPLM
from atb.training.objectives import Batch, Distillation, MaskedLanguageModelling, Teacher

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


def encoder(kind: str, heads: int = 3) -> torch.nn.Module:
    torch.manual_seed(6)
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "intermediate_size": 30,
        "max_position_embeddings": 16,
    }
    if kind == "electra":
        return ElectraModel(ElectraConfig(**sizes, embedding_size=24))  # type: ignore[no-any-return, unused-ignore]
    return BertModel(BertConfig(**sizes))  # type: ignore[no-any-return, unused-ignore]


def test_masked_lm_is_the_cross_entropy_at_the_masked_positions(superplm: SuperPLM) -> None:
    given = batch(masked=True)
    loss = MaskedLanguageModelling().loss(superplm, SLICE, given, None)
    alone = superplm.extract(SLICE, "mlm")
    wanted = alone(given.input_ids, given.attention_mask, labels=given.labels).loss
    assert torch.allclose(loss, wanted, atol=1e-5)


def test_masked_lm_asks_for_its_head(make_superplm: Callable[..., SuperPLM]) -> None:
    with pytest.raises(InputError, match="masked-LM head"):
        MaskedLanguageModelling().check(make_superplm(mlm=False))


@pytest.mark.parametrize("kind", ["bert", "electra"])
def test_distillation_is_the_specified_loss(superplm: SuperPLM, kind: str) -> None:
    """Against a plain calculation from the models' own attention probabilities and states."""
    model = encoder(kind).eval()
    given = batch()
    student = Architecture(2, 20, 3, 24, 16)
    objective = Distillation(Teacher(model))
    target = objective.prepare(given)
    loss = objective.loss(superplm, student, given, target)
    assert target is not None
    assert target.attention_logits is not None

    model.set_attn_implementation("eager")  # type: ignore[operator]
    with torch.no_grad():
        output = model(given.input_ids, given.attention_mask, output_attentions=True)
    # the teacher's logits give its probabilities
    probabilities = target.attention_logits.softmax(-1)
    real = given.attention_mask.bool()
    assert torch.allclose(
        probabilities[real[:, None, :].expand(-1, 3, -1)],
        output.attentions[-1][real[:, None, :].expand(-1, 3, -1)],
        atol=1e-5,
    )

    own = superplm(student, given.input_ids, given.attention_mask, attention_logits=True)
    hidden = superplm.projected(student, own.last_hidden_state)
    squares = (hidden - output.last_hidden_state).square().mean(-1)
    hidden_term = squares[real].mean()
    padded = ~real[:, None, None, :].expand(-1, 3, 9, -1)
    left, right = (
        logits.masked_fill(padded, 0.0)
        for logits in (own.attention_logits, target.attention_logits)
    )
    wanted = hidden_term + (left - right).square().mean()
    assert torch.allclose(loss, wanted, atol=1e-5)


def test_other_head_counts_learn_from_hidden_states_alone(superplm: SuperPLM) -> None:
    given = batch()
    teacher = Teacher(encoder("bert"))
    both, hidden_only = Distillation(teacher), Distillation(teacher, attention_weight=0.0)
    target = both.prepare(given)
    two_heads, three_heads = SLICE, Architecture(1, 12, 3, 24, 20)
    assert both.loss(superplm, two_heads, given, target) == hidden_only.loss(
        superplm, two_heads, given, hidden_only.prepare(given)
    )
    assert both.loss(superplm, three_heads, given, target) > hidden_only.loss(
        superplm, three_heads, given, hidden_only.prepare(given)
    )


def test_a_whole_is_its_own_perfect_pupil(superplm: SuperPLM, space: SearchSpace) -> None:
    objective = Distillation(Teacher.of(superplm), sentence_weight=1.0)
    given = batch()
    target = objective.prepare(given)
    loss = objective.loss(superplm, space.largest, given, target)
    assert loss.item() == pytest.approx(0.0, abs=1e-5)
    assert objective.loss(superplm, SLICE, given, target) > 0.01


def test_padding_has_no_part_in_distillation(superplm: SuperPLM) -> None:
    objective = Distillation(Teacher(encoder("bert")), sentence_weight=1.0)
    given = batch()
    other_words = given.input_ids.clone()
    other_words[1, 5:] = 1003
    changed = Batch(other_words, given.attention_mask)
    losses = [
        objective.loss(superplm, SLICE, one, objective.prepare(one)) for one in (given, changed)
    ]
    assert torch.allclose(losses[0], losses[1], atol=1e-6)


def test_a_teacher_keeps_no_gradients_and_no_dropout() -> None:
    teacher = Teacher(encoder("bert").train())
    first, second = (teacher(batch(), attention_logits=True) for _ in range(2))
    assert torch.equal(first.hidden, second.hidden)
    assert not first.hidden.requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.encoder.parameters())


def test_a_teacher_of_another_width_is_refused(make_superplm: Callable[..., SuperPLM]) -> None:
    with pytest.raises(InputError, match="24 wide"):
        Distillation(Teacher(encoder("bert"))).check(make_superplm(projection=16))
    with pytest.raises(InputError, match="24 wide"):
        Distillation(Teacher(encoder("bert"))).check(make_superplm(projection=None))
