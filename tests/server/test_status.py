"""The status page, in a real Chromium, by keyboard."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.async_api import async_playwright

from interpreter_tools.server import Keys
from interpreter_tools.server._keys import Owner

from .serving import KEY, OTHER_KEY, Served, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Page

    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker
_INSTALL = ("apt-get", "install", "-y", "--no-install-recommends", "chromium")


@pytest.fixture
async def served(engine: ExecutionEngine, tmp_path: Path) -> AsyncIterator[Served]:
    """A server whose first key is an administrator's."""
    file = tmp_path / "keys"
    file.write_text(f"{KEY} name=boss admin\n{OTHER_KEY} name=guest\n")
    async with serving(engine, wires=["sandbox-fusion"], keys=Keys.load(file)) as found:
        yield found


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A page of a headless Chromium: the one of this machine, which is installed where it can be."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None and os.geteuid() == 0 and shutil.which("apt-get"):
        await asyncio.to_thread(subprocess.run, _INSTALL, capture_output=True, check=False, timeout=170)
        path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no Chromium on this machine, and none can be installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = await browser.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
        yield page
        await browser.close()
        assert faults == []


async def _run(served: Served, key: str, code: str) -> None:
    async with httpx.AsyncClient(base_url=served.url, headers={"x-api-key": key}, timeout=60) as client:
        (await client.post("/run_code", json={"language": "python", "code": code})).raise_for_status()


async def test_page_is_used_by_keyboard(served: Served, page: Page):
    """The key is typed; then sandboxes, numbers and runs are shown, and come anew by themselves."""
    await _run(served, OTHER_KEY, "print('<b>secret</b>')")
    await page.goto(served.url)
    await page.keyboard.type("it_a-key-that-nobody-knows")
    await page.keyboard.press("Enter")
    await page.get_by_text("The key is not known.").wait_for()
    await page.keyboard.type(KEY)
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Recent runs").wait_for()
    (row,) = await page.locator("#runs tbody tr").all()
    assert {"guest", "sandbox-fusion", "python", "ok"} <= set(await row.locator("td").all_inner_texts())
    assert "secret" not in await page.content()
    assert KEY not in page.url
    sandbox = await served.core.sandboxes.create(Owner("boss", is_admin=True), template="<i>mine</i>")
    await page.get_by_text(sandbox.id).wait_for()
    assert await page.get_by_text("<i>mine</i>").count() == 1
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.id") == "pause"
    await page.keyboard.press("Space")
    assert await page.locator("#pause").get_attribute("aria-pressed") == "true"
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_label("API key").wait_for()
    assert await page.evaluate("document.activeElement.id") == "key"
    assert await page.evaluate("sessionStorage.length") == 0


async def test_address_that_the_command_prints_needs_no_typing(served: Served, page: Page):
    """The key behind ``#`` is not sent to the server, and goes from the address at once; each sees their own only."""
    await _run(served, KEY, "print(1)")
    await page.goto(f"{served.url}/#{OTHER_KEY}")
    await page.get_by_role("heading", name="Recent runs").wait_for()
    assert page.url == f"{served.url}/"
    assert await page.locator("#runs tbody").inner_text() == "none"
    assert await page.get_by_text("Containers idle").count() == 0


async def test_page_allows_nothing_but_itself(served: Served):
    """No frame, no script of others; its numbers need a key."""
    async with httpx.AsyncClient(base_url=served.url) as client:
        found = await client.get("/")
        assert "frame-ancestors 'none'" in found.headers["content-security-policy"]
        assert (await client.get("/status.json")).status_code == 401
        assert (await client.post("/")).status_code == 405
