"""How the winner of a search is improved, from the words of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from atb.commands.arguments.groups import Options, option
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.data import TextModel
    from atb.data.corpus import TokenShards
    from atb.deploy import Improvement

#: Tokens of a text for --improve that are read: more than days of training go over.
MOST_TOKENS = 50_000_000


class ImprovementOptions(Options, panel="Improvement"):
    """How the winner is improved before it is handed over."""

    improve: str | None = option(
        default=None,
        metavar="DURATION",
        help="Train the winner on its teacher's vectors of sentences for this long, such as 10min; "
        "by default it is handed over as it was cut out. Its latency stays.",
    )
    sentences: Path | None = option(
        default=None,
        metavar="FILE|DIR",
        help="Let it learn from this text, a file or a folder of files or of token shards; by "
        "default from the bundled English sample.",
    )

    def read(self, model: TextModel, out: Path) -> Improvement | None:
        """What is asked for, with the text in a model's words.

        Args:
            model: The SuperPLM's text model.
            out: Folder that the text is prepared in.

        Raises:
            InputError: The duration or the text cannot be read, or there is no duration.
        """
        from atb.deploy import Improvement
        from atb.units import parse_duration

        if self.improve is None:
            if self.sentences is not None:
                raise InputError("--sentences is text for --improve: say how long, such as 10min.")
            return None
        seconds = parse_duration(self.improve)
        if self.sentences is None:
            return Improvement(seconds)
        return Improvement(seconds, self._shards(self.sentences, model, out / "sentences"))

    @staticmethod
    def _shards(text: Path, model: TextModel, out: Path) -> TokenShards:
        from atb.data.corpus import Corpus, TokenShards, prepare
        from atb.deploy import SENTENCE_TOKENS
        from atb.training.one_shot import open_text

        if TokenShards.are_in(text):
            return open_text(text, model)
        prepare(
            Corpus(text),
            out,
            sequence_length=SENTENCE_TOKENS,
            single_sentences=True,
            vocabulary=model.vocabulary,
            limit_tokens=MOST_TOKENS,
        )
        return TokenShards.open(out)
