"""The cache: the same result, whatever happens to the folder."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import disk_cache
from harness.assembly import Assembled, AssemblyError, assemble, cache, source_from_text
from harness.assembly.unit import Unit

SOURCE = source_from_text('start: mov eax, COUNT\n.Lx: jmp .Lx\n.asciz "é"\ncall OTHER', "c.asm")
CONSTANTS, SYMBOLS = {"COUNT": 5}, {"OTHER": 0x3000}


def _make(address: int = 0x1000) -> Assembled:
    return assemble(SOURCE, address=address, constants=CONSTANTS, symbols=SYMBOLS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAPGATE_CACHE", str(tmp_path / "cache"))
    disk_cache.prune.cache_clear()
    return tmp_path / "cache" / "assembly"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the units that are really assembled."""
    count: list[int] = []
    real = Unit.assemble

    def counted(self: Unit) -> Assembled:
        count.append(1)
        return real(self)

    monkeypatch.setattr(Unit, "assemble", counted)
    return count


def _same(left: Assembled, right: Assembled) -> bool:
    return (left.address, left.code, left.symbols, left.lines) == (
        right.address,
        right.code,
        right.symbols,
        right.lines,
    )


def test_second_time_comes_from_the_cache(folder: Path, built: list[int]) -> None:
    first, second = _make(), _make()
    assert len(built) == 1 and len(list(folder.iterdir())) == 1
    assert _same(first, second) and first.lines


def test_places_are_those_of_the_caller(folder: Path, built: list[int]) -> None:
    _make()
    moved = source_from_text("\n".join(line.text for line in SOURCE), "moved.asm", 100)
    done = assemble(moved, address=0x1000, constants=CONSTANTS, symbols=SYMBOLS)
    assert len(built) == 1
    assert str(done.lines[0].origin) == "moved.asm:100"


def test_all_that_matters_is_in_the_key(folder: Path, built: list[int]) -> None:
    one = {"a": 1}
    line = source_from_text("nop", "f")
    calls: list[Callable[[], Assembled]] = [
        lambda: assemble(line, address=0),
        lambda: assemble(line, address=1),
        lambda: assemble(line, address=0, mode=32),
        lambda: assemble(line, address=0, constants=one),
        lambda: assemble(line, address=0, symbols=one),
        lambda: assemble(source_from_text("nop", "f", block=1), address=0),
        lambda: assemble(source_from_text("nop\n", "f") + line, address=0),
        lambda: assemble(source_from_text("hlt", "f"), address=0),
    ]
    for call in calls:
        call()
    assert len(built) == len(calls) == len(list(folder.iterdir()))


def test_tools_are_in_the_key(folder: Path, built: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    _make()
    monkeypatch.setattr(cache, "_tools", lambda: b"another version")
    _make()
    assert len(built) == 2


@pytest.mark.parametrize("position", [0, 25, 60, -1, -40])
def test_damage_is_noticed(folder: Path, built: list[int], position: int) -> None:
    first = _make()
    (entry,) = folder.iterdir()
    content = bytearray(entry.read_bytes())
    content[position] ^= 0x40
    entry.write_bytes(content)
    assert _same(_make(), first) and len(built) == 2
    assert _same(_make(), first) and len(built) == 2  # and the entry was replaced


@pytest.mark.parametrize("size", [0, 10, 100])
def test_truncated_entry_is_noticed(folder: Path, built: list[int], size: int) -> None:
    first = _make()
    (entry,) = folder.iterdir()
    entry.write_bytes(entry.read_bytes()[:size])
    assert _same(_make(), first) and len(built) == 2


def test_entry_under_a_wrong_name_is_noticed(folder: Path, built: list[int]) -> None:
    _make(0x1000)
    (entry,) = folder.iterdir()
    content = entry.read_bytes()
    second = _make(0x2000)
    (other,) = [path for path in folder.iterdir() if path != entry]
    other.write_bytes(content)
    assert _same(_make(0x2000), second) and len(built) == 3


def test_folder_that_cannot_be_used(tmp_path: Path, built: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRAPGATE_CACHE", str(tmp_path / "file"))
    assert _same(_make(), _make()) and len(built) == 2


def test_full_disk(folder: Path, built: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert _same(_make(), _make()) and len(built) == 2
    assert list(folder.iterdir()) == []


def test_turned_off(tmp_path: Path, built: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAPGATE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _make()
    _make()
    assert len(built) == 2 and list(tmp_path.iterdir()) == []


def test_platform_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAPGATE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert disk_cache.folder_of("assembly") == tmp_path / "trapgate" / "assembly"


def test_refusals_are_not_cached(folder: Path, built: list[int]) -> None:
    for _ in range(2):
        with pytest.raises(AssemblyError):
            assemble(source_from_text("bogus", "f"), address=0)
    assert len(built) == 2 and not folder.exists()


def test_old_entries_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "_MOST", 10)
    folder.mkdir(parents=True)
    for index in range(20):
        (folder / f"old{index}").write_text("")
    _make()
    assert len(list(folder.iterdir())) == 11


def _worker(number: int) -> str:
    return "".join(_make(0x1000 + 16 * (index % 5)).code.hex() for index in range(40))


def test_many_processes_at_once(folder: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        results = pool.map(_worker, range(8))
    assert len(set(results)) == 1
    assert len(list(folder.iterdir())) == 5 and not list(folder.glob("new-*"))
