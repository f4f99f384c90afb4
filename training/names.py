"""Names that the command line takes, apart so that asking for help loads no torch."""

from __future__ import annotations

from typing import Literal

#: Masked words; a teacher's last layer; its vectors of sentences; how its tokens relate; masked
#: words and distillation whose weight falls to zero.
ObjectiveName = Literal["mlm", "kd", "sentences", "relations", "inherit"]
