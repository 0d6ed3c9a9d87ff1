"""A real browser, as a person uses it: open a page, look at it, press what can be pressed.

It drives the system's Chromium over the DevTools protocol, with the websockets library that Prefect
brings. Three verbs do not need a browser driver, which is a download of 53 MB with a Node.js in it.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.support.processes import running, wait_until

NAMES = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, where Chromium refuses its sandbox
    "--disable-dev-shm-usage",  # a container's is too small
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",  # one that is free; it is written to DevToolsActivePort
)

SCREEN = {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}

VISIBLE_TEXT = "document.body ? document.body.innerText : ''"

PRESSABLE = """
(label) => {
  const shown = "button, a, [role=button], [role=menuitem]";
  for (const element of document.querySelectorAll(shown)) {
    const name = element.innerText.trim() || element.ariaLabel || "";
    if (name !== label || element.disabled) continue;
    const box = element.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    // What a dialog covers cannot be pressed.
    if (element.contains(document.elementFromPoint(x, y))) return [x, y];
  }
  return null;
}
"""


class Page:
    """The browser's page."""

    def __init__(self, devtools: Connection) -> None:
        self._devtools = devtools
        self._numbers = count(1)
        self._call("Emulation.setDeviceMetricsOverride", **SCREEN)

    def open(self, url: str) -> None:
        """Go to an address."""
        self._call("Page.navigate", url=url)

    def text(self) -> str:
        """Return the text that is on the page now."""
        return str(self._evaluate(VISIBLE_TEXT))

    def wait_for_text(self, *texts: str) -> None:
        """Return once all of these can be read on the page."""
        wait_until(lambda: all(text in self.text() for text in texts), f"{texts} on the page")

    def wait_without_text(self, text: str) -> None:
        """Return once this can not be read on the page any more."""
        wait_until(lambda: text not in self.text(), f"{text!r} gone from the page")

    def offers(self, label: str) -> bool:
        """Whether there is a button, link or menu entry of this name that can be pressed now."""
        return self._spot(label) is not None

    def press(self, label: str) -> None:
        """Click on the middle of what has this name, once it can be pressed and holds still."""

        def at_rest() -> list[float] | None:
            spot = self._spot(label)
            # Two frames on, a dialog that glides in is elsewhere.
            self._evaluate("new Promise(done => setTimeout(done, 100))")
            return spot if spot is not None and spot == self._spot(label) else None

        x, y = wait_until(at_rest, f"{label!r} can be pressed")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = "none" if kind == "mouseMoved" else "left"
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def picture(self, path: Path) -> None:
        """Save what is seen as a PNG file."""
        shot = self._call("Page.captureScreenshot", format="png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _spot(self, label: str) -> list[float] | None:
        found: list[float] | None = self._evaluate(f"({PRESSABLE})({json.dumps(label)})")
        return found

    def _evaluate(self, expression: str) -> Any:
        answer = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        return answer["result"].get("value")

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._devtools.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:  # past the events that nobody asked for
            message = json.loads(self._devtools.recv(timeout=60))
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A browser, asked for before the server: without one nothing else is started."""
    with browser_page(tmp_path) as opened:
        yield opened


@contextmanager
def browser_page(home: Path) -> Iterator[Page]:
    """Run a browser with an empty profile in `home` while the block runs; skip without one."""
    chromium = next((found for name in NAMES if (found := shutil.which(name))), None)
    if chromium is None:
        pytest.skip("needs a browser: apt-get install chromium, or google-chrome")
    profile = home / "browser"
    profile.mkdir(parents=True)
    command = [chromium, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with running(command, env=os.environ, log=home / "browser.log"):
        address = wait_until(lambda: _devtools_address(profile), "the browser answers")
        with connect(address, proxy=None, max_size=None) as devtools:
            yield Page(devtools)


def _devtools_address(profile: Path) -> str | None:
    try:
        port = (profile / "DevToolsActivePort").read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
            pages = [target for target in json.load(answer) if target["type"] == "page"]
    except (OSError, IndexError):
        return None
    return str(pages[0]["webSocketDebuggerUrl"]) if pages else None
