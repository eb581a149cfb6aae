"""Chromium for tests of pages: headless, driven through a pipe, so that nothing listens on the network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest


def no_browser(reason: str) -> NoReturn:
    """Skip the tests that need a browser; with `TRAPGATE_BROWSER=required`, as in CI, they fail."""
    if os.environ.get("TRAPGATE_BROWSER") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)


try:
    from playwright.sync_api import Browser, Dialog, Page, expect, sync_playwright
except ImportError:
    no_browser("playwright is not installed. To fix: make setup")

_PATIENCE_MS = 120_000  # a host may be busy; what is awaited comes at once on any other
expect.set_options(timeout=_PATIENCE_MS)

__all__ = ["Browser", "Page", "browser", "expect", "open_page"]


@contextmanager
def browser() -> Iterator[Browser]:
    """The browser of this host."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        no_browser("there is no browser. To fix: apt-get install --no-install-recommends chromium")
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not run as root, as CI does; the pages are those of these tests.
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"], timeout=_PATIENCE_MS)
        try:
            yield chromium
        finally:
            chromium.close()


@contextmanager
def open_page(chromium: Browser, path: Path, fragment: str = "", **options: Any) -> Iterator[Page]:
    """The page of a file; an error or a warning of its console fails the test. `options`: of the browser's context."""
    context = chromium.new_context(offline=True, **options)
    context.set_default_timeout(_PATIENCE_MS)
    page = context.new_page()
    problems: list[str] = []

    def refuse(dialog: Dialog) -> None:
        problems.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    page.on("console", lambda message: problems.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", refuse)
    try:
        page.goto(path.as_uri() + fragment)
        yield page
    finally:
        context.close()
    assert problems == []
