"""The section on mixed precision in a real browser: points answer to mouse and keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quant.results.saved_run import load_run
from quant.visualize.report.data import report_data
from quant.visualize.report.html import write_report
from tests import models
from tests.runs import hostile
from tests.searches import edited, make_searched

selenium = pytest.importorskip("selenium", reason="selenium is not installed")

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.visualize.report.browser import CHROMIUM, DRIVER, network_requests, open_browser

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="no Chromium here: apt-get install chromium chromium-driver",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = open_browser(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_searched(tmp_path_factory.mktemp("run"), hostile(models.depthwise_net()))
    limits = {"max_drop": 0.01, "most_cost": 0.000115}
    edited(folder / "tensorrt" / "search" / "search.json", lambda told: told.update(limits))
    write_report(load_run(folder), folder / "report.html")
    return folder


@pytest.fixture(scope="module")
def data(run: Path) -> dict[str, Any]:
    return report_data(load_run(run))


@pytest.fixture
def loaded(browser: Any, run: Path) -> Any:
    """Return the browser with the page fresh in it, its logs empty."""
    browser.get("about:blank")
    browser.get_log("browser")
    network_requests(browser)
    browser.get((run / "report.html").as_uri())
    WebDriverWait(browser, 20).until(
        lambda d: d.execute_script("return document.documentElement.dataset.ready") == "yes"
    )
    return browser


def plot(driver: Any, target: int) -> Any:
    found = driver.find_element(By.CSS_SELECTOR, f"[data-front='{target}'] svg")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
    return found


def spot(driver: Any, target: int) -> str:
    return str(driver.find_element(By.CSS_SELECTOR, f"[data-front='{target}'] .spot").text)


def heading(driver: Any) -> str:
    return str(driver.find_element(By.CSS_SELECTOR, "#plan h2").text)


def by_cost(data: dict[str, Any], target: int) -> list[dict[str, Any]]:
    points = data["targets"][target]["search"]["points"]
    return sorted(points, key=lambda p: (p["cost"], p["n"]))


def test_it_loads_silently_and_shows_the_winners_plan(loaded: Any, run: Path, data: Any) -> None:
    """Whoever only looks sees what was chosen; nobody is asked anything."""
    best = next(p for p in by_cost(data, 0) if p["chosen"])

    assert loaded.get_log("browser") == []
    urls = {url for url in network_requests(loaded) if not url.startswith("data:")}
    assert urls == {(run / "report.html").as_uri()}
    assert heading(loaded) == f"Plan {best['n']} for onnxruntime: {best['layers']}"
    assert "This is the chosen plan." in loaded.find_element(By.ID, "plan").text


def test_keys_walk_along_the_points_and_enter_shows_the_plan(loaded: Any, data: Any) -> None:
    """Numbers are read out at each step; the keys stay where they were."""
    order = by_cost(data, 1)
    assert [p["n"] for p in order] != sorted(p["n"] for p in order)
    loaded.execute_script("arguments[0].focus()", plot(loaded, 1))
    for key, at in ((Keys.HOME, 0), (Keys.ARROW_RIGHT, 1), (Keys.END, -1), (Keys.ARROW_LEFT, -2)):
        loaded.switch_to.active_element.send_keys(key)
        assert spot(loaded, 1).startswith(f"Point {order[at]['n']}, ")
    loaded.switch_to.active_element.send_keys(Keys.ENTER)

    assert heading(loaded).startswith(f"Plan {order[-2]['n']} for tensorrt: ")
    loaded.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert spot(loaded, 1).startswith(f"Point {order[-3]['n']}, ")
    assert loaded.get_log("browser") == []


def test_a_click_on_a_point_shows_its_plan_and_its_target(loaded: Any, data: Any) -> None:
    """Side by side: a point of another target turns the page to it."""
    chart = plot(loaded, 1)
    dots = chart.find_elements(By.CSS_SELECTOR, ".f-dot")
    front = [p for p in by_cost(data, 1) if p["source"] == "front"]
    ActionChains(loaded).move_to_element(dots[2]).perform()
    assert spot(loaded, 1).startswith(f"Point {front[2]['n']}, ")
    ActionChains(loaded).click(dots[2]).perform()

    assert heading(loaded) == f"Plan {front[2]['n']} for tensorrt: {front[2]['layers']}"
    assert Select(loaded.find_element(By.ID, "target")).first_selected_option.text == "tensorrt"
    code = loaded.find_element(By.CSS_SELECTOR, "#plan pre").text
    assert code == f"quant calibrate --recipe tensorrt/search/front/{front[2]['n']}.toml"


def test_what_differs_from_the_winner_is_marked(loaded: Any, data: Any) -> None:
    """In the strip and in the table, as often as the plans differ."""
    search = data["targets"][0]["search"]
    order = by_cost(data, 0)
    best = next(p for p in order if p["chosen"])
    loaded.execute_script("arguments[0].focus()", plot(loaded, 0))
    loaded.switch_to.active_element.send_keys(Keys.END, Keys.ENTER)
    differ = sum(a != b for a, b in zip(order[-1]["a"], best["a"], strict=True))
    plan = loaded.find_element(By.ID, "plan")

    assert differ > 0
    assert f"{differ} of {len(best['a'])} groups differ from the chosen plan" in plan.text
    assert len(plan.find_elements(By.CSS_SELECTOR, ".changed")) == differ
    assert len(plan.find_elements(By.CSS_SELECTOR, "td.differs")) == differ
    strips = plan.find_elements(By.CSS_SELECTOR, ".strip svg")
    assert [len(x.find_elements(By.TAG_NAME, "rect")) for x in strips] == [
        len(search["groups"])
    ] * 2


def test_the_table_has_the_shares_of_the_sum(loaded: Any, data: Any) -> None:
    """Groups, and tensors between them once for each precision that reads them: all of the error."""
    search = data["targets"][0]["search"]
    point = next(p for p in search["points"] if p["chosen"])
    pairs = zip(search["groups"], point["a"], strict=True)
    wanted = [g["errors"][k] / point["error"] for g, k in pairs]
    for tensor in search["between"]:
        read = {point["a"][g] for g in tensor["groups"]}
        wanted.append(sum(tensor["errors"][k] for k in read) / point["error"])
    rows = loaded.find_elements(By.CSS_SELECTOR, "#plan tbody tr")
    cells = [[c.text for c in row.find_elements(By.TAG_NAME, "td")] for row in rows]
    shown = [float(c[-3]) for c in cells]

    assert len(search["between"]) > 1
    assert sum(wanted) == pytest.approx(1, abs=1e-4)
    assert shown == pytest.approx([100 * w for w in sorted(wanted, reverse=True)], abs=0.5)
    costs = [float(c[-2].replace("\u2013", "0")) for c in cells]
    assert sum(costs) == pytest.approx(100, abs=1.5)


def test_a_group_opens_its_first_layer(loaded: Any) -> None:
    """From the plan to all that is known of a layer, and hostile names stay text."""
    loaded.find_element(By.CSS_SELECTOR, "#plan td.layer button").click()

    assert loaded.find_element(By.ID, "drawer").is_displayed()
    assert loaded.execute_script("return document.querySelectorAll('img').length") == 0
    assert loaded.execute_script("return document.scripts.length") == 2
    assert "pwned" not in loaded.title
    assert "\u202e" not in loaded.execute_script("return document.body.innerText")
    assert loaded.get_log("browser") == []


def test_the_recipe_is_copied(loaded: Any) -> None:
    """One click from a point to the command."""
    loaded.execute_script(
        "window.copied = null; Object.defineProperty(navigator, 'clipboard',"
        "{value: {writeText: async (t) => { window.copied = t; }}, configurable: true})"
    )
    loaded.find_element(By.CSS_SELECTOR, "#plan .copy").click()
    shown = loaded.find_element(By.CSS_SELECTOR, "#plan pre").text

    assert loaded.execute_script("return window.copied") == shown


def test_the_chosen_target_shows_its_winner(loaded: Any, data: Any) -> None:
    """The list at the top rules this section too."""
    Select(loaded.find_element(By.ID, "target")).select_by_visible_text("tensorrt")
    best = next(p for p in by_cost(data, 1) if p["chosen"])

    assert heading(loaded).startswith(f"Plan {best['n']} for tensorrt: ")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(loaded: Any, width: int) -> None:
    """A chart that scrolls sideways on a phone is not read there."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    loaded.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        loaded.refresh()
        wide = loaded.execute_script("return document.documentElement.scrollWidth")
        charts = loaded.execute_script(
            "return [...document.querySelectorAll('.plot svg')].map((s) => s.clientWidth)"
        )
    finally:
        loaded.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    assert wide <= width
    assert len(charts) == 2
    assert all(200 < chart < width for chart in charts)
