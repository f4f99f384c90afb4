"""A recipe of all stages, on the simulated device, that is built in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from task_files import write_glue

#: A space so small that commands are done in seconds.
SPACE = """
name = "tiny"
layers = [1, 2]
hidden = [16, 32, 16]
heads = [1, 2]
head_size = 16
feed_forward = [32, 64, 32]
"""

LARGE = "L2-H32-A2-Q32-F64"
RECIPE = """
[target]
device = "fake"

[data]
source = "text.txt"
sequence-length = 24

[profile]
space = "tiny.toml"
samples = 12

[search]
superplm = "start"
latency = "0.4ms"
window = "0.01,1.00"
method = "random"
generation-size = 3
finalists = 2

[train]
teacher = "start"
attention-weight = 0.0
steps = 4
batch = 4

[finetune]
task = "rte"
data = "rte"
epochs = 1
batch = 8

[export]
format = "bert"
"""


def prepare(atb: Callable[..., Any], folder: Path) -> None:
    """Write what the recipe names.

    Args:
        atb: Runs a command in the folder; tells its return code.
        folder: Where to.
    """
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "tiny.toml").write_text(SPACE)
    (folder / "text.txt").write_text("\n\n".join(f"The owl sees {n} lamps." for n in range(16)))
    write_glue(folder / "rte", "rte", rows=40)
    made = atb("superplm", "init", "--arch", LARGE, "--projection", "32", "--out", "start")
    assert made.returncode == 0, made.stderr
