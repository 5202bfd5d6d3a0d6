"""Pages in a real browser: Chromium without a window, driven by Playwright. Skipped where either is absent."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}

# Chromium as root (in a container) has no sandbox; the other options disable its own connections.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open a file as a page: `open_page(path, viewport=PHONE, dark=True)`; `scripts=False` turns JavaScript off.

    When the test ends, the page must have printed nothing on the console, raised no error and requested no other file.
    """
    contexts, complaints = [], []

    def open_(path: Path, *, viewport: dict[str, int] = DESKTOP, dark: bool = False, scripts: bool = True) -> Page:
        colours = "dark" if dark else "light"
        context = browser.new_context(viewport=viewport, color_scheme=colours, java_script_enabled=scripts)
        contexts.append(context)
        page, address = context.new_page(), path.resolve().as_uri()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.split("#")[0] == address or request.url.startswith(("data:", "blob:"))
                else complaints.append(f"request: {request.url}")
            ),
        )
        page.goto(address)
        if scripts:  # what is not drawn yet has no text and no place
            page.evaluate("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not complaints
