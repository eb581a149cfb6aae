"""The error of a probe that is not well formed."""

from __future__ import annotations

__all__ = ["ProbeError"]


class ProbeError(Exception):
    """A probe that is not well formed; the text has the place, what was expected and what to do."""
