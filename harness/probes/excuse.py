"""Assertions that a recorded deviation excuses: the judgement continues after them, so that the others still count."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

__all__ = ["Excuse", "excused", "excusing", "make_excusable"]

Excuse: TypeAlias = Callable[[AssertionError], bool]
"""Whether a recorded deviation explains this failure."""

_NAME: Final = "@trapgate_excused"
"""Of `excused` in the code of a probe file. No name that a source can hold."""

_current: Excuse | None = None


@contextmanager
def excusing(excuse: Excuse) -> Iterator[None]:
    """Call `excuse` for each assertion of a probe file that fails. Without it each raises, as usual."""
    global _current
    before, _current = _current, excuse
    try:
        yield
    finally:
        _current = before


def excused(error: AssertionError) -> bool:
    """Whether the probe continues after this assertion."""
    return _current is not None and _current(error)


class _Wrap(ast.NodeTransformer):
    """`assert x` becomes `try: assert x` / `except AssertionError as e: if not excused(e): raise`."""

    def visit_Assert(self, node: ast.Assert) -> ast.Try:
        caught = "@trapgate_failure"
        call = ast.Call(ast.Name(_NAME, ast.Load()), [ast.Name(caught, ast.Load())], [])
        again = ast.If(ast.UnaryOp(ast.Not(), call), [ast.Raise()], [])
        handler = ast.ExceptHandler(ast.Name("AssertionError", ast.Load()), caught, [again])
        wrapped = ast.Try([node], [handler], [], [])
        return ast.fix_missing_locations(ast.copy_location(wrapped, node))


def make_excusable(tree: ast.Module) -> None:
    """Change a module of probes so that `excused` decides about each assertion that fails."""
    _Wrap().visit(tree)
    position = 0
    while position < len(tree.body) - 1 and _is_head(tree.body[position]):
        position += 1
    tree.body.insert(position, ast.ImportFrom(__name__, [ast.alias("excused", _NAME)], 0))
    ast.fix_missing_locations(tree)


def _is_head(statement: ast.stmt) -> bool:
    """Whether a statement must stay first: the docstring, or `from __future__ import …`."""
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__"
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
