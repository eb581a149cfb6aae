"""GNU as must agree on the guest program of every probe that ships."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import abi
from harness.kernel.program import Program, TargetLacks, common_names
from harness.kernel.runtime import assembled_runtime
from harness.probes.loader import catalogue_root, load_probes
from harness.probes.probe import Probe
from harness.probes.probe_places import probe_files
from harness.qemu.target import Target
from harness.run.build import Built, build
from harness.run.targets import find_targets

from .agreement import assert_same_image, gnu_text
from .gnu import gnu_image

FILES = sorted(path for path in probe_files(catalogue_root()) if path.name != "__init__.py")


def _built(probe: Probe, targets: list[Target]) -> Iterator[Built]:
    """The first case that each probe has, on the first target that has what it is about."""
    for target in targets:
        try:
            yield build(probe.cases()[0], target)
        except TargetLacks:
            continue
        return


def _same(program: Program) -> None:
    done = program.finish()
    source, constants = program.source(), common_names().constants | dict(program.constants())
    symbols = dict(assembled_runtime().symbols)
    text = gnu_text(source, {*done.symbols, *symbols}, constants, abi.PROGRAM)
    assert_same_image(done, gnu_image(text, 64, abi.PROGRAM, symbols))


def test_there_is_a_catalogue() -> None:
    assert len(FILES) > 20


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(catalogue_root()).as_posix())
def test_probes(path: Path) -> None:
    targets = find_targets(["all"])
    for probe in load_probes([path], catalogue_root()):
        built = list(_built(probe, targets))
        assert built, f"{probe.id}: no target has what it is about"
        _same(built[0].program)
