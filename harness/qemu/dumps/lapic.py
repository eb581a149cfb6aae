"""`info lapic N`: one CPU's local APIC.

The format is that of QEMU's `x86_cpu_dump_local_apic_state` (target/i386/cpu-dump.c).
"""

from __future__ import annotations

import re

from harness.hardware.state import LapicState
from harness.qemu.errors import DumpError

__all__ = ["parse_lapic"]

_WHAT = "info lapic"
_LAST_VECTOR = 255
_LVT_NAMES = {
    "LVT0": "LINT0",
    "LVT1": "LINT1",
    "LVTPC": "PERF",
    "LVTERR": "ERROR",
    "LVTTHMR": "THERMAL",
    "LVTT": "TIMER",
    "LVTCMCI": "CMCI",
}
_CPU = re.compile(r"dumping local APIC state for CPU ([0-9]{1,10})")
_LVT = re.compile(r"(LVT[A-Z0-9]{1,8})\t 0x([0-9a-f]{8}) active-(?:hi|lo) .*")
_TIMER = re.compile(
    r"Timer\t DCR=0x([0-9a-f]{1,8}) \(divide by [0-9]{1,3}\)"
    r" initial_count = ([0-9]{1,10}) current_count = ([0-9]{1,10})"
)
_SPIV = re.compile(r"SPIV\t 0x([0-9a-f]{8}) APIC .*")
_ICR = re.compile(r"ICR\t 0x([0-9a-f]{8}) .*")
# In a destination format that is neither flat nor cluster, QEMU leaves out the end of the ICR2 line.
_ICR2 = re.compile(r"ICR2\t 0x([0-9a-f]{8})(?: (?:cpu|mask|cluster) .*)?(?:ESR\t 0x([0-9a-f]{8}))?")
_ESR = re.compile(r"ESR\t 0x([0-9a-f]{8})")
_VECTORS = re.compile(r"(ISR|IRR)\t (\(none\)|[0-9]{1,3}(?:\(level\))?(?: [0-9]{1,3}(?:\(level\))?)*)")
_VECTOR = re.compile(r"([0-9]{1,3})(\(level\))?")
_APR = re.compile(
    r"APR 0x([0-9a-f]{1,8}) TPR 0x([0-9a-f]{1,8}) DFR 0x([0-9a-f]{1,8}) LDR 0x([0-9a-f]{1,8})"
    r"(?:\(cluster [0-9]{1,5}: id [0-9]{1,5}\))? PPR 0x([0-9a-f]{1,8})"
)


def parse_lapic(text: str) -> LapicState:
    """The local APIC of an `info lapic` dump.

    `apic_id` is QEMU's CPU index (the dump has no ID register), `ldr` and `dfr` are in the form of the registers,
    `tmr` holds only vectors that are in ISR or IRR. Raises DumpError.
    """
    lvt: dict[str, int] = {}
    values: dict[str, int] = {}
    vectors: dict[str, frozenset[int]] = {}
    level: set[int] = set()
    for line in text.replace("\r", "").splitlines():
        line = line.rstrip()
        if not line:
            continue
        if match := _CPU.fullmatch(line):
            values["cpu"] = int(match[1])
        elif (match := _LVT.fullmatch(line)) and match[1] in _LVT_NAMES:
            lvt[_LVT_NAMES[match[1]]] = int(match[2], 16)
        elif match := _TIMER.fullmatch(line):
            values |= {"divide": int(match[1], 16), "initial": int(match[2]), "current": int(match[3])}
        elif match := _SPIV.fullmatch(line):
            values["svr"] = int(match[1], 16)
        elif match := _ICR2.fullmatch(line):
            values["icr2"] = int(match[1], 16)
            if match[2] is not None:
                values["esr"] = int(match[2], 16)
        elif match := _ICR.fullmatch(line):
            values["icr"] = int(match[1], 16)
        elif match := _ESR.fullmatch(line):
            values["esr"] = int(match[1], 16)
        elif match := _VECTORS.fullmatch(line):
            found = _VECTOR.findall(match[2])
            vectors[match[1]] = frozenset(int(vector) for vector, _ in found)
            if max(vectors[match[1]], default=0) > _LAST_VECTOR:
                raise DumpError(_WHAT, line, text, f"vectors up to {_LAST_VECTOR}")
            level |= {int(vector) for vector, mode in found if mode}
        elif match := _APR.fullmatch(line):
            values |= dict(zip(("apr", "tpr", "dfr", "ldr", "ppr"), (int(g, 16) for g in match.groups()), strict=True))
        else:
            raise DumpError(_WHAT, line, text)
    try:
        return LapicState(
            apic_id=values["cpu"],
            version=None,
            tpr=values["tpr"],
            ppr=values["ppr"],
            svr=values["svr"],
            icr=values["icr2"] << 32 | values["icr"],
            esr=values["esr"],
            lvt={name: lvt[name] for name in ("TIMER", "LINT0", "LINT1", "PERF", "THERMAL", "ERROR")}
            | ({"CMCI": lvt["CMCI"]} if "CMCI" in lvt else {}),
            divide=values["divide"],
            initial_count=values["initial"],
            current_count=values["current"],
            isr=vectors["ISR"],
            irr=vectors["IRR"],
            tmr=frozenset(level),
            ldr=values["ldr"] << 24,
            dfr=values["dfr"] << 28 | 0x0FFF_FFFF,
        )
    except KeyError as missing:
        raise DumpError(_WHAT, "", text, f"a line for {missing.args[0]}") from None
