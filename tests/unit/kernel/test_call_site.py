"""Every line of a text finds its way back to the Python line that it was written on."""

from __future__ import annotations

import importlib.util
import sys
import textwrap
from pathlib import Path
from types import FrameType, ModuleType

import pytest

from harness.assembly import Origin, SourceLine
from harness.kernel.call_site import source_from_call

FILE = Path(__file__)
HERE = str(FILE.relative_to(Path.cwd()) if FILE.is_relative_to(Path.cwd()) else FILE)


def asm(text: str, block: int = 0) -> list[SourceLine]:
    frame = sys._getframe(1)
    return source_from_call(text, frame, block)


def _where(lines: list[SourceLine]) -> list[str]:
    """Each line as `text@line`, checked against this very file."""
    source = FILE.read_text().splitlines()
    for line in lines:
        assert line.origin.file == HERE
        if line.text.strip() and line.origin.within is None:
            assert line.text.split()[-1] in source[line.origin.line - 1]
    return [f"{line.text.strip()}@{line.origin.line}" for line in lines if line.text.strip()]


def _line(marker: str) -> int:
    """The line of this file that ends with a comment."""
    for number, line in enumerate(FILE.read_text().splitlines(), 1):
        if line.endswith(f"# <{marker}>"):
            return number
    raise AssertionError(marker)


# Where each piece stands is what these tests are about.
# fmt: off
def test_triple_quotes() -> None:
    first = _line("triple") + 1
    lines = asm(  # <triple>
        """
        first_line
          second_line
        """
    )
    assert _where(lines) == [f"first_line@{first + 1}", f"second_line@{first + 2}"]
    assert [line.origin.column for line in lines[1:3]] == [None, None]


def test_one_line() -> None:
    lines = asm("just_one", block=7)  # <one>
    assert _where(lines) == [f"just_one@{_line('one')}"]
    assert lines[0].block == 7
    assert lines[0].origin.column == FILE.read_text().splitlines()[_line("one") - 1].index("just_one") + 1


def test_escapes_and_concatenation() -> None:
    start = _line("many")
    lines = asm(  # <many>
        "a_one\n"
        "b_two\nc_three\n"  # a comment between
        r"d_four"
        "\n\te_five\n" "f_six"
        """
        g_seven
        h_\
eight"""
    )
    assert [f"{line.text.strip()}@{line.origin.line - start}" for line in lines if line.text.strip()] == [
        "a_one@1",
        "b_two@2",
        "c_three@2",
        "d_four@3",
        "e_five@4",
        "f_six@4",
        "g_seven@6",
        "h_eight@7",
    ]


def test_dedented_by_the_caller() -> None:
    start = _line("dedent")
    lines = asm(textwrap.dedent("""\
        dedented_one
            dedented_two
    """))  # <dedent>
    assert _where(lines) == [f"dedented_one@{start - 2}", f"dedented_two@{start - 1}"]
    assert [line.origin.column for line in lines] == [9, 9]


def test_dedented_by_the_callee() -> None:
    def stripped(text: str) -> list[SourceLine]:
        return source_from_call(textwrap.dedent(text).strip(), sys._getframe(1))

    start = _line("callee")
    lines = stripped("""

        callee_one

        callee_two
    """)  # <callee>
    assert _where(lines) == [f"callee_one@{start - 3}", f"callee_two@{start - 1}"]


def test_built_elsewhere() -> None:
    name = "x"
    lines = asm(f"fstring_{name}\nsecond")  # <fstring>
    assert [str(line.origin) for line in lines] == [
        f"{HERE}:{_line('fstring')} (line 1 of the text)",
        f"{HERE}:{_line('fstring')} (line 2 of the text)",
    ]
    text = "variable\nother"
    lines = asm(text)  # <variable>
    assert lines[1].origin == Origin(HERE, _line("variable"), None, 2)


def test_several_calls_on_one_line_and_unicode() -> None:
    é = asm
    first, second = é("ä_one"), é("ö_two")  # <unicode>
    row = FILE.read_text().splitlines()[_line("unicode") - 1]
    assert [first[0].origin.column, second[0].origin.column] == [row.index("ä_one") + 1, row.index("ö_two") + 1]


def test_keyword_and_method_chain() -> None:
    class K:
        def asm(self, text: str) -> list[SourceLine]:
            return source_from_call(text, sys._getframe(1))

        def me(self) -> K:
            return self

    start = _line("chain")
    lines = (  # <chain>
        K()
        .me()
        .asm(
            text="""chain_one
            chain_two"""
        )
    )
    assert _where(lines) == [f"chain_one@{start + 4}", f"chain_two@{start + 5}"]


# fmt: on

MODULE = '''
def probe(asm):
    x = 1
    assert x == 1, "rewritten"
    lines = asm("""
        module_one
        module_two
    """)
    assert len(lines) == 4
    yield lines
    assert asm("module_three")[0].text == "module_three"
    yield asm("module_four")
'''


def test_module_with_rewritten_asserts(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    path = tmp_path / "rewritten_probe.py"
    path.write_text(MODULE)
    sys.path.insert(0, str(tmp_path))
    try:
        pytest.register_assert_rewrite("rewritten_probe")
        module = importlib.import_module("rewritten_probe")
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("rewritten_probe", None)
    assert "AssertionRewritingHook" in type(module.__loader__).__name__
    body = module.probe(asm)
    assert [str(line.origin) for line in next(body)[1:3]] == [f"{path}:6", f"{path}:7"]
    assert next(body)[0].origin == Origin(str(path), 12, 16)


def test_files_below_the_current_folder_are_named_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FILE.parent)
    assert asm("nop")[0].origin.file == FILE.name
    monkeypatch.chdir("/")
    assert asm("nop")[0].origin.file == str(FILE).removeprefix("/")
    monkeypatch.chdir(FILE.parents[1] / "assembly")
    assert asm("nop")[0].origin.file == str(FILE)


def test_source_that_cannot_be_read() -> None:
    module = ModuleType("generated")
    exec(compile("def f(asm):\n    return asm('''a\nb''')\n", "<generated>", "exec"), module.__dict__)
    assert [line.origin for line in module.f(asm)] == [
        Origin("<generated>", 2, None, 1),
        Origin("<generated>", 2, None, 2),
    ]


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    for count in (1, 3):
        path = tmp_path / "changing.py"
        path.write_text("\n" * count + "def f(asm):\n    return asm('x_y')\n")
        spec = importlib.util.spec_from_file_location("changing", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
        assert module.f(asm)[0].origin == Origin(str(path), count + 2, 17)


def test_it_is_cheap() -> None:
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    asm("warm")
    sys.setprofile(count)
    try:
        asm("counted")
    finally:
        sys.setprofile(None)
    assert calls < 120  # Python functions entered; parsing the file again would take thousands
