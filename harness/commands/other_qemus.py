"""The QEMUs that `make qemu-all` installs in addition to that of the distribution."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["other_qemus"]


def other_qemus(folder: Path = Path("qemus")) -> list[Path]:
    """The programs `FOLDER/VERSION/qemu-system-x86_64` that exist, the oldest first."""
    found = [path for path in folder.glob("*/qemu-system-x86_64") if re.fullmatch(r"\d+(\.\d+)*", path.parent.name)]
    return sorted(found, key=lambda path: [int(part) for part in path.parent.name.split(".")])
