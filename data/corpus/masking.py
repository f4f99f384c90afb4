"""Masking for the masked-language-model objective, drawn anew for every batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atb.data.tokenizer import SpecialTokens

#: Label of the positions that the loss leaves out; the default of torch's cross-entropy.
IGNORED = -100
#: BERT's bound on the masked positions of one sequence.
MOST_MASKED = 77


def mask_tokens(
    ids: npt.NDArray[np.int64],
    attention_mask: npt.NDArray[np.int64],
    rng: np.random.Generator,
    *,
    probability: float = 0.15,
    vocabulary_size: int,
    special: SpecialTokens = SpecialTokens(),  # noqa: B008 -- frozen
    most: int = MOST_MASKED,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Choose positions to predict: 80 % become the mask, 10 % a random token, 10 % stay.

    Each sequence gets `probability` of its ordinary tokens, at least one and at most `most`;
    with probability 0 nothing is masked at all.

    Args:
        ids: Tokens [n, T]; not changed.
        attention_mask: 1 where there is a token [n, T].
        rng: Source of the draws.
        probability: Share of the ordinary tokens that is chosen.
        vocabulary_size: Random tokens are drawn below it.
        special: The mask, and what is never chosen.
        most: Bound on the chosen positions of one sequence.

    Returns:
        Masked tokens [n, T], and labels [n, T] that are `IGNORED` where nothing was chosen.
    """
    ordinary = (attention_mask != 0) & ~np.isin(
        ids, [special.pad, special.cls, special.sep, special.mask]
    )
    candidates = ordinary.sum(axis=1)  # [n]
    counts = np.floor(candidates * probability + 0.5)
    if probability > 0:
        counts = np.maximum(counts, 1)
    counts = np.minimum(np.minimum(counts, most), candidates)

    # the rank of each ordinary token in a random order of its sequence; the others come last
    keys = np.where(ordinary, rng.random(ids.shape), 2.0)
    ranks = np.argsort(np.argsort(keys, axis=1), axis=1)
    chosen = ranks < counts[:, None]

    fate = rng.random(ids.shape)
    random_tokens = rng.integers(vocabulary_size, size=ids.shape)
    masked = np.where(chosen & (fate < 0.8), special.mask, ids)
    masked = np.where(chosen & (fate >= 0.9), random_tokens, masked)
    labels = np.where(chosen, ids, IGNORED)
    return masked.astype(np.int64), labels.astype(np.int64)
