"""A JSON report as typed data. Every field is checked and bounded: a page does not depend on who wrote the file."""

from __future__ import annotations

import zlib
from base64 import b64decode
from binascii import Error as Base64Error
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.evidence.interrupts import CheckpointStop, InterruptRecord, Mark
from harness.report.html.safe_text import visible
from harness.report.text import plural
from harness.run.record import Verdict

__all__ = ["ReportContent", "ReportFileError", "ReportedRun", "TextSection", "read_report", "read_run"]

_NAME, _LINE, _TEXT = 300, 4_000, 16_000  # characters of a name, a sentence, a section
_EVENTS, _SECTIONS, _VALUES = 10_000, 40, 600  # entries of one run
_SNAPSHOT = 1 << 16  # bytes of a frozen state


class ReportFileError(Exception):
    """A file is not a JSON report of Trapgate."""


@dataclass(frozen=True)
class TextSection:
    """A titled section of plain text."""

    title: str
    text: str
    kind: str


@dataclass(frozen=True)
class ReportedRun:
    """One run of the report."""

    probe: str
    target: str  # with the QEMU's version where the report compares several
    verdict: Verdict
    rule: str
    citation: str
    reason: str
    ms: float
    deviation: str
    at_fault: str
    lacking: str
    attempts: int
    interrupts: Sequence[InterruptRecord] = ()
    marks: Sequence[Mark] = ()
    checkpoints: Sequence[CheckpointStop] = ()
    values: Mapping[str, int | None] = field(default_factory=dict)
    tsc_khz: int = 0
    end_tsc: int | None = None
    console: str = ""
    frozen: bytes = b""
    command_line: str = ""
    rerun: str = ""
    sections: Sequence[TextSection] = ()

    @property
    def area(self) -> str:
        """The folder of the probe's file; that of your own probes may be empty."""
        return self.probe.partition("/")[0] if "/" in self.probe.partition("::")[0] else ""

    @property
    def ok(self) -> bool:
        """Whether the verdict is a success for CI."""
        return self.verdict not in (Verdict.FAIL, Verdict.ERROR)


@dataclass(frozen=True)
class ReportContent:
    """A whole report."""

    runs: Sequence[ReportedRun]
    facts: Mapping[str, str]  # titles and texts about the host and the command
    complete: bool = True
    cause: str = ""

    @property
    def title(self) -> str:
        """`2 runs on 1 target: 1 pass, 1 fail`."""
        counts = Counter(run.verdict for run in self.runs)
        parts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
        targets = len({run.target for run in self.runs})
        return f"{plural(len(self.runs), 'run')} on {plural(targets, 'target')}" + (f": {parts}" if parts else "")


def read_report(document: object) -> ReportContent:
    """The content of a report of `trapgate run --json`, or of `trapgate matrix --json`. Raises ReportFileError."""
    if isinstance(document, list):
        return ReportContent([read_run(item, f"[{number}]") for number, item in enumerate(document)], {})
    if not isinstance(document, dict) or not isinstance(document.get("runs"), list):
        raise ReportFileError("it has no list 'runs'. Expected: a file of trapgate run --json (docs/json.md)")
    schema = document.get("schema")
    if schema != 1:
        raise ReportFileError(f"its schema is {str(schema)[:20]!r}. Expected: 1 (docs/json.md)")
    return ReportContent(
        [read_run(item, f"runs[{number}]") for number, item in enumerate(document["runs"])],
        _facts(document),
        document.get("complete") is not False,
        _text(document, "cause", _LINE),
    )


