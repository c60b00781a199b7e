"""A page in headless Chromium, through its DevTools protocol: what it says, asks for and draws."""

import asyncio
import itertools
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WITHOUT = "chromium is not installed"
_COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


@dataclass
class Page:
    """One open tab."""

    socket: aiohttp.ClientWebSocketResponse
    events: list[dict[str, Any]] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def call(self, method: str, **params: Any) -> Any:
        """One command of the protocol; what happens meanwhile is kept in `events`."""
        number = next(self._numbers)
        await self.socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = json.loads((await self.socket.receive(timeout=120)).data)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression on the page."""
        found = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def open(self, url: str, *, width: int = 1280, dark: bool = False) -> None:
        """Go to a page, as a screen of a width and theme shows it."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        await self.theme("dark" if dark else "light")
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def theme(self, name: str) -> None:
        """Switch between `light` and `dark`."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def until(self, condition: str, seconds: float = 120) -> None:
        """Wait for a condition on the page to hold."""
        end = time.monotonic() + seconds
        while not await self.evaluate(condition):
            assert time.monotonic() < end, f"{condition} never held"
            await asyncio.sleep(0.1)

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """Exceptions and whatever was written to the console."""
        return [e for e in self.events if e.get("method") in _COMPLAINTS]

    @property
    def asked(self) -> list[str]:
        """Addresses of the requests that were made, data addresses apart."""
        urls = [
            str(e["params"]["request"]["url"])
            for e in self.events
            if e.get("method") == "Network.requestWillBeSent"
        ]
        return [u for u in urls if not u.startswith(("data:", "blob:"))]


@asynccontextmanager
async def chromium() -> AsyncIterator[Page]:
    """A fresh browser with one tab."""
    assert CHROMIUM is not None, WITHOUT
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = subprocess.Popen(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert browser.stderr is not None
            ports = (re.search(r"ws://127\.0\.0\.1:(\d+)/", line) for line in browser.stderr)
            port = next(found[1] for found in ports if found)
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
                    tabs = [t for t in await reply.json() if t["type"] == "page"]
                socket = session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0)
                async with socket as connected:
                    yield Page(connected)
        finally:
            browser.terminate()
            browser.wait(timeout=30)
            assert browser.stderr is not None
            browser.stderr.close()
