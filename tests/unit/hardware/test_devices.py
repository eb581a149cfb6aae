"""Device maps against the specifications' figures and against what QEMU's devices give at reset."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.hardware import ahci, dma8237, e1000e, edu, ide, nvme, pcie, virtio, vtd, vtd_structures, xhci
from harness.hardware.acpi_pm import PowerManagementIo
from harness.hardware.ata import AtaCommand
from harness.hardware.msix import MsixEntry
from harness.hardware.register import FieldError
from harness.hardware.uart16550 import LineStatus, Uart16550, divisor_for
from harness.hardware.virtqueue import (
    Descriptor,
    PackedDescriptor,
    SplitQueueLayout,
    avail_ring_size,
    descriptor_table_size,
    need_event,
    used_ring_size,
)

QUEUE_SIZES = st.integers(0, 15).map(lambda n: 1 << n)


def test_edu_at_reset() -> None:
    identification = edu.EduIdentification(0x0100_00ED)
    assert (identification.MAJOR, identification.MINOR, identification.IDENTIFICATION) == (1, 0, 0xED)
    assert int(edu.EduDmaCommand.of(START=1, DIRECTION=edu.TransferDirection.EDU_TO_RAM, INTERRUPT_ENABLE=1)) == 7


def test_nvme_at_reset() -> None:
    cap = nvme.ControllerCapabilities(0x0040_1820_0F01_07FF)
    assert (cap.MQES, cap.CQR, cap.TO, cap.DSTRD, cap.MPSMIN, cap.MPSMAX, cap.CSS) == (2047, 1, 15, 0, 0, 4, 0xC1)
    assert int(nvme.ControllerConfiguration.of(EN=1, IOSQES=6, IOCQES=4)) == 0x46_0001


@pytest.mark.parametrize(
    ("queue", "dstrd", "tail", "head"), [(0, 0, 0x1000, 0x1004), (1, 0, 0x1008, 0x100C), (3, 2, 0x1060, 0x1070)]
)
def test_nvme_doorbells(queue: int, dstrd: int, tail: int, head: int) -> None:
    assert nvme.submission_doorbell(queue, dstrd) == tail
    assert nvme.completion_doorbell(queue, dstrd) == head


def test_nvme_completion_status() -> None:
    entry = nvme.CompletionEntry(0x0003_1234 << 96 | 0x0001_0005 << 64 | 7)
    assert (entry.CID, entry.P, entry.SC, entry.SCT, entry.SQHD, entry.SQID, entry.RESULT) == (0x1234, 1, 1, 0, 5, 1, 7)


@pytest.mark.parametrize(
    ("address", "size", "needed"),
    [(0, 4096, False), (0, 8192, False), (0x800, 8192, True), (0xFFF, 4098, True), (0, 8193, True), (0xFFF, 1, False)],
)
def test_nvme_prp_list(address: int, size: int, needed: bool) -> None:
    assert nvme.prp_list_needed(address, size) is needed


def test_ahci_at_reset() -> None:
    cap = ahci.Capabilities(0xC014_1F05)
    assert (cap.NP, cap.NCS, cap.SNCQ, cap.S64A, cap.SAM, cap.ISS) == (5, 31, 1, 1, 1, 1)
    command = ahci.PortCommand(6)
    assert command.SUD and command.POD and not command.ST


def test_ahci_fis_bytes() -> None:
    fis = ahci.RegisterHostToDevice.to(AtaCommand.READ_DMA_EXT, lba=0x0605_0403_0201, count=0x0102)
    assert int(fis).to_bytes(32, "little")[:20] == bytes(
        [0x27, 0x80, 0x25, 0, 1, 2, 3, 0x40, 4, 5, 6, 0, 0x02, 0x01, 0, 0, 0, 0, 0, 0]
    )


def test_ahci_descriptors() -> None:
    prd = ahci.PhysicalRegionDescriptor.to(0x1_2345_6000, 512, interrupt=True)
    assert int(prd) == 0x8000_01FF << 96 | 0x1_2345_6000
    header = ahci.CommandHeader.of(CFL=5, W=1, PRDTL=2, CTBA=0x20_0080 >> 7)
    assert int(header) == 0x20_0080 << 64 | 0x0002_0045
    for address, size in ((1, 512), (0, 3), (0, (1 << 22) + 2), (0, 0)):
        with pytest.raises(FieldError, match="even"):
            ahci.PhysicalRegionDescriptor.to(address, size)


def test_ide_prd() -> None:
    assert int(ide.PrdEntry.to(0x2_0000, 0x1_0000, last=True)) == 0x8000_0000_0002_0000
    assert int(ide.PrdEntry.to(0x1000, 512)) == 0x0200_0000_1000
    with pytest.raises(FieldError, match="crosses a 64-KiB boundary"):
        ide.PrdEntry.to(0x1_FF00, 512)
    with pytest.raises(FieldError, match="even"):
        ide.PrdEntry.to(0x1001, 512)


def test_8237_floppy_read() -> None:
    mode = dma8237.DmaMode.of(
        CHANNEL=2, TRANSFER=dma8237.TransferType.WRITE, MODE=dma8237.TransferMode.SINGLE
    )  # fmt: skip
    assert int(mode) == 0x46
    assert dma8237.split_address(0x12_3400, 512) == (0x12, 0x3400, 511)
    assert dma8237.split_address(0x12_0000, 0x1_0000) == (0x12, 0, 0xFFFF)
    with pytest.raises(FieldError, match="wraps"):
        dma8237.split_address(0x12_FF00, 512)
    with pytest.raises(FieldError, match="below 16 MiB"):
        dma8237.split_address(1 << 24, 512)


def test_8237_page_ports_agree_with_the_block() -> None:
    ports = {int(n[-1]): 0x80 + at.offset for n, at in dma8237.DmaPages.registers().items()}
    assert ports == dma8237.PAGE_PORTS


def test_e1000e_at_reset() -> None:
    status = e1000e.DeviceStatus(0x0008_0283)
    assert status.FD and status.LU and status.SPEED == 2 and status.GIO_MASTER_ENABLE
    assert e1000e.ReceiveAddressHigh(0x8000_5634).AV
    ivar = e1000e.InterruptVectorAllocation.of(
        RXQ0=0, RXQ0_VALID=1, TXQ0=1, TXQ0_VALID=1, OTHER=2, OTHER_VALID=1, TX_WRITE_BACK=1
    )
    assert int(ivar) == 0x800A_0908
    descriptor = e1000e.TransmitDescriptor.of(ADDRESS=0x1000, LENGTH=60, EOP=1, IFCS=1, RS=1)
    assert int(descriptor) == 0x0B00_003C << 64 | 0x1000


def test_vtd_at_reset() -> None:
    cap = vtd.Capability(0x00D2_008C_2226_0206)
    assert (cap.ND, cap.SAGAW, cap.MGAW, cap.NFR, cap.PSI, cap.MAMV) == (6, 2, 38, 0, 1, 18)
    assert vtd.fault_recording_offset(cap) == 0x220
    ecap = vtd.ExtendedCapability(0xF0_0F4A)
    assert ecap.QI and ecap.IR and ecap.PT and not ecap.EIM
    assert vtd.iotlb_offset(ecap) == 0xF0


def test_vtd_structures() -> None:
    irte = vtd_structures.Irte.of(
        P=1, V=0x40, DST=1 << 8, SID=0xFA, SVT=vtd_structures.SourceValidation.SID
    )  # fmt: skip
    assert int(irte) == 0x0004_00FA << 64 | 0x0000_0100_0040_0001
    context = vtd_structures.ContextEntry.of(P=1, SSPTPTR=0x30, AW=vtd_structures.AddressWidth.BITS_39, DID=5)
    assert int(context) == 0x501 << 64 | 0x3_0001
    wait = vtd_structures.WaitDescriptor.of(TYPE=5, SW=1, STATUS_DATA=1, STATUS_ADDRESS=0x9000 >> 2)
    assert int(wait) == 0x9000 << 64 | 0x1_0000_0025
    fault = vtd_structures.FaultRecord(1 << 127 | 1 << 126 | 6 << 96 | 0x80 << 64 | 0xABC000)
    assert fault.F and fault.T1 and fault.FR is vtd_structures.FaultReason.READ
    assert (fault.SID, fault.FI) == (0x80, 0xABC)


def test_virtio_capability_as_qemu_has_it() -> None:
    header = virtio.PciCapabilityHeader(0x0214_6009)
    assert header.CFG_TYPE is virtio.CfgType.NOTIFY
    assert (header.CAP_VNDR, header.CAP_NEXT, header.CAP_LEN) == (9, 0x60, 0x14)


def test_virtio_pci_ids() -> None:
    assert virtio.modern_pci_device_id(virtio.DeviceId.ENTROPY) == 0x1044
    assert virtio.transitional_pci_device_id(virtio.DeviceId.ENTROPY) == 0x1005
    with pytest.raises(FieldError, match="GPU has no transitional"):
        virtio.transitional_pci_device_id(virtio.DeviceId.GPU)


def test_virtio_offsets() -> None:
    common = virtio.CommonConfiguration
    assert (common.DEVICE_STATUS.offset, common.QUEUE_SELECT.offset, common.QUEUE_NOTIFY_OFF.offset) == (20, 22, 30)
    assert (common.QUEUE_DESC.offset, common.QUEUE_DRIVER.offset, common.QUEUE_DEVICE.offset) == (32, 40, 48)
    assert virtio.LegacyHeaderMsix.QUEUE_MSIX_VECTOR.offset == 0x16
    assert virtio.notify_address(0xFE00_3000, 3, 4) == 0xFE00_300C


def test_descriptor_bytes() -> None:
    split = Descriptor.of(ADDRESS=0x1234, LENGTH=16, NEXT_FLAG=1, WRITE=1, NEXT=2)
    assert int(split).to_bytes(16, "little") == bytes.fromhex("3412000000000000 10000000 0300 0200")
    packed = PackedDescriptor.of(ADDRESS=0x1234, LENGTH=16, BUFFER_ID=2, WRITE=1, AVAIL=1)
    assert int(packed).to_bytes(16, "little") == bytes.fromhex("3412000000000000 10000000 0200 8200")


@given(size=QUEUE_SIZES, page=st.integers(0, 1 << 36))
def test_split_queue_layout_is_that_of_the_legacy_interface(size: int, page: int) -> None:
    queue = SplitQueueLayout(page << 12, size)
    # VIRTIO 2.7.2: #define ALIGN and virtq_size(), written out
    first = 16 * size + 2 * (3 + size)
    assert queue.used - queue.address == (first + 4095) // 4096 * 4096
    assert queue.end - queue.used == 2 * 3 + 8 * size
    parts = [
        (queue.descriptors, descriptor_table_size(size)),
        (queue.avail, avail_ring_size(size)),
        (queue.used, used_ring_size(size)),
    ]
    for (start, length), (following, _) in pairwise(parts):
        assert start + length <= following
    assert queue.used_event + 2 == queue.avail + avail_ring_size(size)
    assert queue.avail_event + 2 == queue.end
    assert queue.descriptor(size - 1) + 16 == queue.avail
    assert queue.avail_entry(size - 1) + 2 == queue.used_event
    assert queue.used_entry(size - 1) + 8 == queue.avail_event
    assert (queue.avail_index, queue.used_index) == (queue.avail + 2, queue.used + 2)


@pytest.mark.parametrize("size", [0, 3, 65536, -1])
def test_impossible_queue_sizes(size: int) -> None:
    with pytest.raises(FieldError, match="power of two"):
        SplitQueueLayout(0, size)


def test_queue_refusals() -> None:
    with pytest.raises(FieldError, match="not aligned to 4096"):
        SplitQueueLayout(0x1010, 8)
    with pytest.raises(FieldError, match="not a power of two"):
        SplitQueueLayout(0, 8, alignment=24)
    with pytest.raises(FieldError, match="no entry 8"):
        SplitQueueLayout(0, 8).descriptor(8)


@given(old=st.integers(0, 0xFFFF), steps=st.integers(0, 300), event=st.integers(0, 0xFFFF))
def test_need_event_means_the_index_passed_it(old: int, steps: int, event: int) -> None:
    passed = {(old + n) & 0xFFFF for n in range(steps)}
    assert need_event(event, (old + steps) & 0xFFFF, old) == (event in passed)


def test_offsets_of_small_blocks() -> None:
    assert [at.offset for at in MsixEntry.registers().values()] == [0, 4, 8, 12]
    assert (PowerManagementIo.PM1_CNT.offset, PowerManagementIo.PM_TMR.offset) == (4, 8)
    assert Uart16550.LSR.offset == 5
    assert str(LineStatus(0x60)).endswith("FIFO_ERROR=0 TEMT=1 THRE=1 BI=0 FE=0 PE=0 OE=0 DR=0")
    assert (divisor_for(115200), divisor_for(9600)) == (1, 12)
    with pytest.raises(FieldError, match="not a multiple"):
        divisor_for(100_000)


def test_xhci_event_ring_segment() -> None:
    segment = xhci.EventRingSegment.of(BASE=0x12_3440 >> 6, SIZE=16)
    assert int(segment).to_bytes(16, "little").hex() == "40341200000000001000000000000000"
    assert int(xhci.EventRingDequeuePointer.of(POINTER=0x5010 >> 4, EHB=1)) == 0x5018


def test_xhci_at_reset() -> None:
    parameters = xhci.StructuralParameters1(0x0800_1040)
    assert (parameters.MAX_SLOTS, parameters.MAX_INTRS, parameters.MAX_PORTS) == (64, 16, 8)


def test_pcie_slot_and_root_errors() -> None:
    control = pcie.SlotControl.of(COMMAND_COMPLETED_INTERRUPT_ENABLE=1, HOT_PLUG_INTERRUPT_ENABLE=1)
    assert int(control) == 0x30
    assert pcie.RootErrorStatus(0x0800_0000).ADVANCED_ERROR_INTERRUPT_MESSAGE_NUMBER == 1
    assert pcie.ExtendedCapabilityHeader(0x0002_0001).ID == pcie.AER_CAPABILITY_ID
