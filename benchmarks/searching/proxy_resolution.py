"""From which difference on does a better score mean a better slice?

A search scores slices on 64 held-out sequences. The best of the committed table of
`search_methods.py`, all near one latency limit, are scored again on other held-out sequences, three
times as many: of pairs whose scores lie so and so far apart, how many keep their order? Below that
difference the last per cent of a latency limit cannot be told to be of use.

    python -m benchmarks.searching.proxy_resolution
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.stats import kendalltau

from atb.data.corpus.samples import held_out
from atb.data.corpus.shards import Shard, TokenShards
from atb.models.architecture import Architecture
from atb.models.superplm.bundled import load_superplm
from atb.search.scoring.proxy import SEQUENCES, DistillationProxy
from benchmarks.searching.search_methods import TABLE
from benchmarks.shared.record import machine, write_result

#: Differences between scores, from one to the next.
EDGES = (0.0, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.012)


def main() -> None:
    """Score the best of the table on other text, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--best", type=int, default=100, help="Number of the best architectures of the table."
    )
    parser.add_argument("--sequences", type=int, default=3 * SEQUENCES)
    arguments = parser.parse_args()
    started = machine()
    with TABLE.open(newline="") as lines:
        table = {row["architecture"]: float(row["score"]) for row in csv.DictReader(lines)}
    best = sorted(table, key=table.__getitem__, reverse=True)[: arguments.best]
    architectures = [Architecture.parse(text) for text in best]
    known = np.array([table[text] for text in best])

    superplm = load_superplm("mini")
    # the table is this SuperPLM's and the search's own text's, or nothing below means anything
    again = DistillationProxy(superplm).score(architectures[:3])
    assert np.allclose(np.array(again, dtype=float), known[:3], atol=1e-4)

    proxy = DistillationProxy(superplm, other_text(arguments.sequences))
    other = np.array(proxy.score(architectures), dtype=float)
    first, second = np.triu_indices(len(best), k=1)
    apart = known[first] - known[second]
    keeps = other[first] > other[second]
    pairs = [
        {
            "scores_apart": [low, high],
            "pairs": int(within.sum()),
            "keep_their_order": round(float(keeps[within].mean()), 3),
        }
        for low, high in pairwise(EDGES)
        if (within := (apart >= low) & (apart < high)).any()
    ]
    figures = {
        "architectures": len(best),
        "scores": [float(known[-1]), float(known[0])],
        "sequences": [SEQUENCES, arguments.sequences],
        "kendall_tau": round(float(kendalltau(known, other).statistic), 3),
        "pairs": pairs,
        "best_is_now_number": int((other > other[0]).sum()) + 1,
    }
    print(figures)
    print(write_result("proxy_resolution", figures, started))


def other_text(count: int) -> TokenShards:
    """Held-out sequences that searches do not score on, spread evenly over the books."""
    whole = held_out()
    (shard,) = whole.shards
    used = np.linspace(0, len(whole) - 1, SEQUENCES).astype(int)
    unused = np.setdiff1d(np.arange(len(whole)), used)
    places = unused[np.linspace(0, len(unused) - 1, count).astype(int)]
    sequences = np.split(shard.tokens, np.cumsum(shard.lengths)[:-1])
    tokens = np.concatenate([sequences[place] for place in places])
    lengths = shard.lengths[places]
    content = hashlib.sha256(tokens.tobytes() + lengths.tobytes()).hexdigest()
    return replace(whole, shards=(Shard(tokens, lengths),), sha256=content)


if __name__ == "__main__":
    main()
