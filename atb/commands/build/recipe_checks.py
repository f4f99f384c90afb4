"""What can be known of a recipe's stages before the first one runs.

A stage's options may name files, which are read as the stage will read them, or what an earlier
stage is going to write: then what is known of that stands in for it. A SuperPLM keeps its shape and
its words in training, and shards have the words and the length that they are to be made with.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atb.errors import AtbError, InputError

if TYPE_CHECKING:
    from atb.data import TextModel
    from atb.data.tokenizer import Vocabulary
    from atb.models import SearchSpace
    from atb.models.superplm import SuperPLM

#: Arguments of a command, by name, as the command line reads them.
_Options = Mapping[str, Any]
_Stages = Mapping[str, _Options]


@dataclass
class _Ahead:
    """What earlier stages are going to write.

    Attributes:
        shards: Folder of the shards that the build makes.
        superplm: Name or folder of the SuperPLM that all shapes and words come from.
        words: Vocabulary of the shards, where there is a stage that makes some.
        sequence_length: Of their longest sequence.
    """

    shards: Path
    superplm: str = "mini"
    words: Vocabulary | None = None
    sequence_length: int = 0


def check_recipe(recipe: Path, out: Path, options: _Stages, done: Container[str]) -> None:
    """Refuse a recipe of which a stage is bound to fail.

    Args:
        recipe: Its file, for the message.
        out: Folder of the build.
        options: By stage, what its command is called with, in the order in which they run.
        done: Stages that are not run again, whose inputs may be gone.

    Raises:
        InputError: A stage would refuse what it is given; the message names the stage.
    """
    ahead = _Ahead(out / "shards")
    for stage, given in options.items():
        if stage not in _CHECKS or (stage in done and stage not in _TELLING):
            continue
        try:
            _CHECKS[stage](given, ahead, options)
        except AtbError as error:
            if stage not in done:
                raise InputError(f"{recipe}: [{stage}] {error}") from error


def _data(given: _Options, ahead: _Ahead, options: _Stages) -> None:
    from atb.data.corpus import HUGGING_FACE, check_sequence_length
    from atb.data.tokenizer import read_vocabulary

    source = str(given["source"])
    if not source.startswith(HUGGING_FACE) and not Path(source).exists():
        raise InputError(f"There is no text {source}: check the path.")
    check_sequence_length(given["sequence_length"])
    ahead.sequence_length = given["sequence_length"]
    ahead.words = read_vocabulary(given["vocabulary"], lowercase=False if given["cased"] else None)


def _superplm(given: _Options, ahead: _Ahead, options: _Stages) -> None:
    from atb.models import find_space, resolve

    ahead.superplm = given["superplm"]
    model, shape = _known(ahead)
    _check_shards(given, ahead, model)
    if given["objective"] == "mlm":
        shape.check_mlm_head()
    _check_teacher(given, model, shape)
    chosen = [resolve(name) for name in given["architectures"] or ()]
    for architecture in chosen or [find_space(given["space"] or "mini").largest]:
        shape.check(architecture)


def _profile(given: _Options, ahead: _Ahead, options: _Stages) -> None:
    from atb.models import find_space

    if given["space"] is not None:
        find_space(given["space"])


def _search(given: _Options, ahead: _Ahead, options: _Stages) -> None:
    from atb.commands import search
    from atb.commands.arguments import (
        SearchLimitOptions,
        find_alternatives,
        find_place,
        parse_limits,
    )
    from atb.search.constraints import plain_bert_shapes
    from atb.units import parse_duration

    if "superplm" not in options:
        ahead.superplm = given["superplm"]
    model, shape = _known(ahead)
    limit = SearchLimitOptions.of(given).parse_within(given["method"])
    _, latencies = parse_limits(given["limits"] or [])
    if given["budget"] is not None:
        parse_duration(given["budget"])
    searched = _searched(given, shape)
    search.MethodOptions.of(given).request(searched, limit)
    if given["layout"] == "bert":
        plain_bert_shapes(searched)
    predictor = Path(given["predictor"])
    for name in latencies:
        find_place(name, predictor)
    find_alternatives(given["alternatives"] or [], predictor, limit, latencies)
    _check_scoring(given, model, shape)


def _searched(given: _Options, shape: SuperPLM) -> SearchSpace:
    from atb.models import find_space
    from atb.search.constraints import on_search_grid

    return on_search_grid(find_space(given["space"]), given["grid"], shape.architecture)


def _check_scoring(given: _Options, model: TextModel, shape: SuperPLM) -> None:
    """Refuse a proxy that the SuperPLM does not allow, or whose data are not there."""
    from atb.data.corpus import SentencePairs
    from atb.search.scoring import check_options
    from atb.training.finetuning import find_task
    from atb.training.one_shot import check_scoring, held_out_text

    elastic = [Path(folder) for folder in given["elastic"] or ()]
    name = check_options(
        shape,
        given["proxy"],
        {option: given[option] for option in ("held_out", "teacher", "task", "data")},
        elastic=elastic,
        bf16=given["bf16"],
        precision="fp32",
    )
    for folder in elastic:
        for file in ("superplm.json", "task.json"):
            if not (folder / file).is_file():
                raise InputError(
                    f"--elastic {folder} was not made by `atb superplm finetune`, it has no "
                    f"{file}: check the path."
                )
    if name == "finetune":
        find_task(given["task"]).read(given["data"], "train")
    elif name in ("distillation", "mlm"):
        held_out = None if given["held_out"] is None else Path(given["held_out"])
        check_scoring(shape, held_out_text(shape, held_out, limit=8), name)
    if given["pairs"] is not None:
        SentencePairs.read(Path(given["pairs"]))
    if name in ("agreement", "distillation"):
        _check_teacher({**given, "objective": "kd"}, model, shape)


def _train(given: _Options, ahead: _Ahead, options: _Stages) -> None:
    from atb.commands.arguments import require_teacher

    model, shape = _known(ahead)
    require_teacher(given["objective"], given["teacher"])
    if given["objective"] == "mlm":
        shape.check_mlm_head()
    _check_teacher(given, model, shape)
    _check_shards(given, ahead, model)


def _finetune(given: _Options, ahead: _Ahead, options: _Stages) -> None:
    from atb.commands.arguments import FineTuningOptions
    from atb.training.finetuning import find_task, with_changes

    task = find_task(given["task"])
    changes = {name: given[name] for name in ("evaluation_steps", "seed")}
    with_changes(task.name, **FineTuningOptions.of(given).settings, **changes)
    for split in ("train", task.development_splits[0]):
        task.read(given["data"], split)


def _export(given: _Options, ahead: _Ahead, options: _Stages) -> None:
    from atb.training.finetuning import find_task

    if given["data"] is None:
        if given["sequence_length"] is not None:
            raise InputError("--sequence-length is that of --data: leave it out, or give rows.")
        return
    if "finetune" not in options:
        raise InputError(
            "--data scores a task, and no stage fine-tunes on one: leave it out, or write "
            "[finetune]."
        )
    if options["finetune"]["data"] != given["data"]:
        task = find_task(options["finetune"]["task"])
        task.read(given["data"], task.development_splits[0])


def _known(ahead: _Ahead) -> tuple[TextModel, SuperPLM]:
    """Words of the SuperPLM, and its shape without weights."""
    import torch

    from atb.data import TextModel
    from atb.models.superplm import SuperPLM, folder_of, read_card

    folder = folder_of(ahead.superplm)
    if not folder.is_dir():
        raise InputError(f"There is no SuperPLM {ahead.superplm!r}: check the path.")
    with torch.device("meta"):
        shape = SuperPLM.of_card(read_card(folder))
    return TextModel.read(folder), shape


def _check_shards(given: _Options, ahead: _Ahead, model: TextModel) -> None:
    """Refuse shards that are not there, or of other words, or longer than the model reads."""
    from atb.training.one_shot import open_text

    folder = Path(given["data"])
    if ahead.words is None or folder != ahead.shards:
        open_text(folder, model)
    elif ahead.words.sha256 != model.vocabulary.sha256:
        raise InputError(
            f"[data] makes shards of another vocabulary than that of {model.folder}: write "
            f'vocabulary = "{model.folder}" there.'
        )
    elif ahead.sequence_length > model.positions:
        raise InputError(
            f"[data] makes sequences of {ahead.sequence_length} tokens and {model.folder} reads "
            f"{model.positions}: write sequence-length = {model.positions} there."
        )


def _check_teacher(given: _Options, model: TextModel, shape: SuperPLM) -> None:
    """Refuse a teacher that is a path to nothing, or of other words or another width.

    A name on the hub is looked up when it is due.
    """
    from atb.data.tokenizer import read_json_object, vocabulary_of
    from atb.models.superplm import CARD, folder_of, read_card

    name, width = given["teacher"], shape.config.projection_size
    learns_states = given["objective"] in ("kd", "sentences")
    if learns_states and width is None:
        raise InputError(
            f"{model.folder} has no projection into a teacher's space, which distillation needs: "
            "make it with --projection, or take another objective."
        )
    if name is None:
        return
    folder = folder_of(name)
    if not folder.is_dir():
        if name.count("/") > 1 or name.endswith("/") or name.startswith((".", "/", "~")):
            raise InputError(f"There is no teacher {name}: check the path.")
        return
    if vocabulary_of(folder).sha256 != model.vocabulary.sha256:
        raise InputError(f"The teacher {name} has another vocabulary than {model.folder}.")
    if (folder / CARD).is_file():
        config = read_card(folder).config
        found: Any = config.projection_size or config.hidden_size
    else:
        found = read_json_object(folder / "config.json", "model's configuration").get("hidden_size")
    if learns_states and found != width:
        raise InputError(
            f"The teacher {name} is {found} wide and {model.folder} projects to {width}: give a "
            "teacher of that width."
        )


_CHECKS: dict[str, Callable[[_Options, _Ahead, _Stages], None]] = {
    "data": _data,
    "superplm": _superplm,
    "profile": _profile,
    "search": _search,
    "train": _train,
    "finetune": _finetune,
    "export": _export,
}
#: Stages that tell what later ones will find, done or not.
_TELLING = ("data", "superplm")
