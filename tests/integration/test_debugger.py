"""A debugger on a running guest: symbols, lines and breakpoints on assembly and on a probe's own Python lines."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.image.files import ImageFiles, write_image, write_rom
from harness.probes.loader import catalogue_root, load_probes
from harness.run.build import build
from harness.run.targets import find_targets

pytestmark = pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed")

ROOT = Path(__file__).parents[2]
PROBE = '''"""A probe with assembly of its own."""
from harness import Kernel, ProbeBody, probe

VECTOR = 0x41


@probe(spec="SDM volume 2, INT n")
def software_interrupt(k: Kernel) -> ProbeBody:
    """A software interrupt runs its handler."""
    with k.handler(VECTOR):
        k.asm("""
            mov r9d, 0x1234             # in the handler
            nop
        """)
    k.asm("""
        mov r8d, 0x5678                 # before
        int 0x41                        # the cause
    .Lafter:
        xor r8d, r8d                    # after
    """)
    run = yield
    assert run.vectors == [VECTOR]
'''


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    path = tmp_path / "software.py"
    path.write_text(PROBE)
    return path


def _image(path: Path, folder: Path) -> ImageFiles:
    root = catalogue_root() if path.is_relative_to(catalogue_root()) else None
    case = load_probes([path], root)[0].cases()[0]
    return write_image(folder, "guest", build(case, find_targets([])[0]).image)


def _line(path: Path, marker: str) -> int:
    (found,) = [number for number, line in enumerate(path.read_text().splitlines(), 1) if marker in line]
    return found


def _gdb(image: Path, *commands: str) -> str:
    words = ["gdb", "-nx", "-batch", *(word for command in commands for word in ("-ex", command)), str(image)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


def _attach(*arguments: str) -> str:
    """GDB starts the machine itself and talks to it through a pipe; it cannot outlive GDB."""
    machine = "qemu-system-x86_64 -M q35 -m 64 -nodefaults -display none -serial none -gdb stdio -S"
    return f"target remote | exec setpriv --pdeathsig KILL {machine} {' '.join(arguments)}"


def test_info_line(probe: Path, tmp_path: Path) -> None:
    files = _image(probe, tmp_path)
    markers = ["in the handler", "before", "the cause", "after"]
    lines = {marker: _line(probe, f"# {marker}") for marker in markers}
    told = _gdb(files.elf, *(f"info line {probe}:{number}" for number in lines.values()), f"list {probe}:5,6")
    for marker, number in lines.items():
        assert re.search(rf'Line {number} of "[^"]*software\.py" starts at address 0x\w+ <.*> and ends at', told), (
            marker
        )
    listing = files.listing.read_text()
    for number, statement in ((lines["before"], "mov r8d, 0x5678"), (lines["the cause"], "int 0x41")):
        match = re.search(rf"Line {number} of .* starts at address 0x(\w+)", told)
        assert match is not None
        assert re.search(rf"^{int(match.group(1), 16):08x} +(?:\w\w )+ +{statement}", listing, re.MULTILINE)


@pytest.mark.parametrize("boot", ["multiboot", "rom"])
def test_breakpoints_are_hit(probe: Path, tmp_path: Path, boot: str) -> None:
    """In source order: a runtime routine, the assembly in the probe, its handler, and what follows it."""
    files = _image(probe, tmp_path)
    if boot == "multiboot":
        machine = _attach("-kernel", str(files.elf))
    else:
        case = load_probes([probe])[0].cases()[0]
        rom = write_rom(tmp_path, build(case, find_targets([])[0]).image)
        staged = f"loader,file={files.staging},addr=0x2000000,force-raw=on"
        machine = _attach("-bios", str(rom), "-device", staged)
    runtime = ROOT / "guest" / "runtime" / "start.asm"
    stops = [
        (runtime.relative_to(ROOT), _line(runtime, "call load_segments")),
        (probe, _line(probe, "# before")),
        (probe, _line(probe, "# in the handler")),
        (probe, _line(probe, "# after")),
    ]
    commands = [machine, *(f"hbreak {path}:{number}" for path, number in stops)]
    show = 'printf "r8=%x r9=%x\\n", $r8d, $r9d'
    commands += ["continue", "continue", "continue", "next", show, "continue", show]
    told = _gdb(files.elf, *commands, "kill")
    for index, (path, number) in enumerate(stops, 1):
        assert re.search(rf"^Breakpoint {index}, .* at {re.escape(str(path))}:{number}$", told, re.MULTILINE), told
        assert path.read_text().splitlines()[number - 1].strip() in told
    in_handler, after = re.findall(r"^r8=(\w+) r9=(\w+)$", told, re.MULTILINE)
    assert in_handler == ("5678", "1234"), told
    assert after[0] == "5678" and after[1] != "1234", told  # the stub restores what the handler changed


def test_a_probe_is_stepped_through_by_its_python_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    path = catalogue_root() / "timers" / "hpet.py"
    files = _image(path, tmp_path)
    first = _line(path, "k.ioapic.redirect(")
    stop = f"hbreak guest/probes/timers/hpet.py:{first}"
    told = _gdb(files.elf, _attach("-kernel", str(files.elf)), stop, "continue", "next", "next", "next", "kill")
    source = path.read_text().splitlines()
    places = [told.find(f"{number}\t{source[number - 1]}") for number in range(first, first + 4)]
    assert -1 not in places and places == sorted(places), told
