"""How much of the long tests is done: a sample in `make test`, everything in `make test-all` (TRAPGATE_THOROUGH=1)."""

from __future__ import annotations

import os

THOROUGH = os.environ.get("TRAPGATE_THOROUGH", "") not in ("", "0")


def scaled(sample: int, everything: int) -> int:
    """One of the two."""
    return everything if THOROUGH else sample
