"""Names that the command line takes, apart so that asking for help loads no torch."""

from __future__ import annotations

from typing import Literal

__all__ = ["Aim"]

#: Masked words; a teacher's last layer; how its tokens relate; masked words with a fading teacher.
Aim = Literal["mlm", "kd", "relations", "inherit"]
