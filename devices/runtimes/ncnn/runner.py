"""Runs networks of ncnn; it is sent to devices, and needs nothing of this package."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from atb.devices.worker.core import Arrays, ModelClass, ModelFile


class NcnnModel:
    """A network of ncnn on the CPU.

    The file is ncnn's `.bin`, followed by the text of `.param`, JSON that says what it is, and the
    length of the JSON in eight bytes. ncnn has no batch: sequences run one after another.
    """

    library = "ncnn"
    inputs = None  # those of a BERT
    # idle threads of its OpenMP sleep at once: spinning ones would count as busy and disturb other
    # threads (the option `openmp_blocktime` is for another OpenMP than the one in its wheels)
    environment: ClassVar[dict[str, str]] = {"OMP_WAIT_POLICY": "PASSIVE"}

    def __init__(self, file: ModelFile) -> None:
        import ncnn

        told, param = _read(file)
        precision = file.settings["precision"]
        if told["precision"] != precision:
            raise file.failure(f"the network computes in {told['precision']}, not in {precision}")
        self._file = file
        self._net = ncnn.Net()
        wanted = {
            "num_threads": file.settings["threads"],
            "openmp_blocktime": 0,
            "use_vulkan_compute": False,
            # where the processor has it, ncnn computes in less than 32 bits without being asked
            **{f"use_fp16_{part}": False for part in ("packed", "storage", "arithmetic")},
            "use_bf16_storage": False,
        }
        for name, value in wanted.items():
            setattr(self._net.opt, name, value)
        if self._net.load_param_mem(param) != 0 or self._net.load_model(file.path) != 0:
            raise file.failure("ncnn cannot read the network: build it again")
        ignored = [name for name, value in wanted.items() if getattr(self._net.opt, name) != value]
        if ignored:
            raise file.failure(f"ncnn did not take the options {', '.join(ignored)}")
        self.builds = {"ncnn": ncnn.__version__}
        self.providers = (f"CPU {precision}",)
        self.vocabulary_size = told["vocabulary_size"]

    def feed(self, arrays: Arrays) -> None:
        """Take what the model is run on."""
        import ncnn

        batch, length = arrays["input_ids"].shape
        places = np.arange(length, dtype=np.int32)
        # added to the scores: nothing, since no token is padding
        mask = np.zeros((length, length), np.float32)
        self._arrays = [
            {
                "input_ids": arrays["input_ids"][place].astype(np.int32),
                "token_type_ids": arrays["token_type_ids"][place].astype(np.int32),
                "position_ids": places,
                "attention_mask": mask,
            }
            for place in range(batch)
        ]
        # these refer to the arrays, and copy nothing
        self._feeds = [
            {name: ncnn.Mat(values) for name, values in row.items()} for row in self._arrays
        ]

    def __call__(self) -> Any:
        """Run once; returns the last hidden state."""
        return np.stack([self._run(feed) for feed in self._feeds])

    def _run(self, feed: Mapping[str, Any]) -> npt.NDArray[Any]:
        """One sequence; an extractor belongs to one call, so that several threads may call."""
        extractor = self._net.create_extractor()
        for name, values in feed.items():
            extractor.input(name, values)
        failed, hidden = extractor.extract("last_hidden_state")
        # the pooler goes on from what is there, and is part of what is timed
        failed = failed or extractor.extract("pooler_output")[0]
        if failed:
            cause = "out-of-memory" if failed == _ALLOCATION_FAILED else "crash"
            raise self._file.failure(f"ncnn ended the inference with code {failed}", cause)
        return np.asarray(hidden)


_ALLOCATION_FAILED = -100


def _read(file: ModelFile) -> tuple[dict[str, Any], str]:
    """What a network says of itself, and its text; ncnn itself reads the weights.

    Sizes are compared first, since ncnn says nothing of a damaged file but a number.
    """
    path = Path(file.path)
    size = path.stat().st_size
    try:
        with path.open("rb") as content:
            content.seek(-8, os.SEEK_END)
            length = int.from_bytes(content.read(), "little")
            content.seek(size - 8 - length)
            told: dict[str, Any] = json.loads(content.read(length))
            content.seek(told["weights_bytes"])
            param = content.read(told["param_bytes"]).decode("ascii")
        whole = told["weights_bytes"] + told["param_bytes"] + length + 8
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        why = f"{type(error).__name__}: {error}".strip(": ")
        raise file.failure(f"{path} is no network of ncnn that atb wrote ({why})") from error
    if size != whole:
        raise file.failure(f"{path} has {size} bytes where {whole} were written")
    return told, param


RUNTIMES: dict[str, ModelClass] = {"ncnn": NcnnModel}
