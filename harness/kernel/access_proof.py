"""Proofs of access kinds in the guest: registers written in every way that their map allows, and read back."""

from __future__ import annotations

from typing import Any

from harness.hardware.access import (
    BitKinds,
    access_proof_writes,
    distinct_values,
    named_register,
    register_differences,
)
from harness.hardware.block import Block, Place
from harness.kernel.builder import Kernel
from harness.kernel.window import ReadsMemory

__all__ = ["AccessProof", "ApartProof"]

_DONE = 0xACCE55


class _Proof:
    """Some registers of a block, the kinds of their bits, and the guest's memory for what it reads of them."""

    def __init__(self, block: Block, names: tuple[str, ...], rest: dict[str, int]) -> None:
        self._places: list[Place[Any]] = [named_register(block, name).place for name in names]
        self._kinds = [BitKinds.of(place) for place in self._places]
        self._rest = []
        for place in self._places:
            fields = {name: value for name, value in rest.items() if name in place.register.FIELDS}
            self._rest.append(int(place.register.of(**fields)))

    def _reserve(self, k: Kernel, words: int) -> int:
        """Memory for what the guest reads; returns its address."""
        self._buffer = k.program.add_buffer(k.program.unique("access_proof"), 8 * words, 16)
        return self._buffer.address

    def _words(self, run: ReadsMemory) -> list[int]:
        memory = run.memory(self._buffer)
        return [int.from_bytes(memory[at : at + 8], "little") for at in range(0, len(memory), 8)]


class AccessProof(_Proof):
    """Each bit of some registers of a block written alone, as 1 and as 0, and read back; the last write has all 0.

    `names` are names that `provable` returns. `rest` are fields that are 1 while other bits are tried, such as a mask,
    and in the last write; a register that has no field of that name ignores it.
    """

    def __init__(self, k: Kernel, block: Block, *names: str, **rest: int) -> None:
        super().__init__(block, names, rest)
        pairs = zip(self._kinds, self._rest, strict=True)
        self._writes = [access_proof_writes(kinds, quiet) for kinds, quiet in pairs]
        address = self._reserve(k, sum(len(writes) + 2 for writes in self._writes))
        for place, kinds, writes in zip(self._places, self._kinds, self._writes, strict=True):
            self._stage(k, place, kinds.kept, writes, address)
            address += 8 * (len(writes) + 2)

    def _stage(self, k: Kernel, place: Place[Any], kept: int, writes: tuple[int, ...], results: int) -> None:
        """One register: the first read, then for each value of the table a write and a read, then the mark."""
        table = k.program.add_data(b"".join(value.to_bytes(8, "little") for value in writes))
        again, done = k.program.unique("access_proof_loop"), k.program.unique("access_proof_done")
        keep = [f"movabs rcx, {kept:#x}", f"and rcx, qword ptr [{results:#x}]", "or rax, rcx"] if kept else []
        k.program.step(
            f"prove the access kinds of {place.name}",
            "push rbx",
            "push r8",
            f"mov ebx, {results:#x}",
            f"lea r8, [rip+{table}]",
            f"{again}:",
            *k.bus.load(place),
            "mov qword ptr [rbx], rax",
            "add rbx, 8",
            f"cmp rbx, {results + 8 * (len(writes) + 1):#x}",
            f"je {done}",
            "mov rax, qword ptr [r8]",
            *keep,
            "add r8, 8",
            *k.bus.store(place),
            f"jmp {again}",
            f"{done}:",
            f"mov qword ptr [rbx], {_DONE:#x}",
            "pop r8",
            "pop rbx",
        )

    def differences(self, run: ReadsMemory) -> str:
        """What did not behave as the map states: register, bits, field, kind, what was expected and what was read."""
        words = self._words(run)
        found: list[str] = []
        for place, kinds, writes in zip(self._places, self._kinds, self._writes, strict=True):
            first, *reads, done = words[: len(writes) + 2]
            del words[: len(writes) + 2]
            if done == _DONE:
                found += register_differences(place.name, kinds, first, writes, reads)
            else:
                found.append(f"{place.name} was not written")
        return "; ".join(found)


class ApartProof(_Proof):
    """Different values in all registers of a block, then all of them read forwards and backwards.

    A write that reaches another register, and a read that changes one, show. `rest` as of `AccessProof`.
    """

    def __init__(self, k: Kernel, block: Block, *names: str, **rest: int) -> None:
        super().__init__(block, names, rest)
        self._values = distinct_values(self._kinds, self._rest)
        count = len(self._places)
        address = self._reserve(k, 2 * count)
        for number, (place, kinds) in enumerate(zip(self._places, self._kinds, strict=True)):
            lines = [f"movabs rcx, {kinds.kept:#x}", "and rax, rcx"] if kinds.kept else ["xor eax, eax"]
            lines += [f"movabs rcx, {self._values[number]:#x}", "or rax, rcx"]
            if kinds.rw & ~kinds.kept:
                k.program.step(
                    f"write {place.name}", *(k.bus.load(place) if kinds.kept else []), *lines, *k.bus.store(place)
                )
        order = [*range(count), *reversed(range(count))]
        for at, number in enumerate(order):
            place = self._places[number]
            k.program.step(f"read {place.name}", *k.bus.load(place), f"mov qword ptr [{address + 8 * at:#x}], rax")

    def differences(self, run: ReadsMemory) -> str:
        """Each register that does not hold its own value, or holds another one after the reads of the others."""
        words = self._words(run)
        count = len(self._places)
        first, second = words[:count], words[count:][::-1]
        found = []
        for number, (place, kinds) in enumerate(zip(self._places, self._kinds, strict=True)):
            judged = kinds.rw & ~kinds.kept & ~kinds.optional
            expected = self._values[number] & judged
            if first[number] & judged != expected:
                found.append(f"{place.name}: {first[number] & judged:#x} where {expected:#x} was written")
            if (second[number] ^ first[number]) & kinds.compared:
                found.append(f"{place.name}: {first[number]:#x}, and {second[number]:#x} when it is read again")
        return "; ".join(found)
