"""Slices of a SuperPLM as they compute once they are deployed in int8."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from atb.errors import InputError
from atb.models import Architecture
from atb.models.superplm import SuperPLM, TinyBertOutput
from atb.search.scoring.graphs import INT8_FILE, open_session, write_graphs


class Int8Slices(SuperPLM):
    """A SuperPLM whose slices run as the int8 file that an export of them would write.

    Heads and the projection stay in float32: they are small, and no part of what is timed.
    """

    def __init__(self, superplm: SuperPLM) -> None:
        """Share the weights of a SuperPLM, which must not be trained meanwhile."""
        nn.Module.__init__(self)
        vars(self).update(vars(superplm))
        self._ready: tuple[Architecture, Any] | None = None

    def forward(
        self,
        architecture: Architecture,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        attention_states: bool = False,
    ) -> TinyBertOutput:
        """Run a slice in int8; see `SuperPLM.forward`. Attention states are not to be had."""
        assert not attention_states
        ids = input_ids.numpy()
        feeds = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids)
            if attention_mask is None
            else attention_mask.numpy(),
            "token_type_ids": np.zeros_like(ids)
            if token_type_ids is None
            else token_type_ids.numpy(),
        }
        names = ["last_hidden_state", "pooler_output"]
        hidden, pooled = self._session(architecture).run(names, feeds)
        return TinyBertOutput(torch.from_numpy(hidden), torch.from_numpy(pooled))

    def _session(self, architecture: Architecture) -> Any:
        """The slice's session; it is made once, since its batches come one after the other."""
        if self._ready is None or self._ready[0] != architecture:
            self._ready = None
            with tempfile.TemporaryDirectory() as folder:
                write_graphs(self.extract(architecture), Path(folder))
                self._ready = architecture, open_session(Path(folder) / INT8_FILE)
        return self._ready[1]


def as_deployed(superplm: SuperPLM, precision: str) -> SuperPLM:
    """A SuperPLM whose slices compute as models in this precision do.

    Raises:
        InputError: There is no telling what the precision costs.
    """
    if precision == "fp32":
        return superplm
    if precision == "int8":
        return Int8Slices(superplm)
    raise InputError(f"What {precision} costs a model cannot be scored: choose fp32 or int8.")
