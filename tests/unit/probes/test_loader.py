"""Probe files: found, named, imported, rewritten; and what is refused, where and why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from harness.probes.assertions import explained_comparisons
from harness.probes.loader import LoadError, catalogue_root, discover, load_file, load_probes
from harness.probes.probe_places import probe_files

HEAD = "from harness.probes.probe import probe\n"
GOOD = HEAD + dedent('''
    @probe(spec="SDM, Masking")
    def rule(k):
        """One rule."""
        k.sti()
        run = yield
        assert run.vectors == [64]
''')

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return to


class FakeRun:
    def __init__(self, vectors: list[int]) -> None:
        self.vectors = vectors


class FakeKernel:
    def sti(self) -> None:
        pass


def judge(path: Path, root: Path, vectors: list[int]) -> str:
    """The message of a probe's failing judgement; empty when it passes."""
    (found,) = load_file(path, root)
    body = found.function(FakeKernel())
    next(body)
    try:
        body.send(FakeRun(vectors))  # type: ignore[arg-type]
    except StopIteration:
        return ""
    except AssertionError as error:
        return str(error)
    raise AssertionError("a second yield")


def test_a_probe_has_its_file_and_line(write: Write, tmp_path: Path) -> None:
    path = write("timers/hpet.py", GOOD)
    (found,) = load_probes([tmp_path])
    assert (found.path, found.root) == (path, tmp_path)
    assert (found.id, found.area, found.rule) == ("timers/hpet.py::rule", "timers", "One rule.")
    assert found.line == 3


def test_assertions_show_their_values(write: Write, tmp_path: Path) -> None:
    path = write("a.py", GOOD)
    assert judge(path, tmp_path, [64]) == ""
    assert judge(path, tmp_path, [64, 65]).startswith("assert [64, 65] == [64]")
    with explained_comparisons():
        assert "Left contains one more item: 65" in judge(path, tmp_path, [64, 65])


def test_comparisons_are_explained_outside_of_pytest_too(write: Write, tmp_path: Path) -> None:
    write("a.py", GOOD)
    script = dedent(f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from harness.probes.assertions import explained_comparisons
        from test_loader import judge
        with explained_comparisons():
            print(judge(Path({str(tmp_path / "a.py")!r}), Path({str(tmp_path)!r}), [64, 65]))
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "assert [64, 65] == [64]" in done.stdout
    assert "Left contains one more item: 65" in done.stdout


def test_equal_names_in_two_folders_do_not_meet(write: Write, tmp_path: Path) -> None:
    first = write("one/same.py", GOOD.replace("One rule", "First"))
    second = write("two/same.py", GOOD.replace("One rule", "Second"))
    rules = [found.rule for found in load_probes([first.parent, second.parent])]
    assert rules == ["First.", "Second."]
    modules = {found.function.__module__ for found in load_probes([first.parent, second.parent])}
    assert len(modules) == 2
    assert all(sys.modules[name].__file__ in (str(first), str(second)) for name in modules)


def test_similar_names_do_not_collide(write: Write, tmp_path: Path) -> None:
    write("a-b.py", GOOD)
    write("a_b.py", GOOD)
    assert len({found.function.__module__ for found in load_probes([tmp_path])}) == 2


def test_relative_imports_find_helpers(write: Write, tmp_path: Path) -> None:
    write("area/_shared.py", "VECTOR = 64\n")
    write("area/p.py", "from ._shared import VECTOR\n" + GOOD.replace("[64]", "[VECTOR]"))
    assert [found.id for found in load_probes([tmp_path])] == ["area/p.py::rule"]


def test_a_folder_is_searched_for_what_may_hold_probes(write: Write, tmp_path: Path) -> None:
    for name in ("b.py", "a/z.py", "_helper.py", ".hidden.py", "conftest.py", "__pycache__/c.py", ".git/d.py", "x.txt"):
        write(name, GOOD)
    write("venv/pyvenv.cfg", "")
    write("venv/lib/e.py", GOOD)
    assert [path.relative_to(tmp_path).as_posix() for path in probe_files(tmp_path)] == ["b.py", "a/z.py"]


def test_a_module_without_probes_is_not_run(write: Write, tmp_path: Path) -> None:
    write("tool.py", "raise SystemExit('ran')\n")
    assert load_probes([tmp_path]) == []


def test_path_with_a_name(write: Write) -> None:
    path = write("a.py", GOOD + GOOD.removeprefix(HEAD).replace("def rule", "def other"))
    assert [found.name for found in load_probes([path])] == ["rule", "other"]
    assert [found.name for found in load_probes([Path(f"{path}::other[x]")])] == ["other"]
    with pytest.raises(LoadError, match="holds no probe named 'missing'"):
        load_probes([Path(f"{path}::missing")])


def test_a_probe_that_is_imported_belongs_to_its_own_file(write: Write, tmp_path: Path) -> None:
    write("a.py", GOOD)
    write("b.py", "from .a import rule  # a probe\n")
    assert [found.id for found in load_probes([tmp_path])] == [f"{tmp_path.name}/a.py::rule"]


def test_families_keep_their_parameters(write: Write, tmp_path: Path) -> None:
    text = GOOD.replace("@probe(", "@probe.each(pin=[2, 20])\n@probe(").replace("(k)", "(k, pin)")
    (found,) = load_file(write("a.py", text), tmp_path)
    assert [case.id for case in found.cases()] == ["a.py::rule[pin2]", "a.py::rule[pin20]"]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ("vector=[9, 10, 0x50]", ["vector9", "vector0xa", "vector0x50"]),
        ("number=[0, 0x809]", ["number0", "number0x809"]),
        ("pin=[9, 20]", ["pin9", "pin20"]),
        ("masked=[True, False]", ["masked", "no_masked"]),
        ("mask=[True, 0xF0]", ["mask", "mask0xf0"]),
    ],
)
def test_vectors_addresses_and_the_like_are_hexadecimal_in_ids(
    write: Write, tmp_path: Path, values: str, labels: list[str]
) -> None:
    name = values.partition("=")[0]
    text = GOOD.replace("@probe(", f"@probe.each({values})\n@probe(").replace("(k)", f"(k, {name})")
    (found,) = load_file(write("a.py", text), tmp_path)
    assert [case.label for case in found.cases()] == labels


