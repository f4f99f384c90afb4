"""What a training step sees."""

from __future__ import annotations

import numpy as np

from atb.data.corpus.shards import TokenShards
from atb.training.batches import Batches, TextSource


def test_parts_by_length_hold_all_sequences_of_a_batch_with_little_padding(
    text: TokenShards,
) -> None:
    plain, by_length = (
        Batches(
            TextSource(text), size=16, parts=4, mask_probability=0.0, seed=1, by_length=by_length
        ).of_step(2)
        for by_length in (False, True)
    )
    seen = [np.concatenate([part.rows for part in parts]) for parts in (plain, by_length)]
    assert sorted(seen[0]) == sorted(seen[1])
    lengths = [part.input_ids.shape[1] for part in by_length]
    assert lengths == sorted(lengths)
    padding = [
        sum(int((p.attention_mask == 0).sum()) for p in parts) for parts in (plain, by_length)
    ]
    assert padding[1] < padding[0] / 2
