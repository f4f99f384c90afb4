"""Cut an architecture out of the bundled SuperPLM and teach it a task of GLUE's form.

Run it by `python examples/fine_tune_a_slice.py`. The rows are invented, in the layout of SST-2's
published files; put the folder of the real ones in their place.
"""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

from atb.data.tasks import GLUE
from atb.data.tokenizer import read_vocabulary, tokenizer_of
from atb.models import Architecture
from atb.models.superplm import load_superplm, save_folder
from atb.training.finetuning import fine_tune, with_changes

LIKED = ("a warm and moving story", "the actors are a delight", "funny from start to end")
DISLIKED = ("a dull and endless mess", "the plot makes no sense", "not worth the ticket")


def write_rows(folder: Path) -> None:
    """Training and development files."""
    for split, remarks in (
        ("train", ("", "today , ", "frankly , ", "again , ")),
        ("dev", ("so , ",)),
    ):
        rows = [
            f"{remark}{text} .\t{label}"
            for remark, (label, texts) in product(remarks, enumerate((DISLIKED, LIKED)))
            for text in texts
        ]
        (folder / f"{split}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")


def main() -> None:
    """Extract a slice, fine-tune it, print its score."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_rows(folder)
        model = load_superplm("mini").extract(Architecture.parse("L2-H128-A4-Q128-F256"))
        save_folder(model, tokenizer_of(read_vocabulary()), folder / "model")
        settings = with_changes(
            "sst2", epochs=10, learning_rate=1e-3, batch_size=8, evaluation_steps=9
        )
        found = fine_tune(
            str(folder / "model"), GLUE["sst2"], str(folder), settings, folder / "finetuned"
        )
        print(f"development accuracy {found.scores['dev']['accuracy']:.2f}")


if __name__ == "__main__":
    main()