def read_run(data: object, where: str) -> ReportedRun:
    """One record of a report. Raises ReportFileError that names the place."""
    if not isinstance(data, dict):
        raise ReportFileError(f"{where} is not an object")
    try:
        verdict = Verdict(data.get("verdict", ""))
        probe, target = _text(data, "probe", _NAME), _text(data, "target", _NAME)
        if not probe or not target:
            raise ValueError("it names no probe or no target")
        qemu = _text(data, "qemu", _NAME)
        return ReportedRun(
            probe=probe,
            target=f"{target} {qemu}".rstrip(),
            verdict=verdict,
            rule=_text(data, "rule", _LINE),
            citation=_text(data, "citation", _LINE),
            reason=_text(data, "reason", _LINE),
            ms=float(data.get("ms") or 0),
            deviation=_text(data, "deviation", _NAME),
            at_fault=_text(data, "at_fault", _NAME),
            lacking=_text(data, "lacking", _NAME),
            attempts=_int(data.get("attempts", 1)),
            interrupts=[_interrupt(item) for item in _list(data, "interrupts", _EVENTS)],
            marks=[
                Mark(_int(item["seq"]), _int(item["cpu"]), _text(item, "name", _NAME), _int(item["tsc"]))
                for item in _list(data, "marks", _EVENTS)
            ],
            checkpoints=[_checkpoint(item) for item in _list(data, "checkpoints", _VALUES)],
            values={
                visible(str(name), _NAME): None if value is None else _int(value)
                for name, value in list(dict(data.get("values") or {}).items())[:_VALUES]
            },
            tsc_khz=_int(data.get("tsc_khz") or 0),
            end_tsc=_optional(data.get("end_tsc")),
            console=_text(data, "console", _TEXT),
            frozen=_frozen(str(data.get("frozen") or "")),
            command_line=_text(data, "command_line", _TEXT),
            rerun=_text(data, "rerun", _LINE),
            sections=[
                TextSection(_text(item, "title", _NAME), _text(item, "text", _TEXT), _text(item, "kind", _NAME))
                for item in _list(data, "sections", _SECTIONS)
            ],
        )
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        text = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
        raise ReportFileError(f"{where}: {visible(text, _NAME)}") from None


def _interrupt(data: Mapping[str, Any]) -> InterruptRecord:
    return InterruptRecord(
        seq=_int(data["seq"]),
        cpu=_int(data["cpu"]),
        vector=_int(data["vector"]) & 0xFF,
        name=_text(data, "name", _NAME),
        error_code=_optional(data["error_code"]),
        cs=_int(data["cs"]),
        rip=_int(data["rip"]),
        where=_text(data, "where", _NAME),
        rflags=_int(data["rflags"]),
        ss=_int(data["ss"]),
        rsp=_int(data["rsp"]),
        cr2=_int(data["cr2"]),
        tsc=_int(data["tsc"]),
        in_service=data.get("in_service") is True,
        depth=_int(data.get("depth", 0)),
        handled=data.get("handled") is True,
        if_on_entry=data.get("if_on_entry") is not False,  # a report without the field claims no span with IF=0
        eoi_tsc=_optional(data.get("eoi_tsc")),
        iretq_tsc=_optional(data.get("iretq_tsc")),
    )


def _checkpoint(data: Mapping[str, Any]) -> CheckpointStop:
    actions = tuple(visible(str(action), _NAME) for action in list(data.get("actions") or ())[:_SECTIONS])
    return CheckpointStop(_text(data, "name", _NAME), _int(data["tsc"]), actions)


def _facts(document: Mapping[str, Any]) -> dict[str, str]:
    host = document.get("host")
    host = host if isinstance(host, dict) else {}
    command = document.get("command")
    words = command if isinstance(command, list) else []
    seconds = document.get("seconds")
    targets = document.get("targets")
    versions = [
        f"{item.get('name')}: {item['version']}"
        for item in (targets if isinstance(targets, list) else [])
        if isinstance(item, dict) and item.get("version")
    ]
    facts = {
        "Started": str(document.get("started") or ""),
        "Time": f"{seconds:.1f} s" if isinstance(seconds, int | float) else "",
        "Command": " ".join(map(str, words)),
        "Trapgate": str(document.get("trapgate") or ""),
        "QEMU": "; ".join(versions),
        "Host": ", ".join(str(host[name]) for name in ("system", "cpu") if host.get(name)),
    }
    return {title: visible(text, _LINE) for title, text in facts.items() if text}


def _list(data: Mapping[str, Any], name: str, most: int) -> list[Any]:
    found = data.get(name) or []
    if not isinstance(found, list):
        raise ValueError(f"{name} is not a list")
    return found[:most]


def _text(data: Mapping[str, Any], name: str, limit: int) -> str:
    found = data.get(name)
    return "" if found is None else visible(str(found), limit)


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise ValueError(f"{value!r} is not a 64-bit number")
    return value


def _optional(value: object) -> int | None:
    return None if value is None else _int(value)


def _frozen(text: str) -> bytes:
    try:
        return zlib.decompressobj().decompress(b64decode(text, validate=True), _SNAPSHOT) if text else b""
    except (zlib.error, Base64Error) as error:
        raise ValueError(f"frozen: {error}") from None
