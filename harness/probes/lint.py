"""Checks the form of a probe function on its syntax tree, before anything boots.

A probe that breaks one of these rules would be judged too early, too late or not at all: it is refused when loaded.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["FunctionNode", "LintFinding", "function_findings", "holds_probe", "module_findings"]

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_BLOCKS: dict[type[ast.AST], str] = {
    ast.With: "with",
    ast.AsyncWith: "async with",
    ast.Try: "try",
    ast.TryStar: "try",
    ast.For: "for",
    ast.AsyncFor: "async for",
    ast.While: "while",
    ast.If: "if",
    ast.Match: "match",
}


@dataclass(frozen=True, order=True)
class LintFinding:
    """One thing that is wrong: the line in the probe's file, and what to do about it."""

    line: int
    text: str


def module_findings(tree: ast.Module) -> list[LintFinding]:
    """What is wrong with the file's functions as a whole: names used twice, decorators that are not called."""
    names = _decorator_names(tree)
    functions = [node for node in tree.body if isinstance(node, FunctionNode)]
    first: dict[str, FunctionNode] = {}
    found = []
    for node in functions:
        bare = [d for d in node.decorator_list if not isinstance(d, ast.Call) and _is_probe(d, names)]
        found += [
            LintFinding(
                d.lineno,
                f"{node.name}: the decorator is not called; write @probe(spec=…), which cites the rule's source",
            )
            for d in bare
        ]
        before = first.setdefault(node.name, node)
        if before is not node and any(_is_probe(d, names) for d in (*before.decorator_list, *node.decorator_list)):
            found.append(
                LintFinding(
                    node.lineno,
                    f"{node.name}: line {before.lineno} defines the same name, and only the last would run; rename one",
                )
            )
    return found


def holds_probe(tree: ast.Module) -> bool:
    """Whether the file defines a probe at its top level: the text of a probe in a string does not count."""
    names = _decorator_names(tree)
    functions = (node for node in tree.body if isinstance(node, FunctionNode))
    return any(_is_probe(decorator, names) for node in functions for decorator in node.decorator_list)


def function_findings(node: FunctionNode, parameters: Sequence[str]) -> list[LintFinding]:
    """What is wrong with one probe function; `parameters` are the names that @probe.each gives values for."""
    found = list(_signature(node, parameters))
    if not (ast.get_docstring(node) or "").strip():
        found.append(LintFinding(node.lineno, f"{node.name}: has no docstring; state the rule there in one sentence"))
    found += _body(node)
    return sorted(found)


def _signature(node: FunctionNode, parameters: Sequence[str]) -> Iterator[LintFinding]:
    arguments = node.args
    positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    for extra in (arguments.vararg, arguments.kwarg):
        if extra is not None:
            yield LintFinding(
                node.lineno,
                f"{node.name}: *{extra.arg} is not allowed; name each parameter and give its values in @probe.each(…)",
            )
    if positional[:1] != ["k"]:
        yield LintFinding(
            node.lineno, f"{node.name}: the first parameter must be the kernel builder: def {node.name}(k: Kernel, …)"
        )
    # a first parameter of another name was meant as the builder, unless it is given values
    values = positional if positional and positional[0] in parameters else positional[1:]
    taken = [*values, *(a.arg for a in arguments.kwonlyargs)]
    for name in taken:
        if name not in parameters:
            yield LintFinding(
                node.lineno, f"{node.name}: nothing gives parameter {name!r} a value; add @probe.each({name}=[…])"
            )
    for name in parameters:
        if name not in taken:
            yield LintFinding(
                node.lineno,
                f"{node.name}: @probe.each({name}=…) names no parameter; add {name!r} to the function's parameters",
            )


def _body(node: FunctionNode) -> Iterator[LintFinding]:
    name = node.name
    yields = [inner for inner in _own(node) if isinstance(inner, ast.Yield | ast.YieldFrom)]
    if isinstance(node, ast.AsyncFunctionDef):
        yield LintFinding(
            node.lineno,
            f"{name}: is an async function; a probe is a plain generator: def {name}(k: Kernel) -> ProbeBody",
        )
        return
    if not yields:
        yield LintFinding(
            node.lineno,
            f"{name}: is not a generator; write `run = yield` between the guest program and its judgement",
        )
        return
    if len(yields) > 1:
        lines = ", ".join(str(inner.lineno) for inner in yields)
        yield LintFinding(
            yields[1].lineno,
            f"{name}: has {len(yields)} yields (lines {lines}); the guest boots once, at exactly one `run = yield`",
        )
        return
    at = next((i for i, statement in enumerate(node.body) if _is_boot(statement, yields[0])), None)
    if at is None:
        yield LintFinding(yields[0].lineno, f"{name}: {_why_not(node, yields[0])}")
        return
    for statement in node.body[:at]:
        for inner in _statements(statement):
            if isinstance(inner, ast.Assert):
                yield LintFinding(
                    inner.lineno,
                    f"{name}: asserts above the yield, where the guest has not run yet; move it below `run = yield`",
                )
    below = [
        inner for statement in node.body[at + 1 :] for inner in _statements(statement) if isinstance(inner, ast.Assert)
    ]
    for inner in below:
        if isinstance(inner.test, ast.Constant) or (isinstance(inner.test, ast.Tuple) and inner.test.elts):
            yield LintFinding(
                inner.lineno,
                f"{name}: this assertion tests a constant, so it does not judge the run; compare evidence",
            )
    if not below:
        yield LintFinding(
            yields[0].lineno,
            f"{name}: asserts nothing below the yield, so it could never fail; assert what the rule demands of `run`",
        )


def _is_boot(statement: ast.stmt, found: ast.expr) -> bool:
    """Whether the statement is `run = yield` (or `run: Run = yield`)."""
    if not isinstance(found, ast.Yield) or found.value is not None:
        return False
    if isinstance(statement, ast.Assign):
        return statement.value is found and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name)
    return isinstance(statement, ast.AnnAssign) and statement.value is found and isinstance(statement.target, ast.Name)


def _why_not(node: FunctionNode, found: ast.expr) -> str:
    if isinstance(found, ast.YieldFrom):
        return "`yield from` is not allowed; write `run = yield` in the probe itself"
    block = _enclosing(node, found)
    if block is not None:
        return f"the yield is inside `{block}`; the guest boots unconditionally, so move `run = yield` out of it"
    if isinstance(found, ast.Yield) and found.value is not None:
        return f"`yield {ast.unparse(found.value)}` gives a value away; write `run = yield`"
    return "the yield does not keep the run, and judgement needs it; write `run = yield`"


def _enclosing(node: ast.AST, target: ast.AST) -> str | None:
    """The innermost block statement around a node, by its keyword."""
    for child in ast.iter_child_nodes(node):
        if child is target or any(inner is target for inner in ast.walk(child)):
            deeper = _enclosing(child, target)
            return deeper or _BLOCKS.get(type(child))
    return None


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below this one, in source order, without those of functions and classes inside it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _SCOPES):
            continue
        yield child
        yield from _own(child)


def _statements(statement: ast.stmt) -> Iterator[ast.AST]:
    if not isinstance(statement, _SCOPES):
        yield statement
        yield from _own(statement)


def _decorator_names(tree: ast.Module) -> set[str]:
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == "probe"
    }


def _is_probe(decorator: ast.expr, names: set[str]) -> bool:
    base = decorator.func if isinstance(decorator, ast.Call) else decorator
    if isinstance(base, ast.Attribute) and base.attr == "each":
        base = base.value
    if isinstance(base, ast.Name):
        return base.id in names
    return isinstance(base, ast.Attribute) and base.attr == "probe"
