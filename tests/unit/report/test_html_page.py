"""The HTML page: complete in itself, escaped, bounded; and the files that it is made from."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode, b64encode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from html_reports import HOSTILE, interrupt, report, run
from records import record

from harness.abi import SNAPSHOT
from harness.report.collected import CollectedReport
from harness.report.html.controllers import Controller, controllers, pins_of_vectors
from harness.report.html.html_file import read_report_file
from harness.report.html.model import ReportFileError, read_report, read_run
from harness.report.html.page import render_page
from harness.report.html.safe_text import visible
from harness.run.record import Verdict

TEMPLATES = Path(__file__).parents[3] / "harness/report/html/templates"


def page(*runs: dict[str, Any], **fields: Any) -> str:
    return render_page(read_report(report(*runs, **fields)), "1.2.3").decode()


def sections(text: str) -> list[str]:
    """The packed sections."""
    chunks = re.findall(r'<script type="text/plain" data-chunk="\d+">([^<]*)</script>', text)
    return [section for chunk in chunks for section in json.loads(zlib.decompress(b64decode(chunk)))]


class Tags(HTMLParser):
    """Every tag with its attributes; the elements that are open."""

    VOID = ("meta", "input", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


EVERYTHING = run(
    f"timers/{HOSTILE}.py::x",
    "fail",
    rule=HOSTILE,
    citation=HOSTILE,
    reason=HOSTILE,
    deviation=HOSTILE,
    console=HOSTILE,
    command_line=HOSTILE,
    rerun=HOSTILE,
    target=HOSTILE,
    values={HOSTILE: 1},
    interrupts=[interrupt(0, name=HOSTILE, where=HOSTILE)],
    marks=[{"seq": 1, "cpu": 0, "name": HOSTILE, "tsc": 5}],
    checkpoints=[{"name": HOSTILE, "tsc": 5, "actions": [HOSTILE]}],
    sections=[{"title": HOSTILE, "text": HOSTILE, "kind": "verdict"}],
)


@pytest.mark.parametrize("verdict", ["fail", "pass"])
def test_text_of_a_guest_is_escaped_everywhere(verdict: str) -> None:
    text = page(EVERYTHING | {"verdict": verdict}, command=["trapgate", HOSTILE], cause=HOSTILE, complete=False)
    for part in (text, *sections(text)):
        tags = Tags(part)
        assert tags.open == [] or part is not text
        assert {tag for tag, _ in tags.tags} & {"img", "iframe", "object"} == set()
        assert not any(name.startswith("on") for _, attributes in tags.tags for name in attributes)
        assert "alert(1)</script>" not in part and "\u2028" not in part and "\u202e" not in part and "\x1b" not in part
        assert "{{ 7*7 }}" in part or not part
    scripts = [attributes for tag, attributes in Tags(text).tags if tag == "script"]
    assert [attributes.get("type") for attributes in scripts] == ["text/plain", None]


def test_a_megabyte_of_console_is_bounded() -> None:
    text = page(run(verdict="fail", console="x" * (1 << 20), sections=[{"title": "Serial", "text": "<" * (1 << 20)}]))
    assert len(text) < 300_000
    assert "(1032576 more characters)" in text


def test_the_page_needs_nothing_from_outside() -> None:
    text = page(EVERYTHING)
    policy = next(a["content"] for _, a in Tags(text).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith(
        "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    )
    for tag, attributes in Tags(text).tags:
        assert "src" not in attributes
        assert tag != "link"
        assert not (attributes.get("href") or "#").startswith(("http", "//"))
        assert "style" not in attributes, "the policy forbids it"


def test_the_sections_of_fails_are_in_the_page_for_readers_without_javascript() -> None:
    text = page(run(), run("timers/two.py::two", "fail", interrupts=[interrupt(0)]))
    assert text.count('<svg class="timeline"') == 1
    packed = sections(text)
    assert [bool(section) for section in packed] == [True, False]
    assert "JavaScript is off" in text
    assert "A timer interrupts once." in text and "SDM vol. 3A, APIC Timer" in text


def test_ids_are_unique_and_each_link_has_its_target() -> None:
    runs = [run(f"timers/one.py::t{n}", verdict, target=t) for n, verdict in enumerate(Verdict) for t in ("a", "b")]
    tags = Tags(page(*runs)).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = [(attributes.get("href") or "") for tag, attributes in tags if tag == "a"]
    assert {anchor.removeprefix("#") for anchor in anchors if "=" not in anchor} <= set(ids)
    assert any(anchor == "#run-0" for anchor in anchors)


def test_several_targets_make_a_grid_with_differences_first() -> None:
    runs = [run("a/x.py::same", target=t) for t in ("one", "two")]
    runs += [run("a/x.py::differs", target="one"), run("a/x.py::differs", "deviation", target="two")]
    runs += [run("a/x.py::bad[1]", "fail", target="one"), run("a/x.py::bad[2]", target="one")]
    text = page(*runs)
    grid = text[text.index('id="h-grid"') : text.index('id="h-areas"')]
    assert "2 of 3 probes have verdicts that differ" in grid
    assert grid.index("x.py::bad") < grid.index("x.py::differs") < grid.index("x.py::same")
    assert "not run" in grid and "1 fail" in grid


def test_a_report_of_records() -> None:
    """From the records of runs, as the commands make it."""
    collected = CollectedReport(planned=5)
    for position, verdict in reversed(list(enumerate(Verdict))):
        collected.add(record(verdict), position)
    document = collected.document("stopped")
    assert [each["verdict"] for each in document["runs"]] == [str(verdict) for verdict in Verdict]
    text = render_page(read_report(json.loads(json.dumps(document))), "1.2.3").decode()
    assert "Not complete:" in text and "stopped" in text
    assert read_report(document).title == "5 runs on 1 target: 1 pass, 1 fail, 1 deviation, 1 unsupported, 1 error"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe\xfa", "it is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}", "it has no list 'runs'"),
        (b"3", "it has no list 'runs'"),
        (b'{"runs": [], "schema": 99}', "its schema is '99'. Expected: 1"),
        (b'{"runs": [3], "schema": 1}', r"runs\[0\] is not an object"),
        (b'[{"verdict": "pass"}]', r"\[0\]: it names no probe or no target"),
        (b'[{"probe": "a", "target": "b", "verdict": "good"}]', r"\[0\]: 'good' is not a valid Verdict"),
    ],
)
def test_a_file_that_is_no_report(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(ReportFileError, match=message):
        read_report_file(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"interrupts": 3}, "interrupts is not a list"),
        ({"interrupts": [{}]}, "KeyError: 'seq'"),
        ({"interrupts": [interrupt(0, rip=-1)]}, "-1 is not a 64-bit number"),
        ({"interrupts": [interrupt(0, tsc=1 << 64)]}, "is not a 64-bit number"),
        ({"marks": [7]}, "not subscriptable"),
        ({"values": {"a": "b"}}, "'b' is not a 64-bit number"),
        ({"frozen": "!"}, "frozen: "),
        ({"frozen": b64encode(b"no zlib").decode()}, "frozen: "),
        ({"ms": "x"}, "could not convert"),
    ],
)
def test_a_record_that_is_none(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ReportFileError, match=message):
        read_run(run(**fields), "runs[0]")


def test_a_compressed_state_cannot_grow_without_bound() -> None:
    bomb = b64encode(zlib.compress(bytes(1 << 24))).decode()
    assert len(read_run(run(frozen=bomb), "run").frozen) == 1 << 16


def test_text_that_cannot_be_seen_is_made_visible() -> None:
    assert visible("a\x00\u2028\u202eb\ufeff", 99) == "a\\x00\\u2028\\u202eb\\ufeff"
    assert visible("abcdef", 4) == "abcd… (2 more characters)"


def state(**words: tuple[int, int, int]) -> bytes:
    """A frozen state with a local APIC, whose fields are 0 but for (offset, size, value)."""
    data = bytearray(SNAPSHOT.size)
    data[SNAPSHOT.offset("APIC_MODE")] = 1
    for offset, size, value in words.values():
        data[offset : offset + size] = value.to_bytes(size, "little")
    return bytes(data)


def by_title(found: list[Controller], title: str) -> Controller:
    return next(each for each in found if each.title.startswith(title))


def test_controllers_are_compared_with_their_reset_state() -> None:
    lapic, ioapic = SNAPSHOT.offset("LAPIC"), SNAPSHOT.offset("IOAPIC")
    frozen = state(
        timer=(lapic + 4 * 0x32, 4, 0x2_0040),
        lint=(lapic + 4 * 0x35, 4, 0x1_0000),
        entry=(ioapic + 8 + 8 * 20, 8, 0x8050),
        masked=(ioapic + 8 + 8 * 21, 8, 0x1_0000),
    )
    found = controllers(frozen)
    local = {row.name: row for row in by_title(found, "Local APIC").rows}
    assert local["LVT_TIMER"].differs and local["LVT_TIMER"].decoded == "TIMER_MODE=PERIODIC VECTOR=0x40"
    assert not local["LVT_LINT0"].differs
    assert "LVT_CMCI" not in local
    pins = {row.name: row for row in by_title(found, "IO APIC").rows}
    assert pins["IOREDTBL[20]"].decoded == "TRIGGER_MODE=LEVEL VECTOR=0x50"
    assert not pins["IOREDTBL[21]"].differs
    assert pins_of_vectors(frozen)[0x50] == [20]
    assert controllers(b"short") == []


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1])
def test_colours_have_the_contrast_of_wcag_aa(theme: int) -> None:
    """SC 1.4.3: text 4.5; SC 1.4.11: graphics and edges of controls 3."""
    css = (TEMPLATES / "report.css").read_text()
    block = re.findall(r":root\{(.*?)\}", css, re.DOTALL)[theme]
    colours = dict(re.findall(r"--([a-z]+):(#[0-9a-f]+)", block))
    full = {
        name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:]) for name, value in colours.items()
    }
    for name in set(full) - {"bg", "soft", "line"}:
        least = 3.0 if name in ("edge", "focus") else 4.5
        for back in ("bg", "soft"):
            light, dark = sorted((luminance(full[name]), luminance(full[back])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= least, f"{name} on {back}"
