"""Proofs of access kinds in the guest: registers written in every way that their map allows, and read back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from harness.hardware.access import (
    BitKinds,
    access_proof_writes,
    distinct_values,
    named_register,
    register_differences,
)
from harness.hardware.block import Block, Place, Space, Value
from harness.hardware.register import Register
from harness.kernel.builder import Kernel
from harness.kernel.bus import slot
from harness.kernel.window import ReadsMemory

__all__ = ["AccessProof", "ApartProof", "all_differences"]

_DONE = 0xACCE55
_BY_ADDRESS = (Space.MMIO, Space.PORT, Space.CONFIG)  # where one routine reaches every register of a width


class _Doubleword(Register, width=32):
    """Half of a register of 64 bits."""


_Work = tuple[int, tuple[int, ...]]  # a register's number, and what is written to it


class _Proof:
    """Some registers of a block, the kinds of their bits, and the guest's memory for what it reads of them.

    Registers that the same instructions reach share one routine: a processor that is emulated translates each
    instruction that reaches a device on its own.
    """

    def __init__(
        self, k: Kernel, block: Block, names: tuple[str, ...], rest: dict[str, int], doublewords: bool
    ) -> None:
        self._k = k
        self._doublewords = doublewords
        self._places: list[Place[Any]] = [named_register(block, name).place for name in names]
        self._kinds = [BitKinds.of(place) for place in self._places]
        self._rest = []
        for place in self._places:
            fields = {name: value for name, value in rest.items() if name in place.register.FIELDS}
            self._rest.append(int(place.register.of(**fields)))
        self._routines: dict[tuple[object, ...], str] = {}

    def _reserve(self, works: Sequence[_Work]) -> None:
        """Memory for what the guest reads: of each register one word before the writes, one after each, and a mark."""
        words = sum(len(writes) + 2 for _, writes in works)
        self._buffer = self._k.program.add_buffer(self._k.program.unique("access_proof"), 8 * words, 16)

    def _stage(self, works: Sequence[_Work], done: int = 0) -> int:
        """Do these works in order, and keep what is read from word `done` of the buffer on. Returns the next word."""
        k = self._k
        while works:
            key = self._key(works[0][0])
            count = next((n for n, (number, _) in enumerate(works) if self._key(number) != key), len(works))
            mine, works = works[:count], works[count:]
            words = [word for number, writes in mine for word in self._entry(number, writes)]
            table = k.program.add_data(b"".join(word.to_bytes(8, "little") for word in words))
            k.program.step(
                "prove the access kinds of " + ", ".join(self._places[number].name for number, _ in mine),
                *(f"push {register}" for register in ("rbx", "r8", "r9", "r10", "r11", "r12")),
                f"mov ebx, {self._buffer.address + 8 * done:#x}",
                f"lea r8, [rip+{table}]",
                f"lea r12, [r8+{8 * len(words)}]",
                f"call {self._routine(mine[0][0])}",
                *(f"pop {register}" for register in ("r12", "r11", "r10", "r9", "r8", "rbx")),
            )
            done += sum(len(writes) + 2 for _, writes in mine)
        return done

    def _key(self, number: int) -> tuple[object, ...]:
        """What registers have in common that one routine reaches."""
        place = self._places[number]
        if place.space not in _BY_ADDRESS:
            return place.space, place.width, number
        return place.space, place.width, place.offset & 3 if place.space is Space.CONFIG else 0

    def _entry(self, number: int, writes: tuple[int, ...]) -> list[int]:
        """A register in the routine's table: its distance from the base, what it keeps, how often it is written."""
        place = self._places[number]
        low = place.offset & 3 if place.space is Space.CONFIG else 0
        return [place.offset - low, self._kinds[number].kept, len(writes), *writes]

    def _routine(self, number: int) -> str:
        """The label of the routine that works on the registers of a table from R8 to R12, results from RBX on."""
        key = self._key(number)
        if key in self._routines:
            return self._routines[key]
        k, place = self._k, self._places[number]
        cursor: Value[int] = k.program.add_value(k.program.fresh_value_name("access_proof_at"), int)
        low = place.offset & 3 if place.space is Space.CONFIG else 0
        moving: Place[Any] = Place(place.space, cursor, low, place.register, place.name)
        used = moving if place.space in _BY_ADDRESS else place
        base = f"mov rcx, {slot(place.base)}" if isinstance(place.base, Value) else f"movabs rcx, {int(place.base):#x}"
        label, again, done = (k.program.unique(f"access_proof_{part}") for part in ("routine", "again", "done"))
        with k.program.elsewhere(label):
            k.program.plain(
                "mov rax, qword ptr [r8]",
                base,
                "add rax, rcx",
                f"mov {slot(cursor)}, rax",
                "mov r9, qword ptr [r8+8]",
                "mov r10, qword ptr [r8+16]",
                "add r8, 24",
                "mov r11, rbx",
                f"{again}:",
                *self._load(used),
                "mov qword ptr [rbx], rax",
                "add rbx, 8",
                "test r10, r10",
                f"jz {done}",
                "dec r10",
                "mov rax, qword ptr [r8]",
                "add r8, 8",
                "mov rcx, qword ptr [r11]",
                "and rcx, r9",
                "or rax, rcx",
                *self._store(used),
                f"jmp {again}",
                f"{done}:",
                f"mov qword ptr [rbx], {_DONE:#x}",
                "add rbx, 8",
                "cmp r8, r12",
                f"jb {label}",
            )
        self._routines[key] = label
        return label

    def _load(self, place: Place[Any]) -> list[str]:
        """Instructions that read the register into RAX. RDI has the address that the first access left there."""
        if not self._in_halves(place):
            return self._k.bus.load(place)
        high = ["mov ecx, dword ptr [rdi+4]", "shl rcx, 32", "or rax, rcx"]
        return [*self._k.bus.load(replace(place, register=_Doubleword)), *high]

    def _store(self, place: Place[Any]) -> list[str]:
        """Instructions that write RAX to the register, the low half first."""
        lines = self._k.bus.store(replace(place, register=_Doubleword) if self._in_halves(place) else place)
        return [*lines, "shr rax, 32", "mov dword ptr [rdi+4], eax"] if self._in_halves(place) else lines

    def _in_halves(self, place: Place[Any]) -> bool:
        return self._doublewords and place.space is Space.MMIO and place.width == 64

    def _results(self, run: ReadsMemory, works: Sequence[_Work]) -> list[tuple[int, list[int]]]:
        """Of each work the register's number and what was read; nothing where the guest did not do it."""
        memory = run.memory(self._buffer)
        words = [int.from_bytes(memory[at : at + 8], "little") for at in range(0, len(memory), 8)]
        found = []
        for number, writes in works:
            *reads, done = words[: len(writes) + 2]
            del words[: len(writes) + 2]
            found.append((number, reads if done == _DONE else []))
        return found


