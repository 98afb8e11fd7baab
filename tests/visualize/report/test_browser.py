"""The report in a real browser: it loads silently, asks nobody, and answers to mouse and keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quant.results.saved_run import load_run
from quant.visualize.report.html import write_report
from tests import models
from tests.runs import HOSTILE, hostile, make_run

selenium = pytest.importorskip("selenium", reason="selenium is not installed")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.visualize.report.browser import CHROMIUM, DRIVER, network_requests, open_browser

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="no Chromium here: apt-get install chromium chromium-driver",
)


NO_NUMBER = ("\u2013", "\u221e")
"""What stands for a layer that was not measured, or loses nothing."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = open_browser(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run = make_run(
        folder,
        hostile(models.depthwise_net()),
        settings={"recipe": HOSTILE[0]},
        warnings=list(HOSTILE),
        preprocess={HOSTILE[1]: HOSTILE[2]},
    )
    path = folder / "<img src=x onerror=alert(1)> report.html"
    write_report(load_run(run), path)
    return path


@pytest.fixture
def loaded(browser: Any, page: Path) -> Any:
    """Return the browser with the page fresh in it, its logs empty."""
    browser.get("about:blank")
    browser.get_log("browser")
    network_requests(browser)
    browser.get(page.as_uri())
    WebDriverWait(browser, 20).until(
        lambda d: d.execute_script("return document.documentElement.dataset.ready") == "yes"
    )
    return browser


def first_column(driver: Any, column: int) -> list[str]:
    cells = driver.find_elements(By.CSS_SELECTOR, f"#table tbody td:nth-child({column})")
    return [cell.text for cell in cells]


def test_it_loads_without_an_error_and_asks_nobody(loaded: Any, page: Path) -> None:
    """One file is the promise: no script, no font, no picture from elsewhere."""
    assert loaded.get_log("browser") == []
    assert {url for url in network_requests(loaded) if not url.startswith("data:")} == {
        page.as_uri()
    }


def test_hostile_names_are_text(loaded: Any) -> None:
    """What a model is called must not run, nor become an element."""
    assert "pwned" not in loaded.title
    assert (
        loaded.execute_script("return document.querySelectorAll('img, main svg svg').length") == 0
    )
    assert loaded.execute_script("return document.scripts.length") == 2
    names = loaded.execute_script("return document.getElementById('table').innerText")
    assert "<img src=x" in names
    loaded.find_element(By.CSS_SELECTOR, "#table tbody td.layer button").click()
    heading = loaded.find_element(By.ID, "d-name").text
    assert heading
    assert "\u202e" not in loaded.execute_script("return document.body.innerText")
    assert loaded.get_log("browser") == []


def test_a_click_on_a_header_sorts_and_a_second_one_turns_it_round(loaded: Any) -> None:
    """By isolated error it begins with the worst; what was not measured stays at the end."""
    numbers = [float(x) for x in first_column(loaded, 5) if x not in NO_NUMBER]
    assert numbers == sorted(numbers)
    loaded.find_elements(By.CSS_SELECTOR, "#table th button")[4].click()
    turned = [float(x) for x in first_column(loaded, 5) if x not in NO_NUMBER]
    header = loaded.find_elements(By.CSS_SELECTOR, "#table th")[4]

    assert turned == sorted(numbers, reverse=True)
    assert header.get_attribute("aria-sort") == "descending"


def test_the_filter_keeps_what_has_every_word(loaded: Any) -> None:
    """By name, operator or cause."""
    before = len(first_column(loaded, 1))
    loaded.find_element(By.ID, "filter").send_keys("gemm")
    kept = first_column(loaded, 3)

    assert kept == ["Gemm"]
    assert loaded.find_element(By.ID, "count").text == f"1 of {before} layers"


@pytest.mark.parametrize("tab", [0, 1, 2])
def test_a_cell_of_a_heatmap_opens_its_layer(loaded: Any, tab: int) -> None:
    """A picture is a way in, by mouse and by keyboard."""
    tabs = loaded.find_elements(By.CSS_SELECTOR, ".tabs button")
    tabs[tab].click()
    canvas = loaded.find_element(By.CSS_SELECTOR, "#map canvas")
    loaded.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    names = loaded.execute_script("return JSON.parse(document.getElementById('data').text).names")
    canvas.send_keys(Keys.ARROW_DOWN, Keys.ENTER)
    assert loaded.find_element(By.ID, "d-name").text.startswith(names[1][:5])
    loaded.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    assert not loaded.find_element(By.ID, "drawer").is_displayed()
    loaded.execute_script(
        "const b = arguments[0].getBoundingClientRect();"
        "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true,"
        "clientX: b.left + Number(arguments[0].dataset.left) + 3,"
        "clientY: b.top + Number(arguments[0].dataset.top) + 2.5 * arguments[0].dataset.tall}))",
        canvas,
    )
    assert loaded.find_element(By.ID, "d-name").text.startswith(names[2][:4])
    assert loaded.get_log("browser") == []


