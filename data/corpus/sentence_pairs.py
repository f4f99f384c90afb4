"""Pairs of sentences: what a model of sentences is judged by, held out from all training."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atb.data.corpus.shards import TokenShards
from atb.data.tokenizer import Vocabulary
from atb.errors import BadFile
from atb.text_files import opened_text

#: English pairs of our own invention with degrees of likeness, see samples/ORIGIN.md.
SHIPPED_PAIRS = Path(__file__).parents[1] / "samples" / "sentence_pairs_en.tsv"
#: Fewer pairs rank nothing.
_FEWEST = 10


@dataclass(frozen=True, slots=True)
class SentencePairs:
    """Pairs of sentences, with labels where somebody graded them.

    Attributes:
        first: One sentence of each pair.
        second: The other.
        scores: How alike they are, the higher the more, in any unit; None where nobody said.
        name: Where they come from, in words.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    scores: tuple[float, ...] | None
    name: str

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.first)

    @classmethod
    def read(cls, path: Path | None = None) -> SentencePairs:
        """Read a table with the columns `first`, `second` and, where pairs are graded, `score`.

        Args:
            path: CSV, or TSV by its ending; the shipped pairs when None.

        Raises:
            BadFile: It is no such table, or has fewer than ten pairs.
        """
        file = path or SHIPPED_PAIRS
        rows = _rows(file)
        if len(rows) < _FEWEST:
            raise BadFile(f"{file} has {len(rows)} pairs: give at least {_FEWEST}.")
        scores = [_score(row["score"], file, line) for row, line in rows if "score" in row]
        return cls(
            tuple(row["first"] for row, _ in rows),
            tuple(row["second"] for row, _ in rows),
            tuple(scores) or None,
            "the shipped sentence pairs" if path is None else str(path),
        )

    def tokens(self, vocabulary: Vocabulary, sequence_length: int) -> TokenShards:
        """All first sentences, then all second ones, each a sequence `[CLS] ... [SEP]`.

        Args:
            vocabulary: Cuts sentences into tokens.
            sequence_length: Tokens at which a longer sentence is cut off.
        """
        tokenizer = vocabulary.tokenizer()
        tokenizer.encode_special_tokens = True
        sentences: Sequence[str] = (*self.first, *self.second)
        encodings = tokenizer.encode_batch_fast(list(sentences), add_special_tokens=False)
        special, room = vocabulary.special, sequence_length - 2
        sequences = [[special.cls, *found.ids[:room], special.sep] for found in encodings]
        return TokenShards.of_sequences(sequences, vocabulary, sequence_length)


def _rows(file: Path) -> list[tuple[dict[str, str], int]]:
    """The rows of a table with the number of the line that each ends in.

    Raises:
        BadFile: A row is not as the header says.
    """
    mark = "\t" if ".tsv" in file.suffixes else ","
    with opened_text(file) as text:
        reader = csv.DictReader(text, delimiter=mark, restval="", strict=True)
        try:
            columns = reader.fieldnames or ()
            if not {"first", "second"} <= set(columns):
                raise BadFile(
                    f"{file} has the columns {', '.join(columns)[:200] or 'of no header'}: name "
                    "those of the sentences first and second, and that of their likeness score."
                )
            rows = [(row, reader.line_num) for row in reader]
        except csv.Error as error:
            raise BadFile(
                f"{file}, line {reader.line_num} cannot be cut into cells ({error}): double the "
                "quotation marks within sentences."
            ) from error
    for row, line in rows:
        if None in row or any("\n" in cell and mark in cell for cell in row.values()):
            raise BadFile(
                f"{file}, line {line} has other cells than the header: put sentences with "
                "separators in quotation marks, and double those within them."
            )
        if not row["first"].strip() or not row["second"].strip():
            raise BadFile(f"{file}, line {line}: a sentence is empty; remove the line.")
    return rows


def _score(cell: str, file: Path, line: int) -> float:
    try:
        score = float(cell)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise BadFile(f"{file}, line {line}: the score is {cell!r}; give a number.")
    return score
