"""Data-parallel processes: each takes some parts of every batch (Hugging Face Accelerate).

`torchrun` or `accelerate launch` starts them; a process that nobody launched trains alone.
Sub-models differ from part to part and leave gradients empty, so that no model is wrapped: each
process adds up the gradients of its parts, and one reduction a step adds up those of all processes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from atb.errors import InputError

if TYPE_CHECKING:
    from accelerate import PartialState


def leads() -> bool:
    """Whether this process, of those that were launched together, is the one that writes."""
    return bool(_together().is_main_process)


@contextlib.contextmanager
def leader_first() -> Iterator[None]:
    """Let the process that writes go through first, and the others when it is done."""
    with _together().main_process_first():
        yield


def _together() -> PartialState:
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available())


class ProcessGroup:
    """This process as one of those that train together, each on its parts of every batch."""

    def __init__(self, *, bf16: bool = False) -> None:
        """Join the group.

        Args:
            bf16: Whether matrix products run in bfloat16.
        """
        from accelerate import Accelerator

        self._accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self._bf16 = bf16

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._accelerator.num_processes)

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes."""
        return bool(self._accelerator.is_main_process)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        device: torch.device = self._accelerator.device
        return device

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """The precision of matrix products."""
        with contextlib.ExitStack() as entered:
            # Accelerate's own can be chosen only once in a process
            entered.enter_context(
                torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16)
            )
            if self._bf16 and self.device.type == "cpu":
                # the backward pass of flash attention is slow there: a step took 1.4 times as long
                entered.enter_context(sdpa_kernel(SDPBackend.MATH))
            yield

    def share(self, parts: int) -> range:
        """The numbers of the parts of a batch that this process computes.

        Raises:
            InputError: There are fewer parts than processes.
        """
        if parts < self.count:
            raise InputError(
                f"{self.count} processes cannot share a batch that is cut into {parts}: give at "
                f"least --batch-parts {self.count}."
            )
        return range(self._accelerator.process_index, parts, self.count)

    def add_up(self, numbers: Sequence[float]) -> list[float]:
        """The sums over all processes."""
        if self.count == 1:
            return list(numbers)
        mine = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        return [float(number) for number in self._reduced(mine)]

    def add_up_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the sum of all gradients.

        What no process has a gradient for has none afterwards, as if one had computed all parts.
        """
        if self.count == 1:
            return
        known = list(parameters)
        touched = self._reduced(
            torch.tensor([float(p.grad is not None) for p in known], device=self.device)
        )
        wanted = [p for p, times in zip(known, touched.tolist(), strict=True) if times]
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in wanted]
        )
        summed = torch.split(self._reduced(flat), [p.numel() for p in wanted])
        for parameter, part in zip(wanted, summed, strict=True):
            parameter.grad = part.view_as(parameter)

    def wait(self) -> None:
        """Go on when all processes are here."""
        self._accelerator.wait_for_everyone()

    def _reduced(self, tensor: Tensor) -> Tensor:
        reduced: Tensor = self._accelerator.reduce(tensor, reduction="sum")
        return reduced
