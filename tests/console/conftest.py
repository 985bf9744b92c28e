"""A real server, real callers, and Debian's chromium, for tests of the page.

Playwright's own loop stays in this thread as long as it runs, so tests with a page are plain functions; servers and
callers live on a loop of their own, in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from retell_ws import Agent
from retell_ws.blueprints import running
from retell_ws.server import Server
from retell_ws.settings import Settings

from ..http_client import TOKEN

CHROMIUM = Path("/usr/bin/chromium")

DESK = ViewportSize(width=1280, height=860)
PHONE = ViewportSize(width=390, height=844)

LIMIT_MS = 8_000

AGENT = Agent(
    "You are the receptionist of Harbor Clinic.",
    greeting="Harbor Clinic, this is Ana. How can I help you?",
    transfers={"the nurse": "+14155550142"},
    end_call=True,
)

Shoot = Callable[[Page, str], None]
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: it is Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def server(portal: BlockingPortal) -> Iterator[Server]:
    settings = Settings(
        port=0,
        http_port=0,
        admin_token=TOKEN,
        max_calls=100,
        model="scripted",
        scripted_ttft_ms=30,
        scripted_spacing_ms=20,
    )
    with portal.wrap_async_context_manager(running(AGENT, settings)) as server:
        yield server


@pytest.fixture(scope="module")
def slow(portal: BlockingPortal) -> Iterator[Server]:
    """A server whose answers can be watched as they come, and that speculates."""
    settings = Settings(
        port=0,
        http_port=0,
        admin_token=TOKEN,
        speculate=True,
        model="scripted",
        scripted_ttft_ms=10,
        scripted_spacing_ms=150,
    )
    with portal.wrap_async_context_manager(running(AGENT, settings)) as server:
        yield server


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open the console of a server; with its token, unless told otherwise. No page may complain of anything."""
    contexts, complaints = [], list[str]()

    def opened(
        server: Server,
        view: str = "#/calls",
        *,
        token: str | None = TOKEN,
        size: ViewportSize = DESK,
        dark: bool = False,
    ) -> Page:
        context = browser.new_context(viewport=size, color_scheme="dark" if dark else "light", has_touch=size is PHONE)
        contexts.append(context)
        context.set_default_timeout(LIMIT_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        page.goto(f"{server.http_address}/console{view}")
        if token is not None:
            page.get_by_label("Admin token").fill(token)
            page.get_by_role("button", name="Open").click()
            page.get_by_role("navigation").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def shoot(tmp_path: Path) -> Shoot:
    """Keep a picture of a page, in the folder RETELL_WS_SCREENSHOTS names, otherwise with the test's own files."""
    folder = Path(os.environ.get("RETELL_WS_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def shot(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)

    return shot