def test_the_drawer_has_a_rule_that_the_button_copies(loaded: Any) -> None:
    """The way from the page into the recipe is one click."""
    loaded.execute_script(
        "window.copied = null; Object.defineProperty(navigator, 'clipboard',"
        "{value: {writeText: async (t) => { window.copied = t; }}, configurable: true})"
    )
    row = next(
        r
        for r in loaded.find_elements(By.CSS_SELECTOR, "#table tbody tr")
        if "first layer" in r.get_attribute("innerText")
    )
    row.find_element(By.CSS_SELECTOR, "td.layer button").click()
    drawer = loaded.find_element(By.ID, "drawer")
    drawer.find_element(By.CSS_SELECTOR, ".copy").click()
    shown = drawer.find_element(By.TAG_NAME, "pre").get_attribute("textContent")

    assert loaded.execute_script("return window.copied") == shown
    assert shown.startswith("[[rule]]\nmatch = ")
    assert len(drawer.find_elements(By.CSS_SELECTOR, "figure svg")) >= 3
    assert WebDriverWait(loaded, 5).until(
        lambda d: drawer.find_element(By.CSS_SELECTOR, ".copy").text == "Copied"
    )


def test_without_a_clipboard_the_selection_is_copied(loaded: Any) -> None:
    """A page opened from a file may be refused the clipboard."""
    loaded.execute_script(
        "Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true});"
        "document.execCommand = (what) => { window.did = what; return true; };"
        "document.querySelectorAll('details').forEach((d) => { d.open = true; })"
    )
    loaded.find_element(By.CSS_SELECTOR, ".of:not([hidden]) .code .copy").click()

    assert loaded.execute_script("return window.did") == "copy"


def test_the_network_is_searched_and_zoomed(loaded: Any) -> None:
    """Whoever knows a name finds its place; Enter opens it."""
    graph = loaded.find_element(By.ID, "graph")
    before = graph.get_dom_attribute("viewBox")
    loaded.find_element(By.ID, "find").send_keys("gemm")
    assert loaded.find_element(By.ID, "found").text.startswith("1 of 1: ")
    assert len(loaded.find_elements(By.CSS_SELECTOR, ".g-node.hit")) == 1
    loaded.find_element(By.ID, "zoom-in").click()
    after = graph.get_dom_attribute("viewBox")
    assert float(after.split()[2]) < float(before.split()[2])
    loaded.execute_script("arguments[0].focus()", graph)
    loaded.switch_to.active_element.send_keys(Keys.ENTER)

    assert "Gemm" in loaded.find_element(By.CSS_SELECTOR, "#drawer .d-sub").text


def test_another_target_changes_every_part(loaded: Any) -> None:
    """Side by side, and one by one."""
    assert len(loaded.find_elements(By.CSS_SELECTOR, "#side thead th")) == 3
    before = first_column(loaded, 5)
    Select(loaded.find_element(By.ID, "target")).select_by_visible_text("tensorrt")

    assert first_column(loaded, 5) != before
    shown = loaded.find_elements(By.CSS_SELECTOR, ".of:not([hidden])")
    assert [box.get_attribute("data-of") for box in shown] == ["1"]


def test_the_theme_can_be_turned_and_is_the_systems_at_first(loaded: Any) -> None:
    """Dark and light are both looked at by day and by night."""

    def background() -> Any:
        return loaded.execute_script("return getComputedStyle(document.body).backgroundColor")

    light = background()
    loaded.find_element(By.ID, "theme").click()
    assert background() != light
    loaded.find_element(By.ID, "theme").click()
    assert background() == light


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(loaded: Any, width: int) -> None:
    """A page that scrolls sideways on a phone is not read there."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    loaded.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        loaded.refresh()
        wide = loaded.execute_script("return document.documentElement.scrollWidth")
    finally:
        loaded.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    assert wide <= width
