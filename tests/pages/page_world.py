"""What the commands of the documentation need, in small, and how they are made small themselves.

The pages show commands as a user types them, with a real device and real sizes. Here the simulated
device takes the place of others, a space of nine shapes that of real ones, and a SuperPLM of two
layers that of `mini`, so that each command takes a second or two.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pages.documents import ROOT
from small_build import LARGE, RECIPE, SPACE
from task_files import write_glue

SMALL = "L1-H16-A1-Q16-F32"
MINI = "mini-in-small"
#: Words of the pages, and what stands for them wherever they stand alone.
WORDS = {
    "local": "fake",
    "pi4": "fake",
    "L4-H256-A8-Q256-F512": SMALL,
    "L3-H192-A3-Q192-F352": "L2-H32-A1-Q16-F32",
    "L8-H768-A12-Q768-F3072": LARGE,
    "examples/own_space.toml": "tiny.toml",
    "my-superplm": MINI,
    "atb-runs/ten-ms/model/model.onnx": "model.onnx",  # the simulated device reads no ONNX
}
#: Values of options, by the option.
VALUES = {
    "--space": "tiny.toml",
    "--samples": "12",
    "--latency": "0.4ms",
    "--teacher": MINI,
    "--projection": "32",
    "--budget": "2s",
    "--interval": "1ms",
    "--duration": "1s",
}
#: Limits of other predictors, which are latencies.
LIMITS = {"int8=10ms": "int8=0.4ms"}
_TRAINING = "--steps 2 --batch 4 --threads 1"
_ONE_SHOT = f"{_TRAINING} --space tiny.toml"
#: Options that are added to a command where it does not have them.
MORE = {
    "profile": "--space tiny.toml",
    "compare": "--device fake --budget 2s",
    "search": f"--superplm {MINI} --device fake --space tiny.toml --window 0.01,1.00 "
    "--generation-size 3 --generations 1 --finalists 2",
    "predictor transfer": "--space tiny.toml",
    "predictor compare": "--splits 1",
    "superplm train": _ONE_SHOT,
    "superplm finetune": "--epochs 1 --batch 8 --space tiny.toml --threads 1",
    "superplm evaluate": "--space tiny.toml",
    "model extract": f"--superplm {MINI}",
    "model train": _TRAINING,
    "model finetune": "--epochs 1 --batch 8",
    "data prepare": "--sequence-length 24",
}


def made_small(line: str) -> list[str]:
    """The words of a command of a page, as a test runs it.

    Args:
        line: A command that begins with `atb`.
    """
    _, *words = shlex.split(line)
    before = [None, *words]
    words = [
        VALUES.get(str(option), LIMITS.get(word, WORDS.get(word, word)))
        for option, word in zip(before, words, strict=False)
    ]
    if "--runtime" in words and "fake" in words:
        at = words.index("--runtime")
        del words[at : at + 2]
    name = next((name for name in MORE if words[: len(name.split())] == name.split()), None)
    given = {word for word in words if word.startswith("--")}
    added = shlex.split(MORE.get(name or "", ""))
    for option, value in zip(added[::2], added[1::2], strict=True):
        if option not in given and not (
            option == "--space" and given & {"--arch", "--model", "--list"}
        ):
            words += [option, value]
    return words


def write_world(atb: Callable[..., Any], folder: Path) -> None:
    """Write every file that the commands of a page name.

    Args:
        atb: Runs a command in the folder; tells its return code.
        folder: An empty one.
    """
    (folder / "tiny.toml").write_text(SPACE)
    (folder / "recipe.toml").write_text(RECIPE.replace('"start"', f'"{MINI}"'))
    text = "\n\n".join(f"The owl sees {number} lamps. A fox sleeps." for number in range(16))
    (folder / "text").mkdir()
    for path in ("text.txt", "held-out.txt", "text/first.txt"):
        (folder / path).write_text(text)
    for task in ("mrpc", "rte"):
        write_glue(folder / "glue" / task.upper(), task, rows=40)
    write_glue(folder / "rte", "rte", rows=40)
    rows = [f"{i},{(7 * i) % 5},{2 * i + (7 * i) % 5}" for i in range(1, 15)]
    (folder / "latencies.csv").write_text("\n".join(["layers,heads,latency_ms", *rows]) + "\n")
    (folder / "new-rows.csv").write_text("layers,heads\n3,2\n4,4\n")
    (folder / "examples").symlink_to(ROOT / "examples")
    for name, shape in (("model", "bert-tiny"), ("other", "bert-mini")):
        _write_simulated_model(folder / f"{name}.onnx", shape)
    _write_encoder(folder / "all-MiniLM-L6-v2")
    for words in (
        "profile fake --space tiny.toml --samples 12 --threads 1",
        "predictor train",
    ):
        assert atb(*words.split()).returncode == 0
    made = atb("superplm", "init", "--arch", LARGE, "--projection", "32", "--out", MINI)
    assert made.returncode == 0, made.stderr


def _write_simulated_model(path: Path, name: str) -> None:
    """A model that the simulated device times as a file of the user's."""
    from atb.devices import RunSettings
    from atb.devices.fake.device import FakeRuntime
    from atb.models import PUBLISHED

    FakeRuntime().build(PUBLISHED[name], RunSettings(), path.parent).path.rename(path)


def _write_encoder(folder: Path) -> None:
    """A BERT with the shipped vocabulary and fresh weights."""
    import torch
    from transformers import BertConfig, BertModel

    from atb.data.tokenizer import read_vocabulary

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertModel(BertConfig(intermediate_size=64, **sizes)).save_pretrained(folder)
    read_vocabulary().save(folder)
