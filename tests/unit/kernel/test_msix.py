"""MSI-X: a probe may write the entries that the device has, and no others."""

from __future__ import annotations

import pytest

from harness.hardware.platform import PLATFORMS
from harness.kernel.builder import Kernel
from harness.kernel.program import Program, ProgramError


def builder(cpus: int = 1) -> Kernel:
    return Kernel(Program("test"), PLATFORMS["q35"], cpus)


def test_the_last_entry_can_be_written_and_the_next_cannot() -> None:
    msix = builder().pci.device("e1000e").msix()
    msix.entry(4, 0x40)
    with pytest.raises(
        ProgramError, match=r"test_msix\.py:\d+: e1000e: there is no MSI-X table entry 5; .*has 5, use 0 to 4"
    ):
        msix.entry(5, 0x40)


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_a_virtio_disk_has_a_queue_for_each_processor(cpus: int) -> None:
    msix = builder(cpus).pci.device("virtio-blk").msix()
    msix.entry(cpus, 0x40)
    with pytest.raises(ProgramError, match=rf"no MSI-X table entry {cpus + 1}; "):
        msix.entry(cpus + 1, 0x40)


def test_no_entry_is_below_zero() -> None:
    with pytest.raises(ProgramError, match="no MSI-X table entry -1"):
        builder().pci.device("virtio-rng").msix().entry(-1, 0x40)


def test_a_table_of_unknown_size_ends_where_the_specification_says() -> None:
    msix = builder().pci.function(3).msix()
    msix.entry(2047, 0x40)
    with pytest.raises(ProgramError, match="no MSI-X table entry 2048; the table has at most 2048"):
        msix.entry(2048, 0x40)
