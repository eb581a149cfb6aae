"""`trapgate new`: a probe file of a kind, which passes at once and explains its lines."""

from __future__ import annotations

import re
import shlex
from difflib import get_close_matches
from importlib.resources import files
from keyword import iskeyword
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from harness.commands.planning import usage_error
from harness.probes.loader import catalogue_root
from harness.probes.probe_error import ProbeError
from harness.probes.probe_places import configured_folder, shown
from harness.probes.project_settings import SettingsError, find_settings
from harness.report.documents import document
from harness.report.terminal import make_console

__all__ = ["KINDS", "new_command"]

_TEMPLATES = files("harness.commands") / "templates"
_ENDING = ".py.j2"

KINDS = tuple(
    sorted(entry.name.removesuffix(_ENDING) for entry in _TEMPLATES.iterdir() if entry.name.endswith(_ENDING))
)
"""The kinds of probe that there is a template for."""


def _complete_kinds(incomplete: str) -> list[str]:
    return [kind for kind in KINDS if kind.startswith(incomplete)]


def new_command(
    name: Annotated[str, typer.Argument(metavar="AREA/NAME", help="The file: NAME.py in the folder AREA.")],
    kind: Annotated[
        str,
        typer.Option("--from", metavar="KIND", help=", ".join(KINDS) + ".", autocompletion=_complete_kinds),
    ],
    probes: Annotated[
        Path | None,
        typer.Option(
            "--probes",
            metavar="DIR",
            help="The folder of probes. Default: the configured one (docs/ci.md), else the current folder.",
        ),
    ] = None,
    catalogue: Annotated[
        bool, typer.Option("--catalogue", help="Write it into the catalogue; AREA is one of its areas.")
    ] = False,
) -> None:
    """Write a probe file that passes at once, as a start for one of your own. Its comments explain each line.

    Exit codes: 0, or 2 where nothing was written. An existing file is never overwritten.
    """
    if kind not in KINDS:
        usage_error(f"--from: no kind is named {kind!r}{_near(kind, KINDS)} Known: {', '.join(KINDS)}")
    area, stem = _parts(name)
    if catalogue and probes is not None:
        usage_error("--catalogue: cannot be combined with --probes, which names another folder")
    path = (_catalogue_area(area) if catalogue else _own_folder(probes) / area) / f"{stem}.py"
    _write(path, _text(kind, shown(path.resolve()), f"{area}/{stem}.py"))
    _report(path, kind, catalogue=catalogue)


def _near(given: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(given, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else "."


def _parts(name: str) -> tuple[str, str]:
    """AREA and NAME, each a name that a Python module can have and that the loader reads."""
    parts = name.removesuffix(".py").split("/")
    if len(parts) != 2:
        usage_error(f"{name!r}: expected AREA/NAME, a folder and a file in it, as mine/timer")
    for part in parts:
        if not part.isidentifier() or iskeyword(part):
            clean = re.sub(r"\W+", "_", part).strip("_")
            hint = f", as {clean}" if clean.isidentifier() and not iskeyword(clean) else ""
            what = "a keyword of Python" if iskeyword(part) else "no Python identifier"
            usage_error(f"{name!r}: {part!r} is {what}. Expected: letters, digits and _{hint}")
        if part.startswith("_") or part == "conftest":
            usage_error(f"{name!r}: {part!r} is a name of helpers, whose files are not read for probes")
    return parts[0], parts[1]


def _own_folder(given: Path | None) -> Path:
    if given is not None:
        return given
    here = Path.cwd()
    try:
        own = find_settings(here).probes
    except SettingsError as error:
        usage_error(str(error))
    return own[0] if own else configured_folder(here) or here


def _catalogue_area(area: str) -> Path:
    try:
        root = catalogue_root()
    except ProbeError as error:
        usage_error(str(error))
    areas = tuple(
        sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))
    )
    if area not in areas:
        usage_error(f"no area of the catalogue is named {area!r}{_near(area, areas)} Known: {', '.join(areas)}")
    return root / area


def _text(kind: str, path: str, inside: str) -> str:
    """The file; its comments name it by its path here, or by the one in its folder of probes if it is elsewhere."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # not for --help

    environment = Environment(
        loader=PackageLoader("harness.commands"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    file = inside if Path(path).is_absolute() else path
    return environment.get_template(f"{kind}{_ENDING}").render(file=shlex.quote(file))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        if error.filename == str(path):
            usage_error(f"{shown(path)}: exists already, and is not overwritten. To fix: choose another name")
        usage_error(f"{shown(Path(error.filename))}: is a file. Expected: a folder, or a name that is free")
    except OSError as error:
        usage_error(f"{shown(path)}: cannot be written: {error.strerror}")


def _report(path: Path, kind: str, *, catalogue: bool) -> None:
    console = make_console()
    file = shown(path.resolve())
    console.print(
        Text.assemble((file, "bold"), f": a probe of the kind {kind}. It passes, and explains its lines.\n"),
        soft_wrap=True,
    )
    for what, command in (
        ("run it", "run"),
        ("print its guest program", "show"),
        ("steps it does not notice", "vacuity"),
    ):
        line = shlex.join(["trapgate", command, file])
        console.print(Text.assemble(f"  {what:<26}", (line, "cyan")), soft_wrap=True)
    console.print()
    if catalogue:
        note = "State what it covers with covers=[…]: `trapgate list --coverage` lists the bullets."
        console.print(note, soft_wrap=True)
    console.print(f"How to write a probe: {document('docs/tutorial.md')}", soft_wrap=True)
