"""Whether the written ONNX files compute what the model computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from atb.errors import RunError
from atb.search.scoring import FP32_FILE, INT8_FILE, head_of, open_session

if TYPE_CHECKING:
    from atb.data.corpus import TokenShards
    from atb.models.superplm import TinyBertPreTrainedModel

#: Largest difference between onnxruntime and torch in fp32.
TOLERANCE = 1e-4
#: Cosine between outputs in int8 and fp32 on real text below which something is broken.
_WORST_INT8_COSINE = 0.90
#: Sequences on which what was written is checked.
CHECK_SEQUENCES = 8


def check_graphs(
    model: TinyBertPreTrainedModel, folder: Path, text: TokenShards
) -> tuple[float, float]:
    """Compare the written graphs with torch, on text of several lengths and batch sizes.

    Args:
        model: The model that was written.
        folder: Folder of the graphs.
        text: Text in the model's vocabulary, at least `CHECK_SEQUENCES` sequences.

    Returns:
        Largest difference in fp32, and the mean cosine of int8.
    """
    import torch

    run = model if head_of(model) else model.base_model
    difference = 0.0
    cosines = []
    fp32, int8 = (open_session(folder / name) for name in (FP32_FILE, INT8_FILE))
    for batch in ([0], [1, 2], range(3, CHECK_SEQUENCES)):
        ids, mask = text.batch(list(batch))
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        with torch.no_grad():
            wanted = run(**{name: torch.from_numpy(a) for name, a in feeds.items()})
        exact, quantised = _outputs(fp32, feeds), _outputs(int8, feeds)
        for name, values in exact.items():
            difference = max(difference, float(np.abs(values - wanted[name].numpy()).max()))
        cosines.append(_cosine(_compared(quantised, mask), _compared(exact, mask)))
    cosine = float(np.mean(np.concatenate(cosines)))
    if not difference <= TOLERANCE:
        raise RunError(
            f"The written {FP32_FILE} differs from torch by {difference:.2g}, more than "
            f"{TOLERANCE:g}: check the installation of onnx and onnxruntime."
        )
    if not cosine >= _WORST_INT8_COSINE:
        raise RunError(
            f"The written {INT8_FILE} agrees with fp32 only to a cosine of {cosine:.2f}: this "
            "processor's int8 cannot be trusted; use model.onnx of a search in fp32."
        )
    return difference, cosine


def describe_checks(difference: float, cosine: float) -> tuple[str, str]:
    """Describe in sentences what `check_graphs` found."""
    return (
        f"`{FP32_FILE}` differs from torch by at most {difference:.1e}.",
        f"`{INT8_FILE}`: mean cosine {cosine:.4f} to float32 on held-out text.",
    )


def _outputs(session: Any, feeds: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def _compared(
    outputs: Mapping[str, npt.NDArray[np.float32]], mask: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """What int8 is judged by: means of hidden states [B, H], or all logits of a head as one row."""
    if "last_hidden_state" in outputs:
        return _mean(outputs["last_hidden_state"], mask)
    return np.concatenate([values.ravel() for values in outputs.values()])[None]


def _mean(hidden: npt.NDArray[np.float32], mask: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Mean over tokens but padding: [B, T, H] -> [B, H]."""
    return np.asarray((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True), np.float32)


def _cosine(
    one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.asarray((one * other).sum(-1) / lengths, np.float32)
