"""Browser for testing web pages: Chromium, controlled through the W3C WebDriver protocol.

The protocol is JSON over HTTP, so no package is needed: https://www.w3.org/TR/webdriver2
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests import HUNG

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
DRIVER = shutil.which("chromedriver") or ""
#: Reason for skipping tests if no browser is installed.
MISSING = "" if CHROMIUM and DRIVER else "needs a browser: apt install chromium chromium-driver"

FLAGS = (
    "--headless",
    "--no-sandbox",  # containers do not support the sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)


class Browser:
    """A Chromium window with a temporary profile."""

    def __init__(self, width: int = 1100, height: int = 800) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._driver = subprocess.Popen(
            [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._driver.stdout is not None
        for line in self._driver.stdout:
            if found := re.search(r"successfully on port (\d+)", line):
                break
        self._address = f"http://127.0.0.1:{found[1]}/session"
        flags = [*FLAGS, f"--user-data-dir={self._folder.name}", f"--window-size={width},{height}"]
        options = {"binary": CHROMIUM, "args": flags}
        logs = {"goog:loggingPrefs": {"browser": "ALL"}}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, **logs}
        session = self._ask("", {"capabilities": {"alwaysMatch": wanted}})
        self._address += f"/{session['sessionId']}"

    def _ask(self, command: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
        content = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._address + command, content, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=HUNG) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(json.load(error)["value"]["message"]) from error

    def open(self, path: Path) -> None:
        """Open a local file."""
        self._ask("/url", {"url": path.resolve().as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of a JavaScript function in the page."""
        return self._ask("/execute/sync", {"script": script, "args": list(arguments)})

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Send a Chrome DevTools Protocol command."""
        return self._ask("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def pointer(self, actions: list[dict[str, Any]], kind: str = "mouse") -> None:
        """Perform pointer actions with a mouse, a finger or a pen."""
        pointer = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}}
        self._ask("/actions", {"actions": [{**pointer, "actions": actions}]})

    def keys(self, keys: str) -> None:
        """Press keys in order."""
        pressed = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._ask("/actions", {"actions": [{"type": "key", "id": "keys", "actions": pressed}]})

    def messages(self) -> list[str]:
        """Return new console messages of the page."""
        return [entry["message"] for entry in self._ask("/se/log", {"type": "browser"})]

    def screenshot(self) -> bytes:
        """Return a PNG screenshot of the window."""
        return base64.b64decode(self._ask("/screenshot", method="GET"))

    def wait(self, script: str, seconds: float = HUNG) -> Any:
        """Run the body of a JavaScript function until it returns a truthy value."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"not true within {seconds} s: {script}"
            time.sleep(0.02)
        return value

    def close(self) -> None:
        """Close the window and terminate its processes."""
        try:
            self._ask("", method="DELETE")
        finally:
            self._driver.terminate()
            self._driver.wait(HUNG)
            assert self._driver.stdout is not None
            self._driver.stdout.close()
            self._folder.cleanup()
