"""The HTML report in a real browser: filters, links, timelines, the keyboard, small screens, no JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, Page, browser, expect, open_page
from html_reports import HOSTILE, interrupt, report, run

from harness.report.html.html_file import write_html

NESTED = run(
    "lapic/priority.py::nested",
    interrupts=[
        interrupt(0, 0x40, tsc=1000, eoi_tsc=5000, iretq_tsc=5200, handled=True),
        interrupt(1, 0x50, depth=1, tsc=2000, eoi_tsc=2500, iretq_tsc=2600),
        interrupt(2, 6, name="#UD", tsc=6000, in_service=False, eoi_tsc=None, iretq_tsc=6400),
    ],
    marks=[{"seq": 3, "cpu": 0, "name": "EOI", "tsc": 4900}],
    checkpoints=[{"name": "armed", "tsc": 500, "actions": ["QMP inject-nmi"]}],
    frozen="",
)
FAILED = run(
    "timers/hpet.py::late",
    "fail",
    reason="assert [] == [64]",
    sections=[
        {"title": "Assertion", "text": "assert [] == [64]", "kind": "verdict"},
        {"title": "Serial", "text": HOSTILE, "kind": "evidence"},
    ],
)
MORE = [run(f"pci/msix.py::table[{n}]", interrupts=[interrupt(0, 0x60)]) for n in range(40)]
DEVIATION = run("ioapic/polarity.py::low", "deviation", deviation="docs/deviations/ioapic-polarity.md")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_html(path, report(NESTED, FAILED, DEVIATION, *MORE, run("a/hostile.py::x", rule=HOSTILE, reason=HOSTILE)))
    return path


def shown(page: Page) -> list[str]:
    texts: list[str] = page.locator(".runs > li:visible .id").all_inner_texts()
    return texts


def test_filters_keep_their_state_in_the_fragment(chromium: Browser, file: Path) -> None:
    with open_page(chromium, file) as page:
        expect(page.locator("#shown")).to_have_text("44 of 44 runs are shown.")
        expect(page.get_by_text("JavaScript is off")).not_to_be_visible()
        page.get_by_role("checkbox", name="fail").check()
        assert shown(page) == ["timers/hpet.py::late"]
        assert page.evaluate("location.hash") == "#v=fail"
        page.get_by_role("button", name="Show all").click()
        expect(page.locator("#shown")).to_have_text("44 of 44 runs are shown.")
        page.get_by_role("combobox", name="Area").select_option("pci")
        page.get_by_role("searchbox", name="Text").fill("TABLE[1 apic timer")
        assert shown(page) == ["pci/msix.py::table[1]", *(f"pci/msix.py::table[1{n}]" for n in range(10))]
        fragment = page.evaluate("location.hash")
    with open_page(chromium, file, fragment) as page:
        expect(page.locator("#shown")).to_have_text("11 of 44 runs are shown.")
        expect(page.get_by_role("combobox", name="Area")).to_have_value("pci")
        expect(page.get_by_role("searchbox", name="Text")).to_have_value("TABLE[1 apic timer")
        assert page.locator("section.area:visible").count() == 1


def test_a_deviation_is_a_filter(chromium: Browser, file: Path) -> None:
    with open_page(chromium, file, "#d=docs%2Fdeviations%2Fioapic-polarity.md") as page:
        assert shown(page) == ["ioapic/polarity.py::low"]


def test_a_case_is_linked_by_the_fragment_and_shows_its_timeline(chromium: Browser, file: Path) -> None:
    with open_page(chromium, file, "#run=lapic%2Fpriority.py%3A%3Anested%40q35-tcg") as page:
        section = page.locator(".runs > li", has_text="priority.py::nested")
        expect(section.get_by_text("3 interrupts on CPU 0, 1 mark, 1 checkpoint, 9 µs of guest time")).to_be_visible()
        assert section.locator(".names .name").all_text_contents() == ["CPU 0", "40h", "50h", "06h #UD"]
        events = section.locator("svg .ev")
        assert events.count() == 6  # each in the lane of its processor and of its source
        assert section.locator("svg .mark").count() == 1
        assert section.locator("svg .stop").count() == 2
        expect(section.locator("svg .stop title").first).to_contain_text("the host: QMP inject-nmi")
        outer, nested, fault = (section.locator(f'.ev[data-seq="{n}"] .span').first.bounding_box() for n in range(3))
        assert outer is not None and nested is not None and fault is not None
        assert outer["x"] < nested["x"] and nested["x"] + nested["width"] < outer["x"] + outer["width"] < fault["x"]
        assert nested["y"] < outer["y"]


def test_the_frame_is_shown_on_focus_and_on_hover(chromium: Browser, file: Path) -> None:
    with open_page(chromium, file, "#run=lapic%2Fpriority.py%3A%3Anested%40q35-tcg") as page:
        panel = page.locator(".frame-panel")
        page.locator('.ev[data-seq="1"]').first.focus()
        expect(panel).to_contain_text("50h on CPU 0 at 2.000 µs, depth 1")
        expect(panel).to_contain_text("RFLAGS")
        page.locator('.ev[data-seq="2"]').first.hover()
        expect(panel).to_contain_text("06h #UD on CPU 0")
        expect(page.locator("tr.here")).to_have_attribute("data-seq", "2")


def test_the_keyboard_reaches_everything(chromium: Browser, file: Path) -> None:
    with open_page(chromium, file) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "results"
        page.locator("#run-1 summary").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#run-1").get_by_text("assert [] == [64]").first).to_be_visible()
        page.wait_for_function("location.hash.includes('run=timers')")


def test_text_of_a_guest_stays_text(chromium: Browser, file: Path) -> None:
    with open_page(chromium, file, "#run=a%2Fhostile.py%3A%3Ax%40q35-tcg") as page:
        expect(page.locator("#run-43 .rule")).to_contain_text(
            "</script><script>alert(1)</script>]]>\\u2028\\u202e\\x1b[31m"
        )
        assert page.locator("img").count() == 0
        assert page.locator("#run-1 script").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_small_screen_scrolls_in_one_direction_only(chromium: Browser, file: Path, theme: str) -> None:
    view = {"width": 400, "height": 800}
    fragment = "#run=lapic%2Fpriority.py%3A%3Anested%40q35-tcg"
    with open_page(chromium, file, fragment, viewport=view, color_scheme=theme) as page:
        expect(page.locator(".frame-panel")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[theme]


def test_without_javascript_everything_can_be_read(chromium: Browser, file: Path) -> None:
    with open_page(chromium, file, java_script_enabled=False) as page:
        assert page.locator(".runs > li").count() == 44
        expect(page.get_by_text("JavaScript is off")).to_be_visible()
        assert not page.locator("#filters").is_visible()
        page.locator("#run-1 summary").first.click()
        expect(page.locator("#run-1").get_by_text("SDM vol. 3A, APIC Timer")).to_be_visible()
        page.locator("#run-0 summary").first.click()
        expect(page.locator("#run-0").get_by_text("A timer interrupts once.")).to_be_visible()


def test_a_section_that_is_damaged_is_reported(chromium: Browser, file: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.html"
    text = file.read_text(encoding="utf-8")
    start = text.index('data-chunk="0">') + len('data-chunk="0">')
    damaged.write_text(text[:start] + "AAAA" + text[start + 4 :], encoding="utf-8")
    with open_page(chromium, damaged) as page:
        page.locator("#run-0 summary").first.click()
        expect(page.locator("#run-0")).to_contain_text("This browser cannot show the section")
