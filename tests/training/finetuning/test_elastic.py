"""All slices on one task at once: the heads, the losses, and the scores without training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from task_files import write_squad

from atb.data.tasks.glue import GLUE
from atb.data.tasks.squad import SQUAD
from atb.data.tasks.tasks import hold_out
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.data.tokenizer.vocabulary import tokenizer_of
from atb.errors import BadFile, InputError
from atb.models.architecture import Architecture
from atb.models.space import Dimension, SearchSpace
from atb.models.superplm.superplm import SuperPLM
from atb.training.contract import outcome
from atb.training.finetuning.elastic import ElasticSettings, elastic_scorer, finetune_elastic
from atb.training.finetuning.full_finetuning import FullFineTuning
from atb.training.finetuning.prediction import collated
from atb.training.finetuning.settings import FineTuning
from atb.training.finetuning.task_learning import TaskLearning, batch_of_inputs
from atb.training.finetuning.task_model import TaskModel
from atb.training.teacher import Batch

SPACE = SearchSpace(
    "small",
    layers=Dimension(1, 2),
    hidden=Dimension(16, 32, 8),
    heads=Dimension(1, 2),
    feed_forward=Dimension(16, 32, 8),
    head_size=16,
)
SETTINGS = ElasticSettings(SPACE, epochs=6, batch_size=8, sequence_length=24, learning_rate=5e-3)
WORDS = read_vocabulary()


@pytest.fixture(scope="module")
def start() -> SuperPLM:
    torch.manual_seed(0)
    return SuperPLM.from_architecture(SPACE.largest).eval()


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("films")
    rows = [
        f"a {word} film about lamp number {number} .\t{label}"
        for number in range(20)
        for label, words in enumerate((("cold", "dull"), ("warm", "kind")))
        for word in words
    ]
    for split in ("train", "dev"):
        (folder / f"{split}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    return str(folder)


def _batch(wanted: list[torch.Tensor]) -> Batch:
    ids = torch.randint(1000, 2000, (3, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 3 + [0] * 4])
    types = torch.tensor([[0, 0, 0, 1, 1, 1, 1]] * 3)
    return Batch(ids, mask, token_type_ids=types, wanted=tuple(wanted))


@pytest.mark.parametrize(
    ("kind", "outputs", "wanted"),
    [
        ("classification", 3, [torch.tensor([2, 0, 1])]),
        ("classification", 1, [torch.tensor([2.5, 0.0, 1.0])]),
        ("qa", 2, [torch.tensor([1, 0, 2]), torch.tensor([4, 0, 2])]),
    ],
)
def test_a_slice_s_loss_is_that_of_the_extracted_model(
    start: SuperPLM, kind, outputs: int, wanted: list[torch.Tensor]
) -> None:
    elastic = start.with_task_head(kind, outputs, dropout=0.0).eval()
    batch = _batch(wanted)
    narrowed = Architecture(1, 24, 2, 16, 24)
    for shape in (SPACE.smallest, narrowed, SPACE.largest):
        found = outcome(TaskLearning(), elastic, shape, batch, None)
        model = elastic.extract(shape, kind)
        names = ("start_positions", "end_positions") if kind == "qa" else ("labels",)
        inputs = {"token_type_ids": batch.token_type_ids, **dict(zip(names, wanted, strict=True))}
        if kind == "qa":  # the stand-alone head lets padding take part
            logits = model(batch.input_ids, batch.attention_mask, batch.token_type_ids)
            hidden = batch.attention_mask == 0
            losses = [
                torch.nn.functional.cross_entropy(part.masked_fill(hidden, -1e4), goal)
                for part, goal in zip((logits.start_logits, logits.end_logits), wanted, strict=True)
            ]
            expected = (losses[0] + losses[1]) / 2
        else:
            expected = model(batch.input_ids, batch.attention_mask, **inputs).loss
        assert torch.allclose(found.loss, expected, atol=1e-6)


def test_the_largest_teaches_the_others_in_place(start: SuperPLM) -> None:
    elastic = start.with_task_head("classification", 3, dropout=0.0).eval()
    batch = _batch([torch.tensor([2, 0, 1])])
    whole = outcome(TaskLearning(), elastic, SPACE.largest, batch, None)
    assert whole.target is not None
    taught = outcome(TaskLearning(), elastic, SPACE.largest, batch, whole.target)
    probabilities = whole.target.task_logits[0].softmax(-1)
    entropy = -(probabilities * probabilities.log()).sum(-1).mean()
    assert torch.allclose(taught.loss, entropy, atol=1e-6)  # its least: that of itself


def test_a_head_survives_saving(start: SuperPLM, tmp_path: Path) -> None:
    elastic = start.with_task_head("qa", 2, dropout=0.2)
    elastic.save(tmp_path)
    again = SuperPLM.load(tmp_path)
    assert again.task_head == ("qa", 2)
    assert again.config.hidden_dropout_prob == 0.2
    assert torch.equal(again.get_parameter("qa_outputs.weight"), elastic.qa_outputs.weight)
    with pytest.raises(InputError, match="no task's head"):
        output = start(SPACE.smallest, torch.ones(1, 3, dtype=torch.long))
        start.task_logits(SPACE.smallest, output)


@pytest.mark.slow
def test_all_slices_learn_and_are_scored_without_training(
    start: SuperPLM, films: str, tmp_path: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    task, out = GLUE["sst2"], tmp_path / "elastic"
    trained = finetune_elastic(start, task, films, SETTINGS, out, vocabulary=WORDS)
    assert all(torch.equal(before[name], tensor) for name, tensor in start.state_dict().items())
    scorer = elastic_scorer(trained, out, films)
    for shape in (SPACE.smallest, SPACE.largest):
        found = scorer.score(shape)
        assert found["accuracy"] == 1.0
        assert found["loss"] < 0.6
        # the same by extracting the slice and asking it
        _, held = hold_out(task.read(films, "train"), SETTINGS.seed)
        model = TaskModel(trained.extract(shape, "classification"), tokenizer_of(WORDS), task)
        assert model.evaluate(held, 24) == {"accuracy": found["accuracy"]}
    again = finetune_elastic(start, task, films, SETTINGS, out, vocabulary=WORDS)
    assert scorer.score(SPACE.smallest) == elastic_scorer(again, out, films).score(SPACE.smallest)


def test_rows_it_has_learnt_from_are_never_scored_on(
    start: SuperPLM, films: str, tmp_path: Path
) -> None:
    few = ElasticSettings(SPACE, epochs=0.1, batch_size=8, sequence_length=24)
    trained = finetune_elastic(start, GLUE["sst2"], films, few, tmp_path / "out", vocabulary=WORDS)
    other = tmp_path / "other"
    other.mkdir()
    lines = (Path(films) / "train.tsv").read_text().splitlines()
    (other / "train.tsv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    with pytest.raises(InputError, match="other training rows"):
        elastic_scorer(trained, tmp_path / "out", str(other))
    with pytest.raises(BadFile, match=r"no file .*task\.json"):
        elastic_scorer(trained, tmp_path / "none", films)
    with pytest.raises(InputError, match="no head for sst2"):
        elastic_scorer(start, tmp_path / "out", films)


@pytest.mark.slow
def test_questions_are_learnt_by_slices(start: SuperPLM, tmp_path: Path) -> None:
    data = str(write_squad(tmp_path / "data", rows=10))
    settings = ElasticSettings(SPACE, epochs=12, batch_size=8, sequence_length=96,
                               learning_rate=5e-3, in_place=True)  # fmt: skip
    trained = finetune_elastic(
        start, SQUAD["squad1"], data, settings, tmp_path / "out", vocabulary=WORDS
    )
    found = elastic_scorer(trained, tmp_path / "out", data).score(SPACE.smallest)
    assert found["f1"] > 0.5


def test_features_become_padded_batches() -> None:
    features = [
        {"input_ids": [5, 6, 7], "attention_mask": [1, 1, 1], "labels": 1, "example": 0},
        {"input_ids": [8], "attention_mask": [1], "labels": 0, "example": 1},
    ]
    batch = batch_of_inputs(collated(features, pad=9))
    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.wanted[0].tolist() == [1, 0]
    assert batch.token_type_ids is None


@pytest.mark.slow
def test_the_dear_way_fine_tunes_each_slice_and_keeps_what_is_done(
    start: SuperPLM, films: str, tmp_path: Path
) -> None:
    settings = FineTuning(
        epochs=12, sequence_length=24, learning_rate=5e-3, batch_size=8, evaluation_steps=5
    )
    told: list[int] = []
    scorer = FullFineTuning(
        start, WORDS, GLUE["sst2"], films, settings, folder=tmp_path,
        progress=lambda step, *_: told.append(step),
    )  # fmt: skip
    assert scorer.score(SPACE.smallest) == {"accuracy": 1.0}
    steps = len(told)
    assert scorer.score(SPACE.smallest) == {"accuracy": 1.0}
    assert len(told) == steps > 0
