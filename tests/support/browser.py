"""A real Chromium without a window, driven by its own protocol (CDP) over a socket."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_KEYS = {"ArrowDown": 40, "ArrowUp": 38, "Escape": 27, "Tab": 9}


class Browser:
    """One page of a browser; ``errors`` are the exceptions and refused loads that it told of."""

    def __init__(self, folder: Path, *, width: int = 1280, height: int = 900) -> None:
        assert CHROMIUM is not None
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        self.dialogs: list[str] = []
        self._process = subprocess.Popen(
            [
                CHROMIUM,
                *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                *("--no-first-run", "--remote-debugging-port=0", "--remote-allow-origins=*"),
                *(f"--user-data-dir={folder}", f"--window-size={width},{height}", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder)},
        )
        self._socket = self._connected(folder / "DevToolsActivePort")
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def _connected(self, place: Path) -> Any:
        import httpx
        from websockets.sync.client import connect

        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            with suppress(OSError, ValueError, IndexError, httpx.HTTPError):
                port = int(place.read_text().splitlines()[0])
                pages = httpx.get(f"http://127.0.0.1:{port}/json", trust_env=False).json()
                [page] = [each for each in pages if each["type"] == "page"]
                return connect(page["webSocketDebuggerUrl"], max_size=1 << 28, proxy=None)
            time.sleep(0.1)
        raise RuntimeError("the browser does not start")

    def _call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv(timeout=60))
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]
            self._heard(told)

    def _heard(self, told: dict[str, Any]) -> None:
        what, more = told.get("method"), told.get("params", {})
        if what == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(more["exceptionDetails"]))
        elif what == "Log.entryAdded" and more["entry"]["level"] == "error":
            self.errors.append(more["entry"]["text"])
        elif what == "Page.javascriptDialogOpening":
            self.dialogs.append(more["message"])

    def open(self, address: str) -> None:
        """Open a page and wait until its script has run."""
        self._call("Page.navigate", url=address)
        self.wait("document.documentElement?.dataset.ready === 'yes'")

    def wait(self, condition: str) -> None:
        """Return when the expression is true."""
        give_up = time.monotonic() + 60
        while not self.run(condition):
            assert time.monotonic() < give_up, condition
            time.sleep(0.05)

    def run(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript; promises are waited for."""
        done = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys as a person does."""
        for key in keys:
            more = {"key": key, "windowsVirtualKeyCode": _KEYS.get(key, ord(key[0].upper()))}
            text = {"text": key} if len(key) == 1 else {}
            self._call("Input.dispatchKeyEvent", type="keyDown", **more, **text)
            self._call("Input.dispatchKeyEvent", type="keyUp", **more)

    def type(self, text: str) -> None:
        """Write text where the focus is."""
        self._call("Input.insertText", text=text)

    def prefers(self, scheme: str) -> None:
        """Have the page think that its reader prefers ``light`` or ``dark``."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._call("Emulation.setEmulatedMedia", features=[feature])

    def resize(self, width: int, height: int) -> None:
        """Give the page a window of this size, that of a phone if it is narrow."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )

    def screenshot(self, path: Path) -> None:
        """Write what the window shows as a PNG file."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        with suppress(Exception):
            self._socket.close()
        self._process.kill()
        self._process.wait()
