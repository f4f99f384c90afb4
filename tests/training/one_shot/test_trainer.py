from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forked import start_forked
from training_run import RUN

from atb.data.corpus.shards import TokenShards
from atb.errors import BadFile, InputError, RunError
from atb.models.space import Dimension, SearchSpace
from atb.models.superplm.superplm import SuperPLM
from atb.training.batches import Batches, TextSource
from atb.training.contract import Outcome
from atb.training.log import LOG
from atb.training.one_shot.further import space_of
from atb.training.one_shot.objectives import Distillation, MaskedLanguageModelling
from atb.training.one_shot.trainer import TrainingStep, train_superplm
from atb.training.settings import TrainingSettings
from atb.training.teacher import Batch, DistillationTarget, Teacher

Make = Callable[..., SuperPLM]


class Stopped(Exception):
    """Stands in for a kill: nothing of ours catches it."""


def settings(space: SearchSpace, **changes: Any) -> TrainingSettings:
    usual: dict[str, Any] = {
        "steps": 12,
        "batch_size": 6,
        "batch_parts": 2,
        "random_samples": 1,
        "learning_rate": 3e-3,
        "checkpoint_steps": 4,
        "log_steps": 1,
    }
    return TrainingSettings(space, **{**usual, **changes})


def weights(superplm: SuperPLM) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in superplm.state_dict().items()}


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def stop_at(number: int) -> Callable[[TrainingStep], None]:
    def progress(step: TrainingStep) -> None:
        if step.number == number:
            raise Stopped

    return progress


STOPS = [("mlm", [4]), ("distillation", [7, 11])]
MORE_STOPS = [("mlm", [3]), ("mlm", [7, 11]), ("distillation", [3]), ("distillation", [4])]


@pytest.mark.parametrize(
    ("objective", "stops"),
    [*STOPS, *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE_STOPS)],
    ids=str,
)
def test_a_stopped_run_ends_with_the_same_weights_and_log(  # noqa: PLR0917 -- fixtures
    tmp_path: Path,
    make_superplm: Make,
    text: TokenShards,
    space: SearchSpace,
    objective: str,
    stops: list[int],
) -> None:
    def run(out: Path, stop: int | None = None) -> dict[str, torch.Tensor]:
        superplm = make_superplm(mlm=objective == "mlm")
        progress = None if stop is None else stop_at(stop)
        return weights(train_superplm(superplm, text, settings(space), out, progress=progress))

    whole = run(tmp_path / "whole")
    for stop in stops:
        with pytest.raises(Stopped):
            run(tmp_path / "stopped", stop)
    resumed = run(tmp_path / "stopped")
    assert equal(whole, resumed)
    assert not equal(whole, weights(make_superplm(mlm=objective == "mlm")))
    logs = [(tmp_path / name / LOG).read_text("utf-8") for name in ("whole", "stopped")]
    assert logs[0] == logs[1]
    steps = [json.loads(line)["step"] for line in logs[0].splitlines()]
    assert steps == list(range(1, 13))


def test_chosen_slices_alone_are_trained(
    tmp_path: Path, make_superplm: Make, text: TokenShards, space: SearchSpace
) -> None:
    superplm = make_superplm(mlm=True)
    start = weights(superplm)
    small = [a for a in space.sample(np.random.default_rng(0), 40) if a.layers == 1][:2]
    how = settings(
        space_of(*small), chosen=tuple(small), sampling="uniform", weight_decay=0.0, steps=6
    )
    trained = weights(train_superplm(superplm, text, how, tmp_path / "run"))
    layers = {name.split("layer.")[1][0] for name in start if "layer." in name}
    assert layers >= {"0", "1"}
    for name, before in start.items():
        if "layer.1." in name:  # none of the chosen has it
            assert torch.equal(before, trained[name])
    assert not torch.equal(
        *(w["bert.encoder.layer.0.intermediate.dense.weight"] for w in (start, trained))
    )
    with pytest.raises(InputError, match="settings"):
        train_superplm(superplm, text, replace(how, chosen=tuple(small[:1])), tmp_path / "run")


@pytest.mark.slow
def test_a_run_killed_ten_times_ends_with_the_same_weights(tmp_path: Path) -> None:
    def start(name: str) -> BaseProcess:
        words = (str(Path(__file__).parents[3]), str(tmp_path / name), "60")
        outputs = steps_told, Path(os.devnull)
        return start_forked(words, tmp_path, os.environ, outputs, script=RUN)

    steps_told = tmp_path / "steps"
    os.mkfifo(steps_told)
    process = start("whole")
    assert steps_told.read_text().split()[-1] == "60"
    process.join()
    assert process.exitcode == 0
    rng = np.random.default_rng(0)
    begun = []
    for _ in range(10):
        steps = int(rng.integers(1, 7))
        process = start("killed")
        with steps_told.open() as told:
            begun.append(int(told.readline()))
            for _ in range(steps):
                told.readline()
            time.sleep(rng.uniform(0, 0.03))  # wherever it is then, writing a checkpoint included
            process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not (tmp_path / "killed" / "superplm.json").exists()
    process = start("killed")
    assert steps_told.read_text().split()[-1] == "60"
    process.join()
    assert process.exitcode == 0
    assert begun == sorted(begun)
    assert begun[-1] > begun[0] == 1  # it went on from checkpoints
    whole, killed = (SuperPLM.load(tmp_path / name) for name in ("whole", "killed"))
    assert equal(weights(whole), weights(killed))


