"""Values that the manuals (or every firmware and kernel) spell out, against the maps."""

from __future__ import annotations

import pytest

from harness.hardware import (
    cpu,
    descriptors,
    hpet,
    ioapic,
    lapic,
    lapic_lvt,
    msi,
    msix,
    msr,
    paging,
    pci,
    pic8259,
    pit8254,
    rtc,
)
from harness.hardware.chipset import PciExBar, PmBase
from harness.hardware.exceptions import (
    EXCEPTIONS,
    ExceptionType,
    PageFaultErrorCode,
    SelectorErrorCode,
    leads_to_double_fault,
    vector_name,
)
from harness.hardware.register import FieldError, Register


@pytest.mark.parametrize(
    ("made", "value"),
    [
        (lapic.Svr.of(VECTOR=0xFF, ENABLE=1), 0x1FF),
        (lapic_lvt.LvtLint.of(DELIVERY_MODE=lapic.DeliveryMode.EXTINT, TRIGGER_MODE=1), 0x8700),
        (lapic_lvt.LvtLint.of(DELIVERY_MODE=lapic.DeliveryMode.NMI), 0x400),
        (lapic_lvt.LvtTimer.of(VECTOR=0x20, TIMER_MODE=lapic_lvt.TimerMode.TSC_DEADLINE), 0x4_0020),
        (lapic.IcrLow.of(DELIVERY_MODE=5, LEVEL=1, DESTINATION_SHORTHAND=3), 0xC_4500),  # SDM: INIT to all but self
        (lapic.IcrLow.of(VECTOR=0x10, DELIVERY_MODE=6, LEVEL=1, DESTINATION_SHORTHAND=3), 0xC_4610),  # SDM: SIPI
        (lapic.Dfr.model(lapic.DestinationModel.FLAT), 0xFFFF_FFFF),
        (lapic.Dfr.model(lapic.DestinationModel.CLUSTER), 0x0FFF_FFFF),
        (lapic.X2ApicLdr.derived(0x23), 0x0002_0008),
        (lapic_lvt.DivideConfiguration.of(DIVIDE_VALUE=lapic_lvt.DivideValue.by(1)), 0xB),
        (ioapic.RedirectionEntry.of(MASK=1), 0x1_0000),
        (ioapic.RedirectionEntry.of(VECTOR=0x31, POLARITY=1, TRIGGER_MODE=1, DESTINATION=2), 0x0200_0000_0000_A031),
        (ioapic.RemappableEntry.to(0x8001, VECTOR=0x40), 0x0003_0000_0000_0840),
        (pic8259.Icw1.command(IC4=1), 0x11),
        (pic8259.Icw2.of(T7_T3=0x28 >> 3), 0x28),
        (pic8259.Icw4.of(UPM=1), 0x01),
        (pic8259.Ocw2.of(COMMAND=pic8259.EoiCommand.NON_SPECIFIC_EOI), 0x20),
        (pic8259.Ocw2.of(COMMAND=pic8259.EoiCommand.SPECIFIC_EOI, LEVEL=2), 0x62),
        (pic8259.Ocw2.of(COMMAND=pic8259.EoiCommand.SET_PRIORITY, LEVEL=7), 0xC7),
        (pic8259.Ocw3.command(READ=pic8259.ReadSelect.IRR), 0x0A),
        (pic8259.Ocw3.command(READ=pic8259.ReadSelect.ISR), 0x0B),
        (pic8259.Ocw3.command(POLL=1), 0x0C),
        (pic8259.Ocw3.command(ESMM=1, SMM=1), 0x68),
        (pit8254.PitControlWord.of(RW=3, M=2), 0x34),
        (pit8254.PitControlWord.of(SC=2, RW=3, M=0), 0xB0),
        (pit8254.ReadBackCommand.latch(0, count=False), 0xE2),
        (pit8254.ReadBackCommand.latch(0, 1, 2), 0xCE),
        (pit8254.LatchCommand.of(SC=1), 0x40),
        (hpet.HpetConfiguration.of(ENABLE=1, LEGACY_ROUTE=1), 3),
        (hpet.TimerConfiguration.of(INT_ENABLE=1, TYPE=1, VAL_SET=1, ROUTE=20), 20 << 9 | 0x4C),
        (hpet.TimerConfiguration.of(FSB_ENABLE=1, MODE_32=1, INT_TYPE=1), 0x4102),
        (rtc.RegisterA.of(DV=2, RS=6), 0x26),
        (rtc.RegisterB.of(HOURS_24=1, PIE=1), 0x42),
        (msi.MessageAddress.to(1), 0xFEE0_1000),
        (msi.MessageAddress.to(0xFF, REDIRECTION_HINT=1, DESTINATION_MODE=1), 0xFEEF_F00C),
        (msi.RemappableMessageAddress.to(0x8005), 0xFEE0_00B4),
        (msi.MessageData.of(VECTOR=0x41), 0x41),
        (msi.MessageData.of(VECTOR=0x41, TRIGGER_MODE=1, LEVEL=1), 0xC041),
        (msix.MsixControl.of(ENABLE=1, TABLE_SIZE=2), 0x8002),
        (pci.config_address(0, 31, 2, 0x3D), 0x8000_FA3C),
        (pci.Command.of(MEMORY_SPACE=1, BUS_MASTER=1, INTERRUPT_DISABLE=1), 0x406),
        (PciExBar.at(0xB000_0000), 0xB000_0001),
        (PmBase.at(0x600), 0x601),
        (cpu.Cr0.of(ET=1, NW=1, CD=1), 0x6000_0010),
        (cpu.Rflags.of(2, IF=1), 0x202),
        (cpu.Dr7.of(0x400, L0=1, RW0=1, LEN0=3), 0xD_0401),
        (cpu.Mxcsr.of(IM=1, DM=1, ZM=1, OM=1, UM=1, PM=1), 0x1F80),
        (cpu.FpuControlWord.of(0x40, IM=1, DM=1, ZM=1, OM=1, UM=1, PM=1, PC=3), 0x37F),
        (msr.ApicBase.of(BASE=0xFEE00, EN=1, BSP=1), 0xFEE0_0900),
        (msr.Efer.of(LME=1, LMA=1, NXE=1, SCE=1), 0xD01),
        (
            msr.Pat.of(PA0=6, PA1=4, PA2=7, PA3=0, PA4=6, PA5=4, PA6=7, PA7=0),
            0x0007_0406_0007_0406,
        ),
        (
            descriptors.SegmentDescriptor.of(
                LIMIT_15_0=0xFFFF, LIMIT_19_16=0xF, TYPE=11, S=1, P=1, L=1, G=1
            ),
            0x00AF_9B00_0000_FFFF,
        ),
        (
            descriptors.Gate.to(0xFFFF_8000_1234_5678, 8, IST=1, DPL=3),
            0x0000_0000_FFFF_8000_1234_EE01_0008_5678,
        ),
        (
            descriptors.TssDescriptor.to(0xFFFF_8000_1234_5678),
            0x0000_0000_FFFF_8000_1200_8934_5678_0067,
        ),
        (descriptors.Selector.of(INDEX=3, RPL=3), 0x1B),
        (paging.TableEntry.of(P=1, RW=1, ADDRESS=0x9000 >> 12), 0x9003),
        (paging.PageEntry2M.of(P=1, RW=1, PS=1, ADDRESS=1), 0x20_0083),
        (PageFaultErrorCode.of(P=1, WR=1, US=1), 7),
        (SelectorErrorCode.gate(0x80), 0x402),
        (SelectorErrorCode.gate(0x40, external=True), 0x203),
    ],
    ids=str,
)  # fmt: skip
def test_encodes(made: Register, value: int) -> None:
    assert int(made) == value, f"{made} is not {value:#x}"


