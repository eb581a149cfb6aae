"""Records of deviations in a file of the user's own: the same fields, as strict as in a probe."""

from pathlib import Path

import pytest

from harness.probes.deviation import Deviation
from harness.probes.own_records import OwnRecord, RecordsError, draft, load_records

PROBES = ["ipi/self_ipi.py::arrives_once", "ipi/self_ipi.py::vector_is_kept"]
GOOD = {
    "probes": "ipi/*::vector*",
    "cases": "number*",
    "targets": "*-tcg",
    "versions": "<9 or >=10,<10.1",
    "kind": "bug",
    "sees": r"\\[0x51\\]",
    "ref": "https://example.org/1",
}


def write(folder: Path, **fields: str | None) -> Path:
    """A file with one record, below two lines of comment; None leaves a field out."""
    path = folder / "own.toml"
    rows = [f'{name} = "{value}"' for name, value in (GOOD | fields).items() if value is not None]
    path.write_text("# mine\n\n[[deviation]]\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_a_record_has_the_fields_of_a_deviation(tmp_path: Path) -> None:
    (record,), drafts = load_records(write(tmp_path), PROBES)
    assert drafts == 0
    assert record.covers("ipi/self_ipi.py::vector_is_kept") and not record.covers("ipi/self_ipi.py::arrives_once")
    assert record.deviation.matching("assert [0x50] == [0x51]")
    assert record.deviation.applies("pc-tcg", "number0x51", "10.0.2")
    assert not record.deviation.applies("pc-tcg", "number0x51", "9.2.0")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"versions": None}, "versions: missing"),
        ({"kind": None, "ref": None}, "ref, kind: missing"),
        ({"kind": "bugs"}, "no such kind; did you mean 'bug'"),
        ({"versions": "<ten"}, "cannot be compared"),
        ({"sees": "("}, "is not a regular expression"),
        ({"probes": "nowhere/*"}, "matches no probe"),
        ({"case": "x"}, "unknown field 'case'; did you mean 'cases'"),
    ],
)
def test_a_wrong_record_is_refused_at_its_line(tmp_path: Path, fields: dict[str, str | None], text: str) -> None:
    path = write(tmp_path, **fields)
    with pytest.raises(RecordsError, match=f"^{path}:3: .*{text}"):
        load_records(path, PROBES)


@pytest.mark.parametrize(
    ("content", "text"),
    [("[[deviation", "is not TOML"), ("[deviation]", "expected tables"), ("[[deviations]]", "deviations: expected")],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RecordsError, match=text):
        load_records(path, PROBES)
    with pytest.raises(RecordsError, match="cannot be read"):
        load_records(tmp_path / "none.toml", PROBES)


def test_a_draft_does_not_count_until_it_has_a_reference(tmp_path: Path) -> None:
    reason = 'assert ["a\\b"] == [0x51]\n  one more: \t*'
    path = tmp_path / "drafts.toml"
    path.write_text(draft([(PROBES[1], "number[1]", "q35-tcg", "10.0.2", reason)]), encoding="utf-8")
    assert load_records(path, PROBES) == ((), 1)
    path.write_text(path.read_text(encoding="utf-8").replace('ref = ""', 'ref = "x"'), encoding="utf-8")
    (record,), drafts = load_records(path, PROBES)
    assert drafts == 0
    assert record == OwnRecord(
        PROBES[1],
        Deviation(
            targets="q35-tcg",
            cases="number[[]1]",
            versions="==10.0.2",
            kind="bug",
            sees=record.deviation.sees,
            ref="x",
        ),
    )
    assert record.deviation.matching(reason)
    assert record.deviation.applies("q35-tcg", "number[1]", "10.0.2")
