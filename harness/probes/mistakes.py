"""Mistakes in a probe's Python code, as errors that name the probe's line and the nearest valid name."""

from __future__ import annotations

import difflib
import inspect
import re
import traceback
from pathlib import Path

from harness.hardware.block import Block, PlaceholderError
from harness.hardware.register import FieldError
from harness.probes.probe import probe

__all__ = ["MISTAKES", "explain_mistake", "remedy"]

MISTAKES = (FieldError, PlaceholderError, AttributeError)
_HARNESS = str(Path(__file__).resolve().parents[1])
_SHOWN = {"Kernel": "k", "Run": "run"}  # class → the name that probes give its object


def explain_mistake(error: BaseException, probe: Path) -> str:
    """`FILE:LINE: what is wrong`, where the line is the innermost one of the probe's file, or else outside the harness.

    An unknown attribute gets the object's nearest valid name.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) == probe]
    own = own or [frame for frame in frames if not frame.filename.startswith(_HARNESS)]
    text = _unknown_name(error) if isinstance(error, AttributeError) else str(error)
    return f"{_short(own[-1].filename)}:{own[-1].lineno}: {text}" if own else text


def _short(file: str) -> str:
    path = Path(file)
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else file


def _unknown_name(error: AttributeError) -> str:
    owner, name = error.obj, error.name
    kind = type(owner)
    if not name or not kind.__module__.startswith("harness."):
        return str(error)
    shown = _SHOWN.get(kind.__name__, kind.__name__)
    if isinstance(owner, Block):
        shown = owner.name
    names = [known for known in dir(owner) if not known.startswith("_")]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Expected one of: {', '.join(names[:12])}"
    return f"{shown} has no attribute {name!r}. {hint}"


_KEYWORD = re.compile(r"_Decorator\.__call__\(\) .*argument:? '(\w+)'")


def remedy(error: BaseException, path: Path) -> str:
    """What to do about an error that a probe file raises while it is loaded; empty where that is not known."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        first = error.name.partition(".")[0]
        if (path.parent / f"{first}.py").exists() or (path.parent / first).is_dir():
            return f". {first} is beside this file. To fix: from . import {first}, or from .{first} import …"
    if isinstance(error, TypeError) and (match := _KEYWORD.search(str(error))) is not None:
        options = list(inspect.signature(probe.__call__).parameters)
        if match[1] in options:
            return f". To fix: @probe({match[1]}=…)"
        near = difflib.get_close_matches(match[1], options, n=1)
        hint = f"Did you mean {near[0]}=?" if near else f"Expected: {', '.join(options)}"
        return f". @probe has no option {match[1]}=. {hint}"
    return ""
