"""Which QEMUs `make matrix` and `trapgate doctor` find beside that of the distribution."""

from pathlib import Path

from harness.commands.other_qemus import other_qemus


def test_each_version_is_found_the_oldest_first(tmp_path: Path) -> None:
    for name in ("10.0.13", "10.0.2", "9.2.4", "11.1.3", ".work.a1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "qemu-system-x86_64").touch()
    (tmp_path / "12.0.0").mkdir()
    assert [path.parent.name for path in other_qemus(tmp_path)] == ["9.2.4", "10.0.2", "10.0.13", "11.1.3"]


def test_without_the_folder_there_is_none(tmp_path: Path) -> None:
    assert other_qemus(tmp_path / "qemus") == []