class AccessProof(_Proof):
    """Each bit of some registers of a block written alone, as 1 and as 0, and read back; the last write has all 0.

    `names` are names that `provable` returns. `rest` are fields that are 1 while other bits are tried, such as a mask,
    and in the last write; a register that has no field of that name ignores it. `doublewords`: two accesses of 32 bits
    to each register of 64 bits in memory.
    """

    def __init__(self, k: Kernel, block: Block, *names: str, doublewords: bool = False, **rest: int) -> None:
        super().__init__(k, block, names, rest, doublewords)
        pairs = zip(self._kinds, self._rest, strict=True)
        self._works = [(n, access_proof_writes(kinds, quiet)) for n, (kinds, quiet) in enumerate(pairs)]
        self._reserve(self._works)
        self._stage(self._works)

    def differences(self, run: ReadsMemory) -> str:
        """What did not behave as the map states: register, bits, field, kind, what was expected and what was read."""
        found: list[str] = []
        for (number, writes), (_, reads) in zip(self._works, self._results(run, self._works), strict=True):
            name = self._places[number].name
            if reads:
                found += register_differences(name, self._kinds[number], reads[0], writes, reads[1:])
            else:
                found.append(f"{name} was not written")
        return "; ".join(found)


class ApartProof(_Proof):
    """Different values in all registers of a block, then all of them read forwards and backwards.

    A write that reaches another register, and a read that changes one, show. The other arguments are those of
    `AccessProof`.
    """

    def __init__(self, k: Kernel, block: Block, *names: str, doublewords: bool = False, **rest: int) -> None:
        super().__init__(k, block, names, rest, doublewords)
        self._values = distinct_values(self._kinds, self._rest, 1 + len(names) * doublewords)
        order = range(len(self._places))
        writable = [number for number in order if self._kinds[number].rw & ~self._kinds[number].kept]
        writes: list[_Work] = [(number, (self._values[number],)) for number in writable]
        reads: list[_Work] = [(number, ()) for number in (*order, *reversed(order))]
        self._works = [*writes, *reads]
        self._reserve(self._works)
        self._stage(reads, self._stage(writes))

    def differences(self, run: ReadsMemory) -> str:
        """Each register that does not hold its own value, or holds another one after the reads of the others."""
        count = len(self._places)
        results = self._results(run, self._works)[-2 * count :]
        found = []
        for number, (place, kinds) in enumerate(zip(self._places, self._kinds, strict=True)):
            first, second = results[number][1], results[-1 - number][1]
            if not first or not second:
                found.append(f"{place.name} was not read")
                continue
            judged = kinds.rw & ~kinds.kept & ~kinds.optional
            expected = self._values[number] & judged
            if first[0] & judged != expected:
                found.append(f"{place.name}: {first[0] & judged:#x} where {expected:#x} was written")
            if (second[0] ^ first[0]) & kinds.compared:
                found.append(f"{place.name}: {first[0]:#x}, and {second[0]:#x} when it is read again")
        return "; ".join(found)


def all_differences(run: ReadsMemory, proofs: Iterable[AccessProof | ApartProof]) -> str:
    """The differences of several proofs, in their order; empty where there is none."""
    return "; ".join(filter(None, (proof.differences(run) for proof in proofs)))