def body(text: str) -> str:
    return HEAD + '\n@probe(spec="SDM")\ndef rule(k):\n    """Rule."""\n' + text


REFUSED = {
    "not a generator": (body("    assert k\n"), 4, "is not a generator; write `run = yield`"),
    "two yields": (body("    run = yield\n    assert run\n    run = yield\n"), 8, "has 2 yields (lines 6, 8)"),
    "bare yield": (body("    yield\n    assert k\n"), 6, "does not keep the run"),
    "yield with a value": (body("    run = yield 5\n    assert run\n"), 6, "`yield 5` gives a value away"),
    "yield from": (body("    run = yield from k\n    assert run\n"), 6, "`yield from` is not allowed"),
    "yield in with": (body("    with k:\n        run = yield\n    assert run\n"), 7, "inside `with`"),
    "yield in try": (
        body("    try:\n        run = yield\n    finally:\n        pass\n    assert run\n"),
        7,
        "inside `try`",
    ),
    "yield in for": (body("    for x in k:\n        run = yield\n    assert run\n"), 7, "inside `for`"),
    "yield in while": (body("    while k:\n        run = yield\n    assert run\n"), 7, "inside `while`"),
    "yield in if": (body("    if k:\n        run = yield\n    assert run\n"), 7, "inside `if`"),
    "nothing asserted": (body("    run = yield\n    print(run)\n"), 6, "asserts nothing below the yield"),
    "asserted only in a nested function": (
        body("    run = yield\n    def check():\n        assert run\n    check()\n"),
        6,
        "asserts nothing below the yield",
    ),
    "constant assertion": (body("    run = yield\n    assert True\n"), 7, "tests a constant"),
    "tuple assertion": (body("    run = yield\n    assert (run, 'why')\n"), 7, "tests a constant"),
    "asserted above": (body("    assert k\n    run = yield\n    assert run\n"), 6, "asserts above the yield"),
    "asserted above in a block": (
        body("    with k.handler(1):\n        assert k\n    run = yield\n    assert run\n"),
        7,
        "asserts above the yield",
    ),
    "no docstring": (GOOD.replace('    """One rule."""\n', ""), 4, "has no docstring"),
    "empty docstring": (GOOD.replace("One rule.", " "), 4, "has no docstring"),
    "no k": (GOOD.replace("(k)", "(kernel)"), 4, "the first parameter must be the kernel builder"),
    "no parameters": (GOOD.replace("(k)", "()"), 4, "the first parameter must be the kernel builder"),
    "star parameters": (GOOD.replace("(k)", "(k, *rest)"), 4, "*rest is not allowed"),
    "parameter without values": (GOOD.replace("(k)", "(k, pin)"), 4, "add @probe.each(pin=[…])"),
    "values without parameter": (
        GOOD.replace("@probe(", "@probe.each(pin=[1])\n@probe("),
        5,
        "@probe.each(pin=…) names",
    ),
    "no values": (GOOD.replace("@probe(", "@probe.each(pin=[])\n@probe("), 3, "has no values"),
    "no spec": (
        GOOD.replace('@probe(spec="SDM, Masking")', "@probe.each(k2=[1])").replace("(k)", "(k, k2)"),
        3,
        "cites no",
    ),
    "empty spec": (GOOD.replace("SDM, Masking", " "), 3, "spec= must cite"),
    "not called": (GOOD.replace('@probe(spec="SDM, Masking")', "@probe"), 3, "the decorator is not called"),
    "same name twice": (GOOD + GOOD.removeprefix(HEAD), 11, "line 4 defines the same name"),
    "async": (GOOD.replace("def rule", "async def rule"), 4, "is an async function"),
    "import error": ("import nowhere_at_all  # probe\n" + GOOD, 1, "cannot be imported: ModuleNotFoundError"),
    "error while importing": (GOOD + "\n\n1 / 0\n", 11, "cannot be imported: ZeroDivisionError"),
    "exit while importing": (
        GOOD + "\n\nraise SystemExit(3)\n",
        11,
        "cannot be imported: ProbeExit: sys.exit(3) was called",
    ),
    "syntax error": (GOOD + "\ndef (\n", 10, "SyntaxError"),
    "lambda": (HEAD + '\nrule = probe(spec="S")(lambda k: (yield))\n', 3, "is not defined by `def`"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, write: Write, tmp_path: Path) -> None:
    text, line, reason = REFUSED[name]
    path = write("bad.py", text)
    with pytest.raises(LoadError) as caught:
        load_probes([tmp_path])
    problem = caught.value.problems[0]
    assert reason in problem.text
    assert (problem.path, problem.line) == (path, line)
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_every_problem_of_every_file_is_reported_at_once(write: Write, tmp_path: Path) -> None:
    write("a.py", GOOD.replace("(k)", "(kernel, pin)").replace('    """One rule."""\n', ""))
    write("b.py", GOOD.replace("yield", "5"))
    write("c.py", GOOD)
    found = discover([tmp_path])
    assert [probe.path.name for probe in found.probes] == ["c.py"]
    assert [problem.path.name for problem in found.problems] == ["a.py", "a.py", "a.py", "b.py"]


def test_an_error_in_a_helper_shows_the_way_from_the_probe(write: Write, tmp_path: Path) -> None:
    write("_helper.py", "def broken():\n    return {}['key']\n")
    write("a.py", "from ._helper import broken\n" + GOOD + "\nbroken()\n")
    with pytest.raises(LoadError) as caught:
        load_probes([tmp_path])
    text = caught.value.problems[0].text
    assert "KeyError: 'key'" in text
    assert "_helper.py" in text
    assert "loader.py" not in text


def test_a_file_that_failed_leaves_no_module(write: Write, tmp_path: Path) -> None:
    path = write("a.py", GOOD + "\n1 / 0\n")
    with pytest.raises(LoadError):
        load_file(path, tmp_path)
    assert not [name for name, module in sys.modules.items() if getattr(module, "__file__", None) == str(path)]


@pytest.mark.parametrize(
    ("path", "reason"), [("missing.py", "no such file or folder"), (".::name", "is a folder; ::NAME needs a file")]
)
def test_paths_that_do_not_exist(path: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=reason):
        load_probes([tmp_path / path if not path.startswith(".") else Path(f"{tmp_path}{path[1:]}")])


def test_a_named_file_without_probes_is_refused(write: Write) -> None:
    with pytest.raises(LoadError, match="holds no probe; decorate one"):
        load_probes([write("plain.py", "x = 1\n")])


def test_python_dash_o_is_refused(write: Write, tmp_path: Path) -> None:
    path = write("a.py", GOOD)
    script = f"from pathlib import Path; from harness.probes.loader import *; load_file(Path({str(path)!r}), Path('/'))"
    done = subprocess.run([sys.executable, "-O", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "python -O strips assertions" in done.stderr


def test_the_catalogue_ships_beside_the_guest_package() -> None:
    import guest

    assert catalogue_root() == Path(guest.__file__ or "").parent / "probes"


def test_an_unknown_coverage_id_is_a_problem_of_the_file(write: Write, tmp_path: Path) -> None:
    write("good.py", GOOD)
    write("bad.py", GOOD.replace('spec="', 'covers=["lapic.self-ipii"], spec="', 1))
    found = discover([tmp_path])
    assert [probe.path.name for probe in found.probes] == ["good.py"]
    (problem,) = found.problems
    assert "covers 'lapic.self-ipii', which is no coverage id; did you mean" in str(problem)


@pytest.mark.parametrize(("content", "text"), [(b"\x7fELF\2\1\1\0", "is an ELF image"), (b"\0", "is no Python file")])
def test_a_file_that_is_no_python_is_named(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "own.elf").write_bytes(content)
    (problem,) = discover([tmp_path / "own.elf"]).problems
    assert text in str(problem)
