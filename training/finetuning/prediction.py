"""Running a model over the features of a task, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from atb.data.tasks import Feature, Outputs

#: A batch of features, padded, by the names that models read them by.
Inputs = dict[str, Tensor]

_BY_TOKEN = ("input_ids", "token_type_ids", "attention_mask")
_LABELS = ("labels", "start_positions", "end_positions")


def collated(features: Sequence[Feature], pad: int) -> Inputs:
    """Features as one batch.

    Args:
        features: At least one; what models do not read is left out.
        pad: Number of the padding token.

    Returns:
        [batch, longest] for what each token has, [batch] for labels.
    """
    longest = max(len(feature["input_ids"]) for feature in features)
    batch: Inputs = {}
    for name in _BY_TOKEN:
        if name in features[0]:
            padded = np.full((len(features), longest), pad if name == "input_ids" else 0, np.int64)
            for row, feature in zip(padded, features, strict=True):
                row[: len(feature[name])] = feature[name]
            batch[name] = torch.from_numpy(padded)
    for name in _LABELS:
        if name in features[0]:
            batch[name] = torch.tensor([feature[name] for feature in features])
    return batch


@torch.no_grad()
def outputs_of(
    run: Callable[[Inputs], Sequence[Tensor]],
    features: Sequence[Feature],
    pad: int,
    *,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Outputs:
    """Logits of a model for all features.

    Features of like length go together, so that little is padding.

    Args:
        run: Computes the logits of a batch: one tensor for each output, [batch, ...].
        features: What the model reads; at least one.
        pad: Number of the padding token.
        batch_size: Features in one forward pass.
        progress: Called with features done and all features.

    Returns:
        For each output, float32 [features, ...]; where the tokens have one, as wide as the longest
        feature.
    """
    lengths = [len(feature["input_ids"]) for feature in features]
    # the longest first: where memory is too small, it is found out at once
    order = np.argsort(lengths, kind="stable")[::-1]
    outputs: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        found = run(collated([features[place] for place in places], pad))
        arrays = [tensor.float().cpu().numpy() for tensor in found]
        if not outputs:
            outputs = [np.zeros((len(features), *array.shape[1:]), np.float32) for array in arrays]
        for whole, array in zip(outputs, arrays, strict=True):
            whole[places, : array.shape[1]] = array
        if progress is not None:
            progress(min(start + batch_size, len(order)), len(order))
    return outputs
