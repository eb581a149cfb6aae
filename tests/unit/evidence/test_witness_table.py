"""docs/witnesses.md has every field of `run`, and no other."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from harness.evidence.comparisons import NOT_COMPARED
from harness.evidence.evidence import Evidence
from harness.evidence.run import Run

TABLE = Path(__file__).parents[3] / "docs" / "witnesses.md"
CHANNELS = ("RAM", "seal", "COM1", "QMP", "host", "the recorder", "the disk", "whatever")


def public_names() -> set[str]:
    """Properties, methods and instance attributes."""
    assigned = {
        node.attr
        for part in (Evidence, Run)
        for node in ast.walk(ast.parse(inspect.getsource(part)))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    return {name for name in assigned | vars(Evidence).keys() | vars(Run).keys() if not name.startswith("_")}


def rows() -> list[tuple[str, int, str]]:
    body = TABLE.read_text().partition("| field |")[2].partition("\n\n")[0]
    found = []
    for line in body.splitlines()[2:]:
        field, number, which = (cell.strip() for cell in line.strip("|").split("|"))
        found.append((field, int(number), which))
    return found


def test_every_field_of_run_is_in_the_table_and_nothing_else() -> None:
    named = {name for field, _, _ in rows() for name in re.findall(r"`(\w+)", field)}
    assert named - {"run"} == public_names()


def test_the_number_is_that_of_the_channels() -> None:
    for field, number, which in rows():
        sure = which.partition(";")[0]
        channels = [channel for channel in CHANNELS if re.search(rf"\b{channel}\b", sure)]
        assert len(channels) == number, f"{field}: {channels}"


def test_what_is_not_compared_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in NOT_COMPARED.values())
