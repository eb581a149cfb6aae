"""Blocks of the guest program: verbs of the builder that are written `with k.verb(…):`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from harness.assembly import Origin

__all__ = ["ProgramBlock", "block"]


class _Program(Protocol):
    blocks: list[ProgramBlock]

    def origin(self) -> Origin: ...
    def error(self, text: str) -> Exception: ...


class _Builder(Protocol):
    @property
    def program(self) -> Any: ...


P = ParamSpec("P")
T = TypeVar("T")
B = TypeVar("B", bound=_Builder)


class ProgramBlock(AbstractContextManager[None]):
    """A block that the program must enter once. One that is never entered or left is an error when the program ends."""

    def __init__(self, program: _Program, name: str, inner: AbstractContextManager[None]) -> None:
        self._program = program
        self._inner = inner
        self.name = name
        self.origin = program.origin()
        self.entered = False
        self.left = False
        program.blocks.append(self)

    def __enter__(self) -> None:
        if self.entered:
            raise self._program.error(f"the block {self.name}(…) is entered a second time; call {self.name} again")
        self.entered = True
        self._inner.__enter__()

    def do(self, action: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The block with one call as its only step: `k.handler(0x50).do(k.lines.down, 5)`. Returns what it returns."""
        with self:
            return action(*args, **kwargs)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self.left = True
        return self._inner.__exit__(kind, error, trace)


def block(method: Callable[Concatenate[B, P], Iterator[None]]) -> Callable[Concatenate[B, P], ProgramBlock]:
    """Decorator of a builder's verb that opens a block, in place of `contextlib.contextmanager`."""
    inner = contextmanager(method)

    @wraps(method)
    def verb(self: B, /, *args: P.args, **kwargs: P.kwargs) -> ProgramBlock:
        return ProgramBlock(self.program, method.__name__, inner(self, *args, **kwargs))

    return verb
