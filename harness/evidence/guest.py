"""`Guest`: a guest that is ready to boot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.assembly import ListingLine
from harness.image.image import Image
from harness.kernel.program import Program

__all__ = ["Guest"]


@dataclass(frozen=True)
class Guest:
    """The program as its builder left it, and the image that boots."""

    program: Program
    image: Image

    @property
    def lines(self) -> tuple[ListingLine, ...]:
        """The program's listing."""
        return self.image.lines

    @property
    def symbols(self) -> Mapping[str, int]:
        """Every symbol of the image."""
        return self.image.symbols
