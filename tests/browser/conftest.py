"""A server and a browser, for one test each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.backends.errors import BackendError
from tests.backends.state import PROJECT
from tests.replay import processes
from tests.suite import browser as tools

#: Where screenshots go; the documentation gets new ones with SYNCHRO_TEST_SCREENSHOTS=1.
IMAGES = PROJECT / (
    "docs/images" if os.environ.get("SYNCHRO_TEST_SCREENSHOTS") == "1" else ".cache/screenshots"
)
#: What a person waits for at the most, on a machine that is busy.
PATIENCE = 90


@pytest.fixture(scope="session")
def axe() -> str:
    """The rules of accessibility, as a script."""
    try:
        return tools.ensure().read_text()
    except BackendError as error:
        if tools.is_required():
            raise
        pytest.skip(f"no browser: {error}")


class Person:
    """Somebody in front of the browser."""

    def __init__(self, driver: Chrome, address: str, axe: str) -> None:
        self.driver, self.address, self.axe = driver, address, axe

    def open(self, path: str) -> None:
        self.driver.get(self.address + path)

    def log_in(self, name: str, password: str) -> None:
        self.open("/admin/login/?next=/admin/")
        self.driver.find_element(By.ID, "id_username").send_keys(name)
        self.driver.find_element(By.ID, "id_password").send_keys(password)
        self.driver.find_element(By.CSS_SELECTOR, "input[type=submit]").click()
        self.sees("Site administration")

    def sees(self, words: str) -> None:
        """Wait until the page says so."""
        self._waits().until(
            lambda driver: words in driver.find_element(By.TAG_NAME, "body").text, f"{words!r} is not shown"
        )

    def finds(self, selector: str) -> Any:
        """Wait for an element, and return it."""
        return self._waits().until(
            lambda driver: next(iter(driver.find_elements(By.CSS_SELECTOR, selector)), None), selector
        )

    def _waits(self) -> WebDriverWait[Chrome]:
        # A page that is just being left answers with an error of the driver.
        return WebDriverWait(self.driver, PATIENCE, ignored_exceptions=(WebDriverException,))

    def presses(self, selector: str) -> None:
        """Press a button; the page may replace it at that moment by one that is alike."""
        self.finds(selector)
        self.driver.execute_script("document.querySelector(arguments[0]).click()", selector)

    def open_eyes(self) -> None:
        """Have the page be refreshed, as when somebody comes back to it."""
        self.driver.execute_async_script(
            "const done = arguments[0], ask = window.fetch;"
            "window.fetch = (...all) => ask(...all).finally(() => { window.fetch = ask; setTimeout(done, 200); });"
            "document.dispatchEvent(new Event('visibilitychange'));"
        )

    def resizes(self, width: int, height: int) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def prefers(self, scheme: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def keeps(self, name: str) -> None:
        """Keep what is seen as a picture."""
        IMAGES.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(IMAGES / f"{name}.png"))

    def problems(self) -> list[str]:
        """What breaks the rules of accessibility on this page, in the part that is synchro's."""
        self.driver.execute_script(self.axe)
        found = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document.querySelector('#content') || document).then(found => done(found.violations));"
        )
        return [
            f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}"
            for rule in found
            for node in rule["nodes"]
        ]

    def overflows(self) -> bool:
        """Whether the page is wider than the window."""
        width: int = self.driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
        return width > 0

    def errors(self) -> list[str]:
        """What the browser's console complains about, a refused script or style among it."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            # The server of the test has no picture for the tab.
            if entry["level"] in ("SEVERE", "WARNING") and "/favicon.ico" not in entry["message"]
        ]


@pytest.fixture
def driver(axe: str, tmp_path: Path) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--lang=en", "--hide-scrollbars",
        "--disable-background-networking", "--disable-component-update", "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={tmp_path / 'chromium'}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = Chrome(options=options, service=ChromeService(shutil.which("chromedriver") or ""))
    found.set_script_timeout(PATIENCE)
    try:
        yield found
    finally:
        found.quit()


@pytest.fixture
def address(tmp_path: Path, transactional_db: None) -> Iterator[str]:
    """A server of the project, on the test's databases, with a second REMOTE that is away."""
    databases = processes.databases()
    away = {"ENGINE": "django.db.backends.postgresql", "NAME": "office", "HOST": "127.0.0.1", "PORT": "9"}
    settings = {
        "DATABASES": {**databases, "office": away},
        "SYNCHRO_REMOTE": ["remote", "office"],
        "SYNCHRO_MODELS": [["shop", "Customer", "Artist", "Order"]],
        "SYNCHRO_BATCH_SIZE": 100,
        "SYNCHRO_ON_ERROR": "quarantine",
    }
    environment = {**processes.environment(**settings), "DJANGO_SETTINGS_MODULE": "tests.browser.settings"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "django",
        "runserver",
        f"127.0.0.1:{port}",
        "--noreload",
        "--insecure",
        "--skip-checks",
    ]
    log = (tmp_path / "server.log").open("w")
    with log, subprocess.Popen(command, env=environment, cwd=PROJECT, stdout=log, stderr=log) as server:
        try:
            _wait_for(f"http://127.0.0.1:{port}/admin/login/", server, tmp_path / "server.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    import time

    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text()[-3000:])


@pytest.fixture
def person(driver: Chrome, address: str, axe: str) -> Person:
    User.objects.create_superuser("ann", password="secret")
    found = Person(driver, address, axe)
    found.resizes(1280, 900)
    found.log_in("ann", "secret")
    return found
