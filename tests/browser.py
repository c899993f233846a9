"""Open pages in Chromium without a display, through its debugging pipe: no other package is needed."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_browser() -> str | None:
    """Return the path of Chromium; None if it is not installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
]

# Chromium reads commands from descriptor 3, and writes answers to descriptor 4.
START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """A running Chromium with one page."""

    def __init__(self, send: int, receive: int) -> None:
        self.messages: list[str] = []
        self._send, self._receive, self._rest, self._number = send, receive, b"", 0
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, address: str, width: int = 1_000, theme: str = "light") -> None:
        """Open a page, and wait until it is loaded."""
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        media = [{"name": "prefers-color-scheme", "value": theme}]
        self._call("Emulation.setEmulatedMedia", features=media)
        self.messages.clear()
        self._call("Page.navigate", url="about:blank")
        self._wait("Page.loadEventFired")
        self._call("Page.navigate", url=address)
        self._wait("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression. Promises are awaited."""
        found = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key in the focused element."""
        codes = {"ArrowRight": 39, "ArrowLeft": 37, "End": 35}
        for kind in ("keyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key]
            )

    def screenshot(self, path: Path, selector: str = "main") -> None:
        """Write a part of the page as PNG: the elements that a selector finds, with a margin."""
        top, bottom = self.run(f"""(() => {{
            const parts = [...document.querySelectorAll({json.dumps(selector)})];
            const boxes = parts.map((one) => one.getBoundingClientRect());
            return [Math.min(...boxes.map((box) => box.top)), Math.max(...boxes.map((box) => box.bottom))];
        }})()""")
        width = self.run("document.documentElement.clientWidth")
        clip = {"x": 0, "y": max(top - 16, 0), "width": width, "height": bottom - top + 32, "scale": 1}
        png = self._call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(png))

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        return next(one for one in self._read() if one.get("id") == self._number)["result"]

    def _wait(self, event: str) -> None:
        next(one for one in self._read() if one.get("method") == event)

    def _read(self) -> Iterator[dict[str, Any]]:
        """Yield the messages of Chromium. Keep messages about exceptions, console output and log entries."""
        end = monotonic() + 60
        while monotonic() < end:
            while b"\0" in self._rest:
                text, _, self._rest = self._rest.partition(b"\0")
                message = json.loads(text)
                assert "error" not in message, message
                if message.get("method") in (
                    "Runtime.exceptionThrown",
                    "Runtime.consoleAPICalled",
                    "Log.entryAdded",
                ):
                    self.messages.append(text.decode())
                yield message
            part = os.read(self._receive, 1 << 16)
            assert part, "Chromium ended"
            self._rest += part
        raise TimeoutError("Chromium does not answer")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium, and end it after the `with` block."""
    to_browser, from_browser = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # Numbers other than 3 and 4, which Chromium uses.
        ends = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (to_browser[0], from_browser[1])]
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                START,
                *map(str, ends),
                find_browser() or "",
                *OPTIONS,
                f"--user-data-dir={folder}",
            ],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for one in (*ends, to_browser[0], from_browser[1]):
            os.close(one)
        try:
            yield Browser(to_browser[1], from_browser[0])
        finally:
            process.terminate()
            process.wait(30)
            os.close(to_browser[1])
            os.close(from_browser[0])
