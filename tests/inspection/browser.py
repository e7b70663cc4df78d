"""A headless Chromium, driven over the W3C WebDriver protocol with the standard library alone."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of elements in the protocol
ARROW_LEFT, ARROW_RIGHT, END, HOME = "\ue012", "\ue014", "\ue010", "\ue011"
SECONDS = 60


def missing() -> str:
    """What the tests need and this machine lacks; empty if nothing."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(absent)} not installed (Debian: apt-get install chromium chromium-driver)" if absent else ""


class Browser:
    """A session of its own, with a profile in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._log = (folder / "driver.log").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(["chromedriver", "--port=0"], stdout=self._log, stderr=subprocess.STDOUT)
        try:
            self._address = f"http://127.0.0.1:{self._port(folder / 'driver.log')}"
            options = {
                "binary": shutil.which("chromium"),
                "args": [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
                    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--window-size=1500,1000", f"--user-data-dir={folder / 'profile'}",
                ],
            }  # fmt: skip
            wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
            self._session = "/session"
            answer = self._ask("POST", "", {"capabilities": wanted})
            self._session = f"/session/{answer['sessionId']}"
        except BaseException:
            self._stop()
            raise

    def _port(self, log: Path) -> str:
        for _ in range(SECONDS * 20):
            found = re.search(r"started successfully on port (\d+)", log.read_text(encoding="utf-8"))
            if found:
                return found[1]
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            break
        raise RuntimeError("chromedriver did not start: " + log.read_text(encoding="utf-8"))

    def _ask(self, method: str, path: str, content: object = None):
        body = None if method != "POST" else json.dumps(content or {}).encode()
        request = urllib.request.Request(self._address + self._session + path, body, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SECONDS) as answer:
            return json.load(answer)["value"]

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)
        self._log.close()

    def close(self) -> None:
        try:
            self._ask("DELETE", "")
        finally:
            self._stop()

    def open(self, address: str) -> None:
        self._ask("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: object):
        """The value of a script's ``return``."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        element = self._ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]
        self._ask("POST", f"/element/{element}/click")

    def press(self, key: str) -> None:
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def messages(self) -> list[str]:
        """What the console was told: errors of scripts and of the page's policy among it."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))
