"""The place that the last complete entry of the recorder interrupted, while the guest writes the next one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from harness import abi
from harness.abi import RECORD
from harness.evidence.recorder import last_place, read_mailbox

IMAGE: Any = SimpleNamespace(
    waits=lambda rip: False, software_interrupt=lambda rip, vector: None, symbolise=lambda rip: f"at {rip:#x}"
)
RUN_ID = 0x10000


def test_the_entry_in_work_is_left_out_in_order_and_in_the_ring() -> None:
    ram = memoryview(bytearray(abi.RECORDER + (abi.RECORDS + abi.TAIL) * RECORD.size))
    mailbox = replace(read_mailbox(ram, 0), run_id=RUN_ID)
    for head in (2, abi.RECORDS + abi.TAIL + 5):
        for seq, complete in ((head - 2, True), (head - 1, False)):
            slot = seq if seq < abi.RECORDS else abi.RECORDS + (seq & (abi.TAIL - 1))
            for name, value in (("COMMIT", RUN_ID + seq + 1 if complete else 7), ("RIP", seq)):
                offset, width = RECORD.fields[name]
                at = abi.RECORDER + slot * RECORD.size + offset
                ram[at : at + width] = value.to_bytes(width, "little")
        assert last_place(ram, replace(mailbox, head=head), IMAGE) == f"at {head - 2:#x}"
    assert last_place(ram, replace(mailbox, head=0), IMAGE) == ""
