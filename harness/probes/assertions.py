"""pytest's assertion rewriting for probe files, the same on the command line and in the plugin.

pytest rewrites only files that match its `python_files`, and only those that its own import hook loads. Probe files
are neither, so they are compiled here through the same rewriter; a failing `assert` then shows the values it compared.
pytest has no public function for this, nor for the explanation of a comparison: hence the imports from `_pytest`.
"""

from __future__ import annotations

import ast
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import CodeType
from typing import TYPE_CHECKING

from _pytest.assertion import util
from _pytest.assertion.rewrite import rewrite_asserts

from harness.evidence.failures import RunBroken
from harness.evidence.vectors import explain_vectors, missing_vector
from harness.probes.excuse import make_excusable

if TYPE_CHECKING:
    from _pytest.config import Config

__all__ = ["Comparisons", "compile_rewritten", "explained_comparisons"]


def compile_rewritten(source: bytes, path: str) -> CodeType:
    """Code of a module whose `assert` statements explain themselves. Raises SyntaxError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the lint reports it, with the line
        tree = ast.parse(source, path)
        make_excusable(tree)
        rewrite_asserts(tree, source, path)
    return compile(tree, path, "exec", dont_inherit=True, optimize=0)


@dataclass
class Comparisons:
    """What the comparisons of a judgement showed. `missing`: the vector that the last one that failed lacks."""

    missing: int | None = None

    def explain(self, op: str, left: object, right: object) -> str | None:
        """The hook of pytest's rewritten assertions."""
        self.missing = missing_vector(op, left, right)
        return _explain(op, left, right)


@contextmanager
def explained_comparisons() -> Iterator[Comparisons]:
    """Let failing comparisons show their differences, in a pytest session the same as outside of one.

    Deviations are matched with that text, so no option and no plugin of a session may change it.
    """
    before = util._reprcompare, util._config
    util._reprcompare, util._config = (seen := Comparisons()).explain, None
    try:
        yield seen
    finally:
        util._reprcompare, util._config = before


def _explain(op: str, left: object, right: object) -> str | None:
    """The text of pytest's comparison hook. Raises RunBroken where the hook fails: then no text can be matched."""
    if (ours := explain_vectors(op, left, right)) is not None:
        return _joined(ours)
    try:
        config = _config()
        explanations: list[list[str] | None] = config.hook.pytest_assertrepr_compare(
            config=config, op=op, left=left, right=right
        )
    except Exception as error:
        raise RunBroken(f"pytest cannot explain the assertion: {type(error).__name__}: {error}") from error
    return next((_joined(lines) for lines in explanations if lines), None)


def _joined(lines: list[str]) -> str:
    # the rewriter formats the result with %, and interprets new lines
    shown = [line.replace("\n", "\\n") for line in lines if "Use -v" not in line]
    while len(shown) > 1 and not shown[-1].strip():
        shown.pop()
    return "\n~".join(shown).replace("%", "%%")


@cache
def _config() -> Config:
    """A minimal pytest configuration for the comparison hook; made at the first failing comparison only."""
    from _pytest.config import get_config

    options = ["--noconftest", "-c", os.devnull, "-p", "no:cacheprovider", "--capture=no", "--assert=plain"]
    options += ["-o", "truncation_limit_lines=0", "-o", "truncation_limit_chars=0"]
    ours = {"PYTEST_ADDOPTS": None, "PYTEST_PLUGINS": None, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    before = {name: os.environ.get(name) for name in ours}
    try:
        _set_environment(ours)
        config = get_config(options)
        config.parse(options)
    finally:
        _set_environment(before)
    return config


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
