from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, BertConfig, BertModel

from atb.models.architecture import Architecture
from atb.models.published import PUBLISHED
from atb.models.superplm.modeling_tinybert import (
    TinyBertConfig,
    TinyBertForMaskedLM,
    TinyBertForQuestionAnswering,
    TinyBertForSequenceClassification,
    TinyBertModel,
    save_folder,
)
from atb.models.superplm.slicing import architecture_of, config_of
from atb.models.weights import weights_shapes

torch.set_num_threads(1)

TINY = config_of(
    Architecture(2, 24, 3, 30, 40), vocab_size=60, max_position_embeddings=32, num_labels=3
)


def inputs(length: int = 12) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(3, length, dtype=torch.long)
    mask[1, 7:] = 0
    mask[2, 2:] = 0
    return {
        "input_ids": torch.randint(0, 60, (3, length), generator=generator),
        "attention_mask": mask,
        "token_type_ids": torch.randint(0, 2, (3, length), generator=generator),
    }


def lively(model: torch.nn.Module) -> torch.nn.Module:
    """Weights large enough that a wrong mask, scale or activation shows."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


# published models: backbone parameters and multiply-adds at 128 tokens
@pytest.mark.parametrize(
    ("name", "parameters", "giga_multiply_adds"),
    [
        ("s1", 29_573_882, 1.584),
        ("s4", 12_195_168, 0.300),
        ("kd-s1", 29_585_252, 1.588),
        ("kd-s4", 9_791_360, 0.252),
        ("bert-base", 109_482_240, 11.17),
    ],
)
def test_parameter_counts_are_those_of_the_published_models(
    name: str, parameters: int, giga_multiply_adds: float
) -> None:
    architecture = PUBLISHED[name]
    with torch.device("meta"):
        model = TinyBertModel(config_of(architecture))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert architecture.parameters() == parameters
    assert architecture.multiply_adds() / 1e9 == pytest.approx(giga_multiply_adds, rel=2e-3)


def test_the_masked_lm_head_adds_what_the_formula_says() -> None:
    h = 320
    with torch.device("meta"):
        model = TinyBertForMaskedLM(config_of(PUBLISHED["s4"]))
    head = sum(parameter.numel() for parameter in model.parameters()) - 12_195_168
    assert head == h * h + h + 2 * h + 30_522


def test_the_projection_into_a_teachers_space_adds_what_the_formula_says() -> None:
    with torch.device("meta"):
        model = TinyBertModel(config_of(PUBLISHED["kd-s4"], projection_size=768))
    projection = sum(parameter.numel() for parameter in model.parameters()) - 9_791_360
    assert projection == 768 * 256 + 768


def test_names_and_shapes_are_those_of_the_weights_table() -> None:
    shapes = {name: tuple(p.shape) for name, p in TinyBertModel(TINY).named_parameters()}
    table = weights_shapes(architecture_of(TINY), vocabulary_size=60, positions=32)
    assert shapes == table


def test_it_equals_transformers_bert_where_qkv_equals_hidden() -> None:
    config = BertConfig(
        vocab_size=60,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=50,
        max_position_embeddings=32,
    )
    bert = lively(BertModel(config))
    tiny = TinyBertModel(
        TinyBertConfig(
            vocab_size=60,
            hidden_size=24,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=50,
            max_position_embeddings=32,
        )
    ).eval()
    tiny.load_state_dict(bert.state_dict())  # strict: the names are the same
    with torch.no_grad():
        wanted, got = bert(**inputs()), tiny(**inputs())
    real = inputs()["attention_mask"].bool()
    difference = (wanted.last_hidden_state - got.last_hidden_state)[real].abs().max()
    assert difference < 1e-5
    assert (wanted.pooler_output - got.pooler_output).abs().max() < 1e-5


def test_padding_changes_nothing_and_token_types_do() -> None:
    model = lively(TinyBertModel(TINY))
    given = inputs()
    with torch.no_grad():
        padded = model(**given).last_hidden_state[1, :7]
        alone = model(
            given["input_ids"][1:2, :7], token_type_ids=given["token_type_ids"][1:2, :7]
        ).last_hidden_state[0]
        other_types = model(
            given["input_ids"][1:2, :7], token_type_ids=1 - given["token_type_ids"][1:2, :7]
        ).last_hidden_state[0]
    assert (padded - alone).abs().max() < 1e-5
    assert (padded - other_types).abs().max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_of_padding_alone_gives_numbers(dtype: torch.dtype) -> None:
    model = lively(TinyBertModel(TINY))
    given = inputs()
    given["attention_mask"][1] = 0
    with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32), torch.no_grad():
        output = model(**given)
    assert output.last_hidden_state.isfinite().all()


def test_the_attention_states_are_those_of_the_last_layer() -> None:
    model = lively(TinyBertModel(TINY))
    given = inputs()
    with torch.no_grad():
        output = model(**given, output_attention_states=True, output_hidden_states=True)
        attention = model.encoder.layer[-1].attention.self
        below = output.hidden_states[-2]
        wanted = [attention.query(below), attention.key(below), attention.value(below)]
    for found, own in zip(output.attention_states, wanted, strict=True):
        assert found.shape == (3, 12, 30)
        assert torch.equal(found, own)
    assert model(**given).attention_states is None


def test_sentence_embeddings_leave_padding_out_and_are_projected() -> None:
    model = lively(TinyBertModel(config_of(architecture_of(TINY), TINY, projection_size=9)))
    given = inputs()
    with torch.no_grad():
        vectors = model.sentence_embeddings(**given)
        alone = model.sentence_embeddings(
            given["input_ids"][1:2, :7], None, given["token_type_ids"][1:2, :7]
        )
    assert vectors.shape == (3, 9)
    assert (vectors[1] - alone[0]).abs().max() < 1e-5
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(3))


def test_losses_of_the_heads_are_torchs_own() -> None:
    given = inputs()
    classifier = lively(TinyBertForSequenceClassification(TINY))
    labels = torch.tensor([0, 2, 1])
    output = classifier(**given, labels=labels)
    assert torch.equal(output.loss, torch.nn.functional.cross_entropy(output.logits, labels))

    regressor = lively(
        TinyBertForSequenceClassification(config_of(architecture_of(TINY), TINY, num_labels=1))
    )
    scores = torch.tensor([0.5, 2.0, 4.0])
    output = regressor(**given, labels=scores)
    assert torch.allclose(output.loss, (output.logits[:, 0] - scores).square().mean())

    reader = lively(TinyBertForQuestionAnswering(TINY))
    # an answer beyond the text must not count
    output = reader(
        **given, start_positions=torch.tensor([1, 3, 90]), end_positions=torch.tensor([2, 4, 91])
    )
    entropy = torch.nn.functional.cross_entropy
    wanted = entropy(output.start_logits[:2], torch.tensor([1, 3]))
    wanted = (wanted + entropy(output.end_logits[:2], torch.tensor([2, 4]))) / 2
    assert torch.allclose(output.loss, wanted)

    masked = lively(TinyBertForMaskedLM(TINY))
    targets = torch.full((3, 12), -100)
    targets[0, 3], targets[1, 1] = 7, 9
    output = masked(**given, labels=targets)
    logits = output.logits[[0, 1], [3, 1]]
    assert torch.allclose(output.loss, entropy(logits, torch.tensor([7, 9])))


def test_the_decoder_is_the_word_table() -> None:
    model = TinyBertForMaskedLM(TINY)
    assert not [name for name, _ in model.named_parameters() if "decoder" in name]
    before = model(**inputs()).logits
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[59] += 1.0  # a word that no input has
    assert not torch.equal(model(**inputs()).logits[..., 59], before[..., 59])


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="do not divide"):
        TinyBertConfig(num_attention_heads=5, qkv_size=48)


def test_fresh_weights_are_berts() -> None:
    torch.manual_seed(0)
    model = TinyBertForMaskedLM(TINY)
    words = model.bert.embeddings.word_embeddings.weight
    assert words.std().item() == pytest.approx(0.02, rel=0.1)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        if name.endswith("LayerNorm.weight"):
            assert (parameter == 1).all(), name


def test_saved_models_load_through_the_auto_classes(tmp_path: Path) -> None:
    model = lively(TinyBertForMaskedLM(TINY))
    model.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).qkv_size == 30
    again = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert torch.equal(model(**inputs()).logits, again(**inputs()).logits)
    encoder = AutoModel.from_pretrained(tmp_path).eval()
    assert torch.equal(
        encoder(**inputs()).last_hidden_state, model.bert(**inputs()).last_hidden_state
    )


_STRANGER = """
import json, sys
import torch
from transformers import AutoModel, AutoModelForSequenceClassification
model = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True).eval()
assert "atb" not in sys.modules
ids = torch.arange(1, 9)[None]
print(json.dumps(model(ids).last_hidden_state.flatten().tolist()))
AutoModelForSequenceClassification.from_pretrained(
    sys.argv[1], trust_remote_code=True, num_labels=4
)(ids).logits.reshape(1, 4)
"""


@pytest.mark.slow
def test_an_exported_folder_loads_in_plain_transformers_without_atb(tmp_path: Path) -> None:
    import json

    model = lively(TinyBertModel(config_of(architecture_of(TINY), TINY, projection_size=7)))
    save_folder(model, None, tmp_path / "exported")
    finished = subprocess.run(
        [sys.executable, "-I", "-c", _STRANGER, str(tmp_path / "exported")],
        cwd=tmp_path,
        env={"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    got = torch.tensor(json.loads(finished.stdout))
    wanted = model(torch.arange(1, 9)[None]).last_hidden_state.flatten()
    assert (got - wanted).abs().max() < 1e-5