def test_qemu_hpet_capabilities_decode() -> None:
    caps = hpet.HpetCapabilities(0x0098_9680_8086_A201)
    assert caps.COUNTER_CLK_PERIOD == 10_000_000
    assert (caps.VENDOR_ID, caps.NUM_TIM_CAP, caps.LEG_RT_CAP, caps.COUNT_SIZE_CAP, caps.REV_ID) == (0x8086, 2, 1, 1, 1)
    timer = hpet.TimerConfiguration(0x00FF_0104_0000_0030)
    assert [pin for pin in range(32) if timer.allows(pin)] == [2, 8, *range(16, 24)]
    assert timer.PERIODIC_CAP and timer.SIZE_CAP and not timer.FSB_CAP


def test_str_reads_like_the_manual() -> None:
    assert str(ioapic.RedirectionEntry(0x0200_0000_0000_A431)) == (
        "RedirectionEntry 0x020000000000a431: DESTINATION=0x2 MASK=0 TRIGGER_MODE=LEVEL REMOTE_IRR=0 POLARITY=1 "
        "DELIVERY_STATUS=IDLE DESTINATION_MODE=PHYSICAL DELIVERY_MODE=NMI VECTOR=0x31"
    )


@pytest.mark.parametrize(
    ("divisor", "encoding"), [(1, 0xB), (2, 0), (4, 1), (8, 2), (16, 3), (32, 8), (64, 9), (128, 0xA)]
)
def test_divide_values(divisor: int, encoding: int) -> None:
    assert lapic_lvt.DivideValue.by(divisor) == encoding
    assert lapic_lvt.DivideValue(encoding).divisor == divisor


