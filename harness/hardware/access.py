"""What a register must read after each write, by the access kinds that its map states.

A proof writes each bit alone, as 1 among zeros and as 0 among ones, and compares the whole register each time: a bit
that keeps what it may not keep, one that loses it, and one that follows its neighbour all differ. Bits of which the
manual states nothing (`undefined`, `preserve`, `wo`, volatile ones) are not compared, and fields whose change starts
something (`effect`) keep what they had.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.hardware.block import Array, At, AtArray, Block, Bound, Place, Space, Sub

__all__ = [
    "BitKinds",
    "access_proof_writes",
    "distinct_values",
    "named_register",
    "provable",
    "provable_names",
    "register_differences",
]

_WIDEST = 64
_SPREAD = 0x9E37_79B9_7F4A_7C15  # multiples of it differ in about half of their bits
_INDEXED = re.compile(r"(\w+)(?:\[(\d+)\])?\Z")


@dataclass(frozen=True)
class BitKinds:
    """The bits of one register by access kind, each kind a mask; `labels` names the field of each bit."""

    width: int
    rw: int
    ro: int
    w1c: int
    w1s: int
    rc: int
    zero: int
    ones: int
    kept: int  # a write leaves these as they were read at first: a change has an effect, or is not software's
    optional: int
    labels: tuple[str, ...]
    encodings: tuple[tuple[int, frozenset[int]], ...]  # of fields that are not free: mask, and the contents in place

    @classmethod
    def of(cls, place: Place[Any]) -> BitKinds:
        """The kinds of a register's bits: its fields', the place's own where it has none or is read-only throughout."""
        register = place.register
        masks = dict.fromkeys(("rw", "ro", "wo", "wz", "w1c", "w1s", "rc", "zero", "ones", "kept", "optional"), 0)
        encodings = []
        labels = [f"reserved, {register.RESERVED}"] * place.width
        whole = place.access in ("ro", "rc", "wo")
        used = 0
        for field in register.FIELDS.values():
            access = place.access if whole or field.access == "rw" else field.access
            used |= field.mask
            if not (field.volatile or place.volatile):
                masks[access] |= field.mask
            if field.effect or (place.space is Space.MSR and (access == "ro" or field.optional)):  # it may fault
                masks["kept"] |= field.mask
            elif field.values and len(field.values) < 1 << field.width:
                encodings.append((field.mask, frozenset(member << field.low for member in field.values)))
            if field.optional:
                masks["optional"] |= field.mask
            for bit in range(field.low, field.high + 1):
                labels[bit] = f"{field.name}, {access}"
        everything = (1 << place.width) - 1
        if not register.FIELDS:
            used = everything
            labels = [place.access] * place.width
            if not place.volatile:
                masks[place.access] = everything
        rest = everything & ~used
        if register.RESERVED in ("zero", "ones"):
            masks[register.RESERVED] |= rest
        if register.RESERVED in ("preserve", "fault") or place.space is Space.MSR:  # to set one in an MSR is #GP
            masks["kept"] |= rest
        masks["zero"] |= masks.pop("wz")
        del masks["wo"]
        return cls(width=place.width, labels=tuple(labels), encodings=tuple(encodings), **masks)

    @property
    def compared(self) -> int:
        """The bits whose content after a write the manual states."""
        return self.rw | self.ro | self.w1c | self.w1s | self.rc | self.zero | self.ones

    def after(self, state: int, write: int) -> int:
        """What the register holds after a write, of what it held before."""
        state = state & ~self.rw | write & self.rw
        state &= ~(write & self.w1c | self.rc | self.zero)
        return state | write & self.w1s | self.ones

    def undefined(self, write: int) -> int:
        """The fields to which a write gives a content that the manual does not define."""
        undefined = 0
        for mask, contents in self.encodings:
            if write & mask not in contents:
                undefined |= mask
        return undefined


def access_proof_writes(kinds: BitKinds, rest: int = 0) -> tuple[int, ...]:
    """The values that a proof writes, in order; bits that keep what they had are 0 in all of them.

    `rest` has the bits that are 1 while other bits are tried: an entry's mask, so that no trial sends anything.
    """
    free = (1 << kinds.width) - 1 & ~kinds.kept
    bits = [1 << bit for bit in range(kinds.width) if free >> bit & 1]
    quiet = rest & free
    singles = [quiet ^ bit for bit in bits]
    full = [free & ~bit for bit in bits]
    encoded = [
        among & ~mask | content
        for mask, contents in kinds.encodings
        for content in sorted(contents)
        for among in (quiet, free)
    ]
    return (quiet, *singles, free, *full, *encoded, quiet)


def distinct_values(kinds: Sequence[BitKinds], rest: Sequence[int], first: int = 1) -> list[int]:
    """A value for each of several registers, of pairwise different bits where these can be written.

    Another `first` gives other values.
    """
    values = []
    for number, (register, quiet) in enumerate(zip(kinds, rest, strict=True), start=first):
        value = number * _SPREAD >> 3 & register.rw & ~register.kept & (1 << register.width) - 1
        for mask, contents in register.encodings:
            value = value & ~mask | sorted(contents)[number % len(contents)]
        values.append(value | quiet)
    return values


