"""Sections in compressed chunks: the browser unpacks one with `DecompressionStream("deflate")` when it is opened."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from collections.abc import Sequence

__all__ = ["PER_CHUNK", "pack"]

PER_CHUNK = 16


def pack(sections: Sequence[str]) -> list[str]:
    """Base64 of zlib of a JSON list, for each `PER_CHUNK` sections. An empty one is in the page itself."""
    return [
        b64encode(zlib.compress(json.dumps(sections[at : at + PER_CHUNK]).encode(), 9)).decode()
        for at in range(0, len(sections), PER_CHUNK)
    ]