@pytest.mark.parametrize("divisor", [0, 3, 256, -1])
def test_other_divisors_are_refused(divisor: int) -> None:
    with pytest.raises(FieldError, match="1, 2, 4, 8, 16, 32, 64 or 128"):
        lapic_lvt.DivideValue.by(divisor)


def test_gate_and_descriptor_give_back_their_addresses() -> None:
    gate = descriptors.Gate.to(0xFFFF_8000_1234_5678, 8)
    assert gate.offset == 0xFFFF_8000_1234_5678
    assert int(gate).to_bytes(16, "little")[:4] == b"\x78\x56\x08\x00"
    assert descriptors.TssDescriptor.to(0xFFFF_8000_1234_5678).base == 0xFFFF_8000_1234_5678
    flat = descriptors.SegmentDescriptor(0x00AF_9B00_0000_FFFF)
    assert (flat.base, flat.limit) == (0, 0xFFFF_FFFF)


def test_tss_offsets() -> None:
    assert [descriptors.tss_rsp_offset(n) for n in range(3)] == [4, 12, 20]
    assert [descriptors.tss_ist_offset(n) for n in range(1, 8)] == [36, 44, 52, 60, 68, 76, 84]
    with pytest.raises(ValueError, match="IST0"):
        descriptors.tss_ist_offset(0)
    with pytest.raises(ValueError, match="RSP3"):
        descriptors.tss_rsp_offset(3)


def test_error_codes_are_those_of_the_table() -> None:
    assert {v for v, e in EXCEPTIONS.items() if e.has_error_code} == {8, 10, 11, 12, 13, 14, 17, 21}
    assert EXCEPTIONS[3].type is ExceptionType.TRAP and EXCEPTIONS[18].type is ExceptionType.ABORT
    assert vector_name(14) == "#PF" and vector_name(0x40) == "40h" and vector_name(15) == "0Fh"
    with pytest.raises(ValueError, match="0 to 255"):
        vector_name(256)


@pytest.mark.parametrize(
    ("first", "second", "double"),
    [
        (13, 13, True),
        (0, 11, True),
        (13, 14, False),
        (14, 14, True),
        (14, 13, True),
        (14, 6, False),
        (6, 13, False),
        (3, 14, False),
        (0, 1, False),
    ],
)
def test_double_fault_conditions(first: int, second: int, double: bool) -> None:
    assert leads_to_double_fault(first, second) is double


def test_pit_counts() -> None:
    assert pit8254.count_for(10_000) == 11932
    assert pit8254.count_for(54_925) == 65536
    with pytest.raises(FieldError, match="2 to 65536"):
        pit8254.count_for(60_000)
    with pytest.raises(FieldError):
        pit8254.count_for(0.5)


def test_rtc_rates() -> None:
    assert [rtc.rtc_rate_select(hz) for hz in (8192, 1024, 2)] == [3, 6, 15]
    with pytest.raises(FieldError, match="power of two"):
        rtc.rtc_rate_select(1000)


def test_ecam_addresses() -> None:
    assert pci.ecam_address(0xB000_0000, 1, 2, 3, 0x104) == 0xB011_3104
    with pytest.raises(FieldError, match="device below 20h"):
        pci.ecam_address(0, 0, 32, 0)
    with pytest.raises(FieldError, match="offset below 100h"):
        pci.config_address(0, 0, 0, 0x100)
    with pytest.raises(FieldError, match="256 MiB"):
        PciExBar.at(0xB100_0000)


@pytest.mark.parametrize(
    ("readback", "high", "size"),
    [
        (0xFFF0_0000, None, 0x10_0000),
        (0xFFFF_FFE1, None, 0x20),
        (0x0000_FFC1, None, 0x40),
        (0xFFFF_C00C, 0xFFFF_FFFF, 0x4000),
        (0x0000_000C, 0xFFFF_FFFE, 0x2_0000_0000),
        (0, None, 0),
        (4, 0, 0),
    ],
)
def test_bar_sizes(readback: int, high: int | None, size: int) -> None:
    assert pci.bar_size(readback, high) == size


def test_bars_decode_by_kind() -> None:
    memory = pci.Bar(0xFEBF_000C).decode()
    assert isinstance(memory, pci.MemoryBar) and memory.address == 0xFEBF_0000
    assert memory.TYPE is pci.MemoryType.BITS_64 and memory.PREFETCHABLE
    port = pci.Bar(0xC041).decode()
    assert isinstance(port, pci.IoBar) and port.address == 0xC040


def test_paging_indices() -> None:
    assert paging.indices(0xFFFF_8000_0020_3000) == (256, 0, 1, 3)
    assert paging.is_canonical(0x7FFF_FFFF_FFFF) and not paging.is_canonical(0x8000_0000_0000)
    assert paging.is_canonical(0x8000_0000_0000, bits=57)
    with pytest.raises(FieldError, match="not canonical"):
        paging.indices(1 << 47)
