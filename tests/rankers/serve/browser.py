"""Chromium without a window, driven over its DevTools protocol as a person would drive it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BINARY = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
needs_browser = pytest.mark.skipif(not BINARY, reason="there is no Chromium here")
FLAGS = [
    "--headless=new",
    "--no-sandbox",  # it has none for root, who runs containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-port=0",
]
PATIENCE_S = 60
MODIFIERS = {"Alt": 1, "Control": 2, "Shift": 8}
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, " ": 32}
TEXTS = {"Enter": "\r", " ": " "}


class Browser:
    """One tab."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._calls = 0
        self.errors: list[str] = []
        """What went wrong on the page: exceptions, the console, refused resources."""
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command of the protocol."""
        self._calls += 1
        sent = {"id": self._calls, "method": method, "params": parameters}
        self._socket.send(json.dumps(sent))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE_S))
            if message.get("id") == self._calls:
                assert "error" not in message, (method, message["error"])
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning"):
                self.errors.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.errors.append(params["entry"]["text"])

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until ``expression`` is true."""
        end = time.monotonic() + PATIENCE_S
        while not self.ask(f"Boolean({expression})"):
            if time.monotonic() > end:
                pytest.fail(f"never: {expression}; the page says {self.text('body')!r}")
            time.sleep(0.02)

    def open(self, url: str) -> None:
        """Go there and wait for the page with its scripts."""
        self.call("Page.navigate", url=url)
        self.until(f"location.href.startsWith({url!r}) && document.readyState == 'complete'")

    def click(self, selector: str) -> None:
        """With the mouse, in the middle of the element."""
        box = self.ask(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();"
            f" return [b.x + b.width / 2, b.y + b.height / 2] }})"
            f"(document.querySelector({selector!r}))"
        )
        at = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", **at)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **at)

    def type(self, selector: str, text: str) -> None:
        """In place of what the field holds."""
        self.ask(f"(e => {{ e.focus(); e.select() }})(document.querySelector({selector!r}))")
        self.call("Input.insertText", text=text)

    def choose(self, selector: str, value: str) -> None:
        """An option of a list."""
        self.ask(
            f"(e => {{ e.value = {value!r}; e.dispatchEvent(new Event('change')) }})"
            f"(document.querySelector({selector!r}))"
        )

    def upload(self, selector: str, file: Path) -> None:
        """A file into its field."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def press(self, key: str, *held: str) -> None:
        """A key, with others held down."""
        modifiers = sum(MODIFIERS[name] for name in held)
        code = {"key": key, "windowsVirtualKeyCode": KEYS[key], "modifiers": modifiers}
        text = {} if held or key not in TEXTS else {"text": TEXTS[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def text(self, selector: str) -> str:
        """As it is shown."""
        return str(self.ask(f"document.querySelector({selector!r}).innerText"))

    def screen(self, width: int, height: int, *, dark: bool = False) -> None:
        """Size and colours of a device."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 700,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, file: Path) -> None:
        """The whole page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a profile in ``folder``, which must be empty; ended afterwards."""
    connect = pytest.importorskip("websockets.sync.client").connect
    command = [BINARY, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_address(folder, process), max_size=None) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        process.wait()


def _address(folder: Path, process: subprocess.Popen[bytes]) -> str:
    """Of the tab it has opened."""
    import httpx

    told = folder / "DevToolsActivePort"
    end = time.monotonic() + PATIENCE_S
    while not (told.is_file() and told.read_text().count("\n")):
        assert process.poll() is None, "the browser did not start"
        assert time.monotonic() < end, "the browser opened no port"
        time.sleep(0.02)
    tabs = httpx.get(f"http://127.0.0.1:{told.read_text().split()[0]}/json").json()
    return str(next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"))
