"""Finds every register and every block of the maps, so that a new one is tested by being there."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import harness.hardware
from harness.hardware.block import Array, At, AtArray, Block, Sub
from harness.hardware.register import Register


def modules() -> list[ModuleType]:
    """All modules of the package."""
    return [
        importlib.import_module(f"harness.hardware.{m.name}") for m in pkgutil.iter_modules(harness.hardware.__path__)
    ]


def _classes(kind: type) -> list[type]:
    found = {
        item
        for module in modules()
        for item in vars(module).values()
        if inspect.isclass(item) and issubclass(item, kind) and item is not kind and item.__module__ == module.__name__
    }
    return sorted(found, key=lambda c: (c.__module__, c.__name__))


def registers() -> list[type[Register]]:
    """All register classes."""
    return _classes(Register)


def blocks() -> list[type[Block]]:
    """All block classes."""
    return _classes(Block)


def members(block: type[Block]) -> dict[str, Any]:
    """The `At`, `AtArray`, `Sub` and `Array` members of a block and its bases, by name."""
    found: dict[str, Any] = {}
    for base in reversed(block.__mro__):
        found.update({n: i for n, i in vars(base).items() if isinstance(i, At | AtArray | Sub | Array)})
    return found


def layout(block: type[Block], offset: int = 0) -> Iterator[tuple[str, int, At[Any] | AtArray[Any]]]:
    """Every register of a block, nested ones too: name, offset, declaration."""
    for name, item in members(block).items():
        if isinstance(item, At):
            yield name, offset + item.offset, item
        elif isinstance(item, AtArray):
            for index in range(item.count):
                yield f"{name}[{index}]", offset + item.offset + index * item.stride, item
        elif isinstance(item, Sub):
            for inner, at, declared in layout(item.block, offset + item.offset):
                yield f"{name}.{inner}", at, declared
        else:
            for index in range(item.count):
                for inner, at, declared in layout(item.block, offset + item.offset + index * item.stride):
                    yield f"{name}[{index}].{inner}", at, declared
