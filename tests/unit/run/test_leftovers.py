"""What a run may leave in a machine that gets another one."""

from __future__ import annotations

import pytest

from harness.qemu.reset_effects import undone_by_reset


@pytest.mark.parametrize("command", ["query-status", "inject-nmi", "ringbuf-read", "info lapic", "x/4i 0x1000", "xp 0"])
def test_what_leaves_nothing(command: str) -> None:
    assert undone_by_reset(command)


@pytest.mark.parametrize("command", ["set_link", "device_add", "mce 0 1 0 0 0 0", "xhci", "information", "migrate"])
def test_what_stays(command: str) -> None:
    assert not undone_by_reset(command)