def register_differences(
    name: str, kinds: BitKinds, first: int, writes: Sequence[int], reads: Sequence[int]
) -> list[str]:
    """Each run of bits that did not behave: its numbers, field and kind, what was expected and what was read.

    `first` is what the register read before the first write, `reads` what it read after each.
    """
    found: dict[int, tuple[int, int]] = {}  # bit → the wrong content, and the write after which it was read first
    constant = ~0
    for read in reads:
        constant &= ~(read ^ first)
    judged = kinds.compared & ~(kinds.optional & constant)
    state = first & ~kinds.zero | kinds.ones
    for write, expected, read in [(None, state, first), *_expected(kinds, first, writes, reads)]:
        wrong = (read ^ expected) & judged & ~(0 if write is None else kinds.undefined(write))
        for bit in range(kinds.width):
            if wrong >> bit & 1 and bit not in found:
                found[bit] = (read >> bit & 1, -1 if write is None else write)
    return [f"{name} {text}" for text in _folded(kinds, found)]


def _expected(
    kinds: BitKinds, first: int, writes: Sequence[int], reads: Sequence[int]
) -> Iterator[tuple[int, int, int]]:
    """Each write as the guest made it, what must be read after it, and what was."""
    state = first & ~kinds.zero | kinds.ones
    state &= ~kinds.rc  # reading it for the first time has cleared these
    for write, read in zip(writes, reads, strict=True):
        whole = write & ~kinds.kept | first & kinds.kept
        state = kinds.after(state, whole)
        yield whole, state, read


def _folded(kinds: BitKinds, found: dict[int, tuple[int, int]]) -> Iterator[str]:
    """One text for each run of neighbouring bits of one field that were wrong in the same way."""
    bits = sorted(found)
    while bits:
        low = high = bits.pop(0)
        content, write = found[low]
        while (
            bits and bits[0] == high + 1 and kinds.labels[bits[0]] == kinds.labels[low] and found[bits[0]][0] == content
        ):
            high = bits.pop(0)
        where = f"bit {low}" if low == high else f"bits {high}:{low}"
        when = "before the first write" if write < 0 else f"after a write of {write:#x}"
        yield f"{where} ({kinds.labels[low]}): {content} where {1 - content} is expected, first {when}"


def provable(block: type[Block], **counts: int) -> dict[str, tuple[str, ...]]:
    """A block's registers that a proof can write and read: `{"LVT_TIMER": ("LVT_TIMER",), "ISR": ("ISR[0]", …)}`.

    A key is a member of the block, with the registers in it. Left out are second views of other registers, those that
    cannot be read, those with an `effect`, and read-only ones where a write faults (MSRs) or reaches another register.
    `counts`: how many elements of each array exist.
    """
    found: dict[str, tuple[str, ...]] = {}
    everything = tuple(_layout(block, counts))
    for name, offset, at in everything:
        if _is_provable(block.SPACE, offset, at, everything):
            member = re.split(r"\W", name)[0]
            found[member] = (*found.get(member, ()), name)
    return found


def provable_names(block: type[Block], **counts: int) -> list[str]:
    """The names of all registers that `provable` finds, in the order of the block."""
    return [name for names in provable(block, **counts).values() for name in names]


def _is_provable(
    space: Space, offset: int, at: At[Any] | AtArray[Any], everything: Sequence[tuple[str, int, At[Any] | AtArray[Any]]]
) -> bool:
    if at.alias or at.effect or at.access == "wo" or at.register.WIDTH > _WIDEST:
        return False
    place: Place[Any] = Place(space, 0, offset, at.register, "", at.access, at.effect, at.volatile)
    if not BitKinds.of(place).compared:
        return False
    if at.access not in ("ro", "rc"):
        return True
    return space is not Space.MSR and not any(other == offset and its is not at for _, other, its in everything)


def _layout(
    block: type[Block], counts: dict[str, int], at: int = 0
) -> Iterator[tuple[str, int, At[Any] | AtArray[Any]]]:
    """Every register of a block, those of nested blocks too: name, offset, declaration."""
    members: dict[str, Any] = {}
    for base in reversed(block.__mro__):
        members.update({n: i for n, i in vars(base).items() if isinstance(i, At | AtArray | Sub | Array)})
    for name, item in members.items():
        if isinstance(item, At):
            yield name, at + item.offset, item
        elif isinstance(item, Sub):
            for inner, offset, declared in _layout(item.block, counts, at + item.offset):
                yield f"{name}.{inner}", offset, declared
        else:
            for index in range(counts.get(name, item.count)):
                offset = at + item.offset + index * item.stride
                if isinstance(item, AtArray):
                    yield f"{name}[{index}]", offset, item
                else:
                    for inner, deeper, declared in _layout(item.block, counts, offset):
                        yield f"{name}[{index}].{inner}", deeper, declared


def named_register(block: Block, name: str) -> Bound[Any]:
    """The register of a bound block that `provable` calls so. Raises `AttributeError` or `FieldError` for none."""
    found: Any = block
    for part in name.split("."):
        match = _INDEXED.match(part)
        if match is None:
            raise AttributeError(f"{block.name} has no register {name!r}")
        found = getattr(found, match[1])
        if match[2] is not None:
            found = found[int(match[2])]
    assert isinstance(found, Bound)
    return found
