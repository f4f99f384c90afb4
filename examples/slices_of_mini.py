"""Take an architecture out of the bundled SuperPLM and use it as a transformers model.

Run it by `python examples/slices_of_mini.py`.
"""

from __future__ import annotations

import torch

from atb.data.tokenizer import read_vocabulary
from atb.models import Architecture
from atb.models.superplm import load_superplm

SENTENCES = (
    "The ferry crosses the bay at noon.",
    "A boat goes over the water at midday.",
    "Interest rates fell by a quarter point.",
)


def main() -> None:
    """Extract a slice, embed three sentences, print how alike they are."""
    superplm = load_superplm("mini")
    model = superplm.extract(Architecture.parse("L4-H256-A8-Q256-F768"))
    tokenizer = read_vocabulary().tokenizer()
    vectors = []
    for sentence in SENTENCES:
        ids = torch.tensor([tokenizer.encode(sentence).ids])
        with torch.no_grad():
            hidden = model(input_ids=ids).last_hidden_state
            vectors.append(model.projection(hidden).mean(dim=1)[0])
    like = torch.nn.functional.cosine_similarity
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    print(f"ferry and boat: {like(vectors[0], vectors[1], dim=0):.2f}")
    print(f"ferry and rates: {like(vectors[0], vectors[2], dim=0):.2f}")


if __name__ == "__main__":
    main()
