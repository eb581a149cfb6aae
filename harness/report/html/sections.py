"""The section of one run: everything that was recorded of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from harness.report.html.controllers import controllers
from harness.report.html.frames import frame_row
from harness.report.html.model import ReportedRun
from harness.report.html.timeline import timeline
from harness.run.record import Verdict

__all__ = ["ICONS", "section", "template"]

ICONS: Final[Mapping[Verdict, str]] = {
    Verdict.PASS: "✓",
    Verdict.FAIL: "✗",
    Verdict.DEVIATION: "≠",
    Verdict.UNSUPPORTED: "–",
    Verdict.ERROR: "!",
}
_FRAMES = 72  # rows of the table of interrupts
_EVIDENCE = "evidence"
_CONTROLLERS = ("Local APIC", "IO APIC and 8259s")  # sections that the decoded state replaces

_environment = Environment(
    autoescape=True,
    loader=PackageLoader("harness.report.html"),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


def template(name: str) -> Template:
    """A template of this package; everything that it prints is escaped."""
    return _environment.get_template(name)


def section(run: ReportedRun) -> str:
    """HTML, without the heading: the page has it in its list."""
    state = controllers(run.frozen)
    sections = [each for each in run.sections if not (state and each.title in _CONTROLLERS)]
    frames = [frame_row(each, run.tsc_khz) for each in run.interrupts[:_FRAMES]]
    return template("section.html.j2").render(
        run=run,
        icon=ICONS[run.verdict],
        reason="" if any(each.text.strip() == run.reason.strip() for each in sections) else run.reason,
        timeline=timeline(run),
        before=[each for each in sections if each.kind != _EVIDENCE],
        after=[each for each in sections if each.kind == _EVIDENCE],
        frames=frames,
        frames_left_out=len(run.interrupts) - len(frames),
        values=[
            (name, "never written" if value is None else f"{value:#x} ({value})") for name, value in run.values.items()
        ],
        controllers=state,
    )
