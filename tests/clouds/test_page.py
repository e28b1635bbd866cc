"""People in a browser: a warm server crosses, asked for, cut over and reported in the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from stackferry_cli.local.processes import until

from ..browser import awaited, axe, browser, picture, press, sign_in, text  # noqa: F401
from .test_warm import server, writing  # noqa: F401
from .test_workloads import volumes

pytestmark = pytest.mark.clouds


@pytest.fixture
def page(stack: Any, tmp_path: Path) -> Iterator[Chrome]:
    """A browser whose person is signed in."""
    stack.up({"gateway": 1})
    with browser(tmp_path) as driver:
        sign_in(driver, stack.gateway.url(), stack.gateway.token_file.read_text())
        yield driver


def fill(driver: Chrome, **fields: str) -> None:
    for name, value in fields.items():
        driver.find_element(By.ID, name).send_keys(value)


def test_a_warm_server_is_moved_from_the_first_click_to_the_report(
    source: Any, destination: Any, server: Any, hosts: Any, page: Chrome, axe: Any  # noqa: F811
) -> None:  # fmt: skip
    assert axe(page) == []
    press(page, "New")
    awaited(page, "New migration")
    fill(page, source=source.entry, destination=destination.entry)
    for summary in page.find_elements(By.TAG_NAME, "summary"):
        summary.click()
    fill(page, filters="server=db\nnetwork=net\nsubnet=v4", cutover="manual", name="web <shop>", labels="team=web")
    for kind in ("network", "subnet", "server"):
        page.find_element(By.CSS_SELECTOR, f"input[name=kinds][value={kind}]").click()
    page.find_element(By.NAME, "warm").click()
    press(page, "Check the clouds")
    awaited(page, "of project")
    awaited(page, "stackferry plan -s")
    assert axe(page) == []
    picture(page, "new")
    press(page, "Plan it")
    awaited(page, "This is what would be done")
    awaited(page, "to create")
    assert axe(page) == []
    picture(page, "plan")
    with writing(source, server) as written:
        press(page, "Start the migration")
        awaited(page, "waits for the cut-over", 90)
        assert axe(page) == []
        picture(page, "servers")
        press(page, "Now")
        awaited(page, "waits for the cut-over")
        picture(page, "now")
        assert axe(page) == []
        press(page, "web <shop>")
        awaited(page, "waiting for cut-over")
        assert source.connect().compute.get_server(server).status == "ACTIVE"
        press(page, "Cut over db")
        awaited(page, "Each warm server is stopped")
        assert axe(page) == []
        press(page, "Cut over db")
        awaited(page, "All of it has arrived", 120)
    assert written
    press(page, "Report")
    awaited(page, "read back, equal")
    assert axe(page) == []
    picture(page, "report")
    for tab in ("Resources", "Waiting", "Stays behind", "Events"):
        press(page, tab)
        awaited(page, tab if tab != "Waiting" else "Waiting for", where="#tab")
        assert axe(page) == []
        picture(page, tab.lower().replace(" ", "-"))
    for name in ("Now", "Hosts", "Trouble"):
        press(page, name)
        awaited(page, name if name != "Now" else "Ended as")
        assert axe(page) == []
        picture(page, name.lower())
    (moved,) = [one for one in destination.connect().compute.servers() if one.name == "db"]
    assert moved.status == "ACTIVE"
    assert {"boot", "data"} <= set(volumes(destination))


def tab_to(driver: Chrome, label: str) -> None:
    """Go from field to field by the keyboard, as far as what is called so."""
    says = """const one = document.activeElement;
        return (one.labels?.[0]?.textContent || one.getAttribute('aria-label') || one.textContent).trim().replace(/\\s+/g, ' ')"""
    for _ in range(120):
        ActionChains(driver).send_keys(Keys.TAB).perform()
        if str(driver.execute_script(says)).startswith(label):
            return
    raise AssertionError(f"the keyboard doesn't reach {label!r}: {text(driver)}")


def type_(driver: Chrome, words: str) -> None:
    ActionChains(driver).send_keys(words).perform()


def test_the_keyboard_is_enough(source: Any, destination: Any, stack: Any, tmp_path: Path) -> None:
    source.connect().network.create_network(name="net")
    stack.up({"gateway": 1})
    with browser(tmp_path) as driver:
        driver.get(stack.gateway.url())
        type_(driver, stack.gateway.token_file.read_text() + Keys.ENTER)  # the field has the focus
        awaited(driver, "Under way")
        tab_to(driver, "Skip to what is shown")
        type_(driver, Keys.SHIFT + Keys.TAB)
        driver.get(stack.gateway.url())
        tab_to(driver, "New")
        type_(driver, Keys.ENTER)
        awaited(driver, "New migration")
        for label, words in (("Cloud", source.entry), ("Project", ""), ("Cloud", destination.entry)):
            tab_to(driver, label)
            type_(driver, words)
        tab_to(driver, "What of it")
        type_(driver, Keys.ENTER)
        tab_to(driver, "Only these")
        type_(driver, "network=net")
        tab_to(driver, "Plan it")
        type_(driver, Keys.ENTER)
        awaited(driver, "This is what would be done")
        tab_to(driver, "Start the migration")
        type_(driver, Keys.ENTER)
        awaited(driver, "All of it has arrived", 90)
        tab_to(driver, "Report")
        type_(driver, Keys.ENTER)
        awaited(driver, "Kinds")
    assert destination.connect().network.find_network("net") is not None


def test_without_javascript_the_page_is_loaded_again(
    source: Any, destination: Any, stack: Any, ferry: Any, tmp_path: Path
) -> None:
    source.connect().network.create_network(name="net")
    stack.up({"gateway": 1})
    with browser(tmp_path, scripts=False) as driver:
        sign_in(driver, stack.gateway.url(), stack.gateway.token_file.read_text())
        migration = ferry.migrate(source.entry, destination.entry, mode="plan", selection={"kinds": ["network"]})
        ferry.wait_for(migration, "planned")
        driver.get(f"{stack.gateway.url()}/migrations/{migration}")
        assert "Nothing has been written" in driver.page_source
        ferry.control(migration, "start")
        ferry.wait_for(migration, "done")
        assert until(lambda: "All of it has arrived" in driver.page_source, 30), "it isn't loaded again"
        picture(driver, "dark-done")
