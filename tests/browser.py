"""A real browser for tests: Debian's Chromium, driven by its own driver."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import selenium_axe_python
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from stackferry_cli.local.processes import until

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
#: nothing but what the tests ask for: no updates, no services of the maker's
QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
         "--force-prefers-reduced-motion")  # fmt: skip
JUDGE = "const over = arguments[0]; axe.run().then(over, (error) => over({error: String(error)}))"
WIDE, NARROW = (1280, 900), (390, 844)


@contextmanager
def browser(folder: Path, *more: str, scripts: bool = True) -> Iterator[Chrome]:
    """A browser with a profile of its own in *folder*. Where there's none, the run fails (``skips.py``)."""
    if not Path(CHROMIUM).exists() or not Path(DRIVER).exists():
        pytest.skip("chromium and chromium-driver aren't installed")
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for word in (*QUIET, f"--user-data-dir={folder}/profile", *more):
        options.add_argument(word)
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    driver = Chrome(options, ChromeService(DRIVER, env={**os.environ, "HOME": str(folder)}))
    try:
        driver.set_window_size(*WIDE)
        driver.set_page_load_timeout(30)
        yield driver
    finally:
        driver.quit()


def sign_in(driver: Chrome, url: str, token: str) -> None:
    driver.get(url)
    field = driver.find_element(By.ID, "token")
    field.send_keys(token, Keys.ENTER)
    assert until(lambda: "/sign-in" not in driver.current_url, 20), driver.page_source


def text(driver: Chrome, where: str = "main") -> str:
    """What is shown, read at once: parts may be replaced at any time."""
    return str(driver.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", where))


def awaited(driver: Chrome, says: str, within: float = 60, where: str = "main") -> None:
    assert until(lambda: says in text(driver, where), within), f"{says!r} isn't shown: {text(driver)}"


def press(driver: Chrome, label: str) -> None:
    """Click the button, or link, that is called so."""
    script = """return [...document.querySelectorAll('button, a, summary')].find((one) =>
        one.textContent.trim().replace(/\\s+/g, ' ').startsWith(arguments[0]) && one.checkVisibility())"""
    found = driver.execute_script(script, label)
    assert found is not None, f"no {label!r} on {driver.current_url}: {text(driver)}"
    driver.execute_script("arguments[0].click()", found)


def picture(driver: Chrome, name: str) -> None:
    """Take pictures of a page, wide and narrow, where STACKFERRY_PICTURES names a folder for them."""
    if folder := os.environ.get("STACKFERRY_PICTURES"):
        for size, called in ((WIDE, "wide"), (NARROW, "narrow")):
            driver.set_window_size(*size)
            high = driver.execute_script("return document.documentElement.scrollHeight")
            driver.set_window_size(size[0], min(max(size[1], high + 140), 4000))
            driver.save_screenshot(str(Path(folder) / f"{name}-{called}.png"))
        driver.set_window_size(*WIDE)


@pytest.fixture(scope="session")
def axe() -> Callable[[Chrome], list[Any]]:
    """What axe finds wrong with a page, for people who see, hear or move otherwise."""
    script = (Path(selenium_axe_python.__file__).parent / "axe-core/axe.min.js").read_text()

    def judge(driver: Chrome) -> list[Any]:
        found: list[Any] = []
        for scheme in ("dark", "light"):
            wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
            driver.execute_script(script)
            done = driver.execute_async_script(JUDGE)
            assert "error" not in done, done
            found += [(scheme, one["id"], [json.dumps(node["target"]) for node in one["nodes"]])
                      for one in done["violations"]]  # fmt: skip
        return found

    return judge