def test_a_half_written_checkpoint_does_not_count(
    tmp_path: Path, make_superplm: Make, text: TokenShards, space: SearchSpace
) -> None:
    with pytest.raises(Stopped):
        train_superplm(make_superplm(), text, settings(space), tmp_path, progress=stop_at(6))
    whole = tmp_path / "checkpoints" / "step-00000004"
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [whole.name]
    shutil.copytree(whole / "superplm", tmp_path / "checkpoints" / ".partial-x" / "superplm")
    seen: list[int] = []
    train_superplm(
        make_superplm(), text, settings(space), tmp_path, progress=lambda s: seen.append(s.number)
    )
    assert seen[0] == 5
    assert not (tmp_path / "checkpoints").exists()


def test_a_damaged_checkpoint_is_refused_and_stays(
    tmp_path: Path, make_superplm: Make, text: TokenShards, space: SearchSpace
) -> None:
    with pytest.raises(Stopped):
        train_superplm(make_superplm(), text, settings(space), tmp_path, progress=stop_at(6))
    moments = tmp_path / "checkpoints" / "step-00000004" / "optimizer.safetensors"
    moments.write_bytes(moments.read_bytes()[:500])
    with pytest.raises(BadFile, match="truncated"):
        train_superplm(make_superplm(), text, settings(space), tmp_path)
    assert moments.exists()


def test_a_finished_run_is_read_and_not_repeated(
    tmp_path: Path, make_superplm: Make, text: TokenShards, space: SearchSpace
) -> None:
    first = weights(train_superplm(make_superplm(), text, settings(space), tmp_path))
    steps: list[TrainingStep] = []
    again = train_superplm(make_superplm(), text, settings(space), tmp_path, progress=steps.append)
    assert equal(first, weights(again))
    assert equal(first, weights(SuperPLM.load(tmp_path)))
    assert not steps


def test_a_run_is_not_continued_with_other_settings_text_or_weights(
    tmp_path: Path, make_superplm: Make, text: TokenShards, space: SearchSpace
) -> None:
    with pytest.raises(Stopped):
        train_superplm(make_superplm(), text, settings(space), tmp_path, progress=stop_at(6))
    with pytest.raises(InputError, match="other settings"):
        train_superplm(make_superplm(), text, settings(space, seed=1), tmp_path)
    with pytest.raises(InputError, match="another text"):
        train_superplm(make_superplm(), replace(text, sha256="x"), settings(space), tmp_path)
    with pytest.raises(InputError, match="another objective"):
        other = MaskedLanguageModelling(mask_probability=0.3)
        train_superplm(make_superplm(), text, settings(space), tmp_path, objective=other)
    changed = make_superplm()
    with torch.no_grad():
        changed.bert.pooler.dense.bias += 1
    with pytest.raises(InputError, match="another starting point"):
        train_superplm(changed, text, settings(space), tmp_path)


def test_a_folder_with_another_superplm_is_left_alone(
    tmp_path: Path, make_superplm: Make, text: TokenShards, space: SearchSpace
) -> None:
    make_superplm().save(tmp_path)
    with pytest.raises(InputError, match="another origin"):
        train_superplm(make_superplm(), text, settings(space), tmp_path)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_names_its_step_and_keeps_the_checkpoint(
    tmp_path: Path, make_superplm: Make, text: TokenShards, space: SearchSpace, poison: float
) -> None:
    class Poisoned(MaskedLanguageModelling):
        calls = 0

        def prepare(self, batch: Batch, done: float = 0.0) -> DistillationTarget | None:
            Poisoned.calls += 1  # two parts a step
            return None

        def score(self, *arguments: Any) -> Outcome:
            found = super().score(*arguments)
            return replace(found, loss=found.loss * poison) if Poisoned.calls > 12 else found

    with pytest.raises(RunError, match="at step 7"):
        train_superplm(make_superplm(), text, settings(space), tmp_path, objective=Poisoned())
    assert (tmp_path / "checkpoints" / "step-00000004" / "checkpoint.json").is_file()


