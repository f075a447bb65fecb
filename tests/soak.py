"""How often the long tests repeat: a few times by default, in full with `WEIR_SOAK=1` (`make soak`)."""

from __future__ import annotations

import os

IS_SOAK = os.environ.get("WEIR_SOAK") == "1"


def repeats(few: int, *, full: int = 200) -> int:
    """`full` in a soak, else `few`."""
    return full if IS_SOAK else few
