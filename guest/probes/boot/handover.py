"""What a program finds when it starts, whatever booted it."""

from itertools import pairwise

from harness import Kernel, ProbeBody, Rflags, probe


@probe(
    spec="SDM vol. 3A, Initializing IA-32e Mode; System V psABI, The Stack Frame",
    covers=["boot.initial-state"],
    boots=["rom", "multiboot", "pvh"],
    watchdog_s=60,  # firmware takes seconds where 16-bit code is executed in software
)
def the_program_starts_in_long_mode(k: Kernel) -> ProbeBody:
    """Every boot path starts a program in 64-bit code, paging, NXE, IF, TF and DF clear and an aligned stack."""
    flags, rsp = k.values("rflags_at_start", "rsp_at_start")
    k.trigger(k.asm, f"pushfq\npop qword ptr [{flags.name}]\nmov qword ptr [{rsp.name}], rsp")

    run = yield

    (cpu,) = run.cpus
    seen = Rflags(run[flags])
    assert cpu.bits64
    assert cpu.cr0 & 0x8001_0001 == 0x8001_0001
    assert cpu.efer & 0xD00 == 0xD00
    assert (seen.IF, seen.TF, seen.DF, seen.NT) == (0, 0, 0, 0)
    assert run[rsp] % 16 == 8  # a return address lies on an aligned stack, as the psABI has it at a function's entry


@probe.each(place=["ram_first", "ram_last", "lapic", "ioapic", "hpet"])
@probe(spec="SDM vol. 3A, 4-Level Paging; IA-PC HPET 1.0a; 82093AA", covers=["boot.identity-map"], needs=["hpet"])
def the_identity_map_reaches(k: Kernel, place: str) -> ProbeBody:
    """RAM, the local APIC, the IO APIC and the HPET answer at their physical addresses."""
    address, mask, expected = {
        "ram_first": (0x1000, 0, 0),
        "ram_last": (0x3FFF000, 0, 0),
        "lapic": (0xFEE0_0030, 0xF0, 0x10),
        "ioapic": (0xFEC0_0000, 0, 0),
        "hpet": (0xFED0_0000, 0xFFFF_0000, 0x8086_0000),
    }[place]
    k.asm(f"mov ebx, {address:#x}")
    with k.trigger():
        if place.startswith("ram"):
            k.asm("mov dword ptr [rbx], 0x5AA5C33C")
        k.asm("mov eax, dword ptr [rbx]")
        got = k.value("read_back", "rax")

    run = yield

    if place.startswith("ram"):
        assert run[got] == 0x5AA5_C33C
        assert run.memory(address, 4) == (0x5AA5_C33C).to_bytes(4, "little")
    else:
        assert run[got] & mask == expected
    assert run.vectors == []


@probe(spec="SDM vol. 3A, Real-Address Mode Operation (A20M#); ICH9, port 92h", covers=["boot.a20"])
def a20_is_on(k: Kernel) -> ProbeBody:
    """Addresses that differ in bit 20 alone are different memory."""
    base = 0xD0_0000
    k.poke(base, 0x1111_1111, width=32)
    k.trigger(k.poke, base ^ 1 << 20, 0x2222_2222, width=32)
    low, high = k.peek(base, "low", width=32), k.peek(base ^ 1 << 20, "high", width=32)

    run = yield

    assert (run[low], run[high]) == (0x1111_1111, 0x2222_2222)
    assert run.cpus[0].a20


MULTIBOOT_INFO, START_INFO = 116, 56  # bytes


def copy_loader_information(k: Kernel, size: int) -> str:
    """Copy what EBX pointed to at the entry, before anything else can write over it. The buffer's name."""
    copy = k.buffer("loader_information", size)
    k.trigger(k.asm, f"mov esi, dword ptr [MAILBOX+MB_BOOT_INFO]\nmov edi, {copy.name}\nmov ecx, {size}\nrep movsb")
    return copy.name


@probe(
    spec="Multiboot Specification 0.6.96, Machine state; Boot information format",
    covers=["boot.multiboot"],
    boots=["multiboot"],
    watchdog_s=60,
)
def multiboot_gives_its_magic_and_a_memory_map(k: Kernel) -> ProbeBody:
    """A multiboot loader passes 2BADB002h in EAX and in EBX an information structure whose memory map has our RAM."""
    name = copy_loader_information(k, MULTIBOOT_INFO)
    entries = k.buffer("memory_map", 1024)
    k.asm(f"mov esi, dword ptr [{name}+48]\nmov edi, {entries.name}\nmov ecx, 1024\nrep movsb")

    run = yield

    info = run.memory(run.built.program.buffers[name])
    words = memoryview(info).cast("I")
    assert run.mailbox.boot_magic == 0x2BAD_B002
    assert words[0] & 0x41 == 0x41, "flags: mem_* and mmap_* are valid"
    raw, ranges = run.memory(entries)[: words[11]], []
    while raw:
        size, base, length, kind = (
            int.from_bytes(raw[a:b], "little") for a, b in ((0, 4), (4, 12), (12, 20), (20, 24))
        )
        ranges.append((base, length, kind))
        raw = raw[size + 4 :]
    available = [(base, length) for base, length, kind in ranges if kind == 1]
    assert any(base <= 0x10_0000 and base + length >= 0x300_0000 for base, length in available)
    assert words[2] >= 0x2F0_0000 >> 10, "mem_upper in KiB, from 1 MiB on"
    ends = sorted((base, base + length) for base, length, _ in ranges)
    assert all(mine[1] <= following[0] for mine, following in pairwise(ends)), "ranges overlap"


@probe(
    spec="x86/HVM direct boot ABI (PVH), hvm_start_info; ACPI 6.5, Root System Description Pointer (RSDP)",
    covers=["boot.pvh"],
    boots=["pvh"],
    watchdog_s=60,
)
def pvh_gives_its_start_information_and_the_rsdp(k: Kernel) -> ProbeBody:
    """A PVH loader passes in EBX a structure with magic 336EC578h that leads to a valid RSDP."""
    name = copy_loader_information(k, START_INFO)
    rsdp = k.buffer("rsdp", 36)
    k.asm(f"mov rsi, qword ptr [{name}+32]\nmov edi, {rsdp.name}\nmov ecx, 36\nrep movsb")

    run = yield

    info = run.memory(run.built.program.buffers[name])
    assert int.from_bytes(info[:4], "little") == 0x336E_C578
    assert int.from_bytes(info[4:8], "little") in (0, 1)
    table = run.memory(rsdp)
    assert table[:8] == b"RSD PTR "
    assert sum(table[:20]) % 256 == 0
