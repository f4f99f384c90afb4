"""Published architectures by name; a name is accepted wherever an architecture is."""

from __future__ import annotations

import difflib

from atb.errors import BadArchitecture
from atb.models.architecture import Architecture

# name -> (layers, hidden, heads, query/key/value width, feed-forward)
_TABLE: dict[str, tuple[int, int, int, int, int]] = {
    # Devlin et al. 2019; Sanh et al. 2019; Jiao et al. 2020; Wang et al. 2020
    "bert-base": (12, 768, 12, 768, 3072),
    "distilbert": (6, 768, 12, 768, 3072),
    "tinybert-4": (4, 312, 12, 312, 1200),
    "tinybert-6": (6, 768, 12, 768, 3072),
    "minilm-6": (6, 384, 12, 384, 1536),
    "minilm-12": (12, 384, 12, 384, 1536),
    # Turc et al. 2019, Google's miniatures
    "bert-tiny": (2, 128, 2, 128, 512),
    "bert-mini": (4, 256, 4, 256, 1024),
    "bert-small": (4, 512, 8, 512, 2048),
    "bert-medium": (8, 512, 8, 512, 2048),
    # Yin et al. 2021: found in the MLM space and in the KD space
    "s1": (5, 564, 8, 512, 1054),
    "s2": (4, 396, 6, 384, 624),
    "s3": (4, 432, 4, 256, 384),
    "s4": (3, 320, 4, 256, 608),
    "kd-s1": (5, 564, 12, 528, 1024),
    "kd-s2": (5, 324, 12, 324, 600),
    "kd-s3": (5, 280, 12, 276, 512),
    "kd-s4": (4, 256, 12, 192, 480),
    # the hand-designed baselines that the authors set beside them
    "s1-hand": (4, 512, 8, 512, 2048),
    "s2-hand": (4, 320, 5, 320, 1280),
    "s3-hand": (4, 256, 4, 256, 1024),
    "s4-hand": (4, 192, 3, 192, 768),
    "kd-s1-hand": (4, 512, 12, 516, 2048),
    "kd-s2-hand": (4, 312, 12, 312, 1200),
    "kd-s3-hand": (4, 264, 12, 264, 1056),
    "kd-s4-hand": (4, 192, 12, 192, 768),
    # the largest member of the paper's spaces
    "superplm": (8, 768, 12, 768, 3072),
}

PUBLISHED: dict[str, Architecture] = {name: Architecture(*shape) for name, shape in _TABLE.items()}
# the full grid of the miniatures: hidden H has H/64 heads and a feed-forward of 4H
PUBLISHED |= {
    f"miniature-{layers}-{hidden}": Architecture(layers, hidden, hidden // 64, hidden, 4 * hidden)
    for layers in (2, 4, 6, 8, 10, 12)
    for hidden in (128, 256, 512, 768)
}
#: The same, under the name that `atb` hands on.
KNOWN = PUBLISHED


def resolve(text: str) -> Architecture:
    """Turn a published name or the text form into an architecture.

    Raises:
        BadArchitecture: It is neither.
    """
    name = text.strip().lower()
    if name in PUBLISHED:
        return PUBLISHED[name]
    if not name.startswith("l") or "-h" not in name:
        close = difflib.get_close_matches(name, PUBLISHED, n=1)
        hint = f"did you mean {close[0]}?" if close else "see `atb space list` for the names."
        raise BadArchitecture(
            f"There is no architecture {text!r}: write it like L4-H312-A12-Q312-F1200; {hint}"
        )
    return Architecture.parse(text)
