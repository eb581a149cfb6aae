"""UEFI firmware for x86-64 on this host, found through QEMU's firmware descriptors.

Descriptors: docs/interop/firmware.json in QEMU's sources, "firmware descriptor files".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FirmwareFiles", "find_uefi"]

_DESCRIPTORS = (Path("/etc/qemu/firmware"), Path("/usr/local/share/qemu/firmware"), Path("/usr/share/qemu/firmware"))
# Distributions that ship the files without descriptors.
_KNOWN = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
)


@dataclass(frozen=True)
class FirmwareFiles:
    """One UEFI build: its code (never written) and the template of its variable store."""

    code: Path
    variables: Path | None


def find_uefi(machine: str = "q35") -> FirmwareFiles | None:
    """The first UEFI firmware without Secure Boot that runs on that machine type, or `None`."""
    seen: set[str] = set()
    for folder in _DESCRIPTORS:
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            if path.name in seen:
                continue  # an earlier folder overrides a file of the same name
            seen.add(path.name)
            if found := _from_descriptor(path, machine):
                return found
    for code, variables in _KNOWN:
        if Path(code).is_file():
            return FirmwareFiles(Path(code), Path(variables) if Path(variables).is_file() else None)
    return None


def _from_descriptor(path: Path, machine: str) -> FirmwareFiles | None:
    try:
        descriptor: Any = json.loads(path.read_text(encoding="utf-8"))
        if "uefi" not in descriptor["interface-types"] or "secure-boot" in descriptor.get("features", ()):
            return None
        fits = any(
            target["architecture"] == "x86_64" and any(machine in pattern for pattern in target["machines"])
            for target in descriptor["targets"]
        )
        mapping = descriptor["mapping"]
        if not fits or mapping["device"] != "flash":
            return None
        code = Path(mapping["executable"]["filename"])
        template = mapping.get("nvram-template")
        variables = Path(template["filename"]) if template is not None else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a broken descriptor is ignored; another one may be usable
    if not code.is_file() or (variables is not None and not variables.is_file()):
        return None
    return FirmwareFiles(code, variables)