def test_a_full_disk_is_one_sentence_and_keeps_the_checkpoint(
    tmp_path: Path,
    make_superplm: Make,
    text: TokenShards,
    space: SearchSpace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from atb.training import checkpoint

    whole = checkpoint.write_document

    def full_at_the_second(path: Path, content: dict[str, Any], **kind: Any) -> None:
        if content["step"] == 8:
            raise OSError(28, "No space left on device")
        whole(path, content, **kind)

    monkeypatch.setattr(checkpoint, "write_document", full_at_the_second)
    with pytest.raises(RunError, match="No space left"):
        train_superplm(make_superplm(), text, settings(space), tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000004"]


@pytest.mark.slow
def test_losses_fall(
    tmp_path: Path, make_superplm: Make, text: TokenShards, space: SearchSpace
) -> None:
    chosen = settings(space, steps=40, batch_parts=1)
    superplm = make_superplm(mlm=False)
    with torch.no_grad():  # a teacher whose states are worth learning
        for parameter in superplm.parameters():
            parameter.mul_(4)
    for name, start in (("mlm", make_superplm()), ("distillation", superplm)):
        train_superplm(start, text, chosen, tmp_path / name)
        log = (tmp_path / name / LOG).read_text("utf-8").splitlines()
        losses = [json.loads(line)["loss"] for line in log]
        assert sum(losses[-10:]) < 0.85 * sum(losses[:10]), name


def test_learning_rate_warms_up_and_decays_to_zero(
    tmp_path: Path, make_superplm: Make, text: TokenShards, space: SearchSpace
) -> None:
    train_superplm(make_superplm(), text, settings(space, steps=20), tmp_path)
    log = (tmp_path / LOG).read_text("utf-8").splitlines()
    rates = [json.loads(line)["learning_rate"] for line in log]
    assert max(rates) == rates[1] == pytest.approx(3e-3)
    assert rates[0] == pytest.approx(1.5e-3)
    assert rates[-1] == 0


def test_training_leaves_the_global_generator_alone(
    tmp_path: Path, superplm: SuperPLM, text: TokenShards, space: SearchSpace
) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    train_superplm(superplm, text, settings(space, steps=2), tmp_path)
    assert torch.equal(torch.rand(1), wanted)


def test_biases_and_norms_do_not_decay(
    tmp_path: Path, make_superplm: Make, text: TokenShards, space: SearchSpace
) -> None:
    """A whole that is its own teacher has no gradient but that of decay."""
    only_largest = replace(
        space,
        layers=Dimension(2, 2),
        hidden=Dimension(24, 24),
        heads=Dimension(3, 3),
        feed_forward=Dimension(40, 40),
    )
    start = make_superplm(mlm=False)
    start.config.hidden_dropout_prob = start.config.attention_probs_dropout_prob = 0.0
    with torch.no_grad():
        for parameter in start.parameters():
            parameter.add_(0.1)
    before = weights(start)
    still = Distillation(Teacher.of(start), hidden_weight=1e-30, attention_weight=0.0)
    after = weights(
        train_superplm(
            start, text, settings(only_largest, weight_decay=0.5), tmp_path, objective=still
        )
    )
    for name in before:
        decayed = name.endswith("weight") and "LayerNorm" not in name
        if "pooler" not in name:  # no part of the loss, hence no step
            assert torch.equal(before[name], after[name]) is not decayed, name


def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, make_superplm: Make, text: TokenShards, space: SearchSpace
) -> None:
    out = tmp_path / "out"
    wide = replace(space, hidden=Dimension(8, 32, 8))
    with pytest.raises(InputError, match="does not fit"):
        train_superplm(make_superplm(), text, settings(wide), out)
    with pytest.raises(InputError, match="vocabulary of 2000"):
        train_superplm(make_superplm(), replace(text, vocabulary_size=2000), settings(space), out)
    with pytest.raises(InputError, match="sequences of 64"):
        train_superplm(make_superplm(), replace(text, sequence_length=64), settings(space), out)
    with pytest.raises(InputError, match="masked-LM head"):
        train_superplm(
            make_superplm(mlm=False),
            text,
            settings(space),
            out,
            objective=MaskedLanguageModelling(),
        )
    assert not out.exists()


def test_bfloat16_products_train_too(
    tmp_path: Path, make_superplm: Make, text: TokenShards, space: SearchSpace
) -> None:
    start = make_superplm()
    before = weights(start)
    trained = train_superplm(start, text, settings(space, bf16=True, steps=3), tmp_path)
    after = weights(trained)
    assert not equal(before, after)
    assert all(tensor.dtype == torch.float32 for tensor in after.values())


def test_every_epoch_goes_over_all_text_in_another_order(text: TokenShards) -> None:
    batches = Batches(TextSource(text), size=43, parts=1, mask_probability=0.0, seed=0)
    first, second = (batches.of_step(step)[0] for step in (0, 1))

    def rows(batch: Batch) -> list[tuple[int, ...]]:
        return [tuple(row) for row in batch.input_ids.tolist()]

    assert sorted(rows(first)) == sorted(rows(second))
    assert rows(first) != rows(second)
    assert first.labels is None


def test_the_parts_of_a_batch_do_not_depend_on_what_was_read_before(text: TokenShards) -> None:
    def batches() -> Batches:
        return Batches(TextSource(text), size=6, parts=3, mask_probability=0.15, seed=2)

    run_through = batches()
    for step in range(20):
        parts = run_through.of_step(step)
        run_through.read_ahead(19 if step == 18 else step + 2)  # what is not asked for is dropped
    alone = batches().of_step(19)
    assert len(parts) == 3
    for left, right in zip(parts, alone, strict=True):
        assert torch.equal(left.input_ids, right.input_ids)
        assert left.labels is not None
        assert right.labels is not None
        assert torch.equal(left.labels, right.labels)
