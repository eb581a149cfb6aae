"""`trapgate asm`."""

from __future__ import annotations

from pathlib import Path

import typer
from typer.testing import CliRunner

from harness.commands.asm import asm_command

app = typer.Typer()
app.command()(asm_command)
run = CliRunner()


def test_listing(tmp_path: Path) -> None:
    path = tmp_path / "a.asm"
    path.write_text('start: mov eax, 0x10  # sixteen\n  jmp start\n.ascii "0123456789"\n')
    done = run.invoke(app, [str(path), "--address", "0x7c00"])
    assert done.exit_code == 0, done.output
    assert [" ".join(line.split()) for line in done.stdout.splitlines()] == [
        "7c00 start:",
        "7c00 b8 10 00 00 00 mov eax, 0x10 mov eax, 0x10",
        "7c05 eb f9 jmp 0x7c00 jmp start",
        '7c07 30 31 32 33 34 35 36 37 .ascii "0123456789"',
        "7c0f 38 39",
    ]


def test_bytes_only_from_standard_input() -> None:
    done = run.invoke(app, ["-", "--hex", "--mode", "16"], input="call x\nx: ret\n")
    assert (done.exit_code, done.stdout) == (0, "e80000c3\n")


def test_refusal(tmp_path: Path) -> None:
    path = tmp_path / "bad.asm"
    path.write_text("nop\niret\nmov al, 300\n")
    done = run.invoke(app, [str(path)])
    assert done.exit_code == 1 and done.stdout == ""
    assert f"{path}:2: `iret`: " in done.stderr and "write iretq" in done.stderr and f"{path}:3: " in done.stderr


def test_bad_usage(tmp_path: Path) -> None:
    assert "cannot be read" in run.invoke(app, [str(tmp_path / "none")]).stderr
    assert run.invoke(app, [str(tmp_path / "none")]).exit_code == 1
    assert run.invoke(app, ["-", "--address", "here"], input="nop").exit_code == 2
    assert run.invoke(app, ["-", "--mode", "8"], input="nop").exit_code == 2
