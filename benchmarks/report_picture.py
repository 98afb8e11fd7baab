"""Draw the README's picture of the report: parts of `report.html` beside each other, as a PNG.

`python benchmarks/report_picture.py quant-out/demo/report.html docs/img/report.png` after `make demo`.
It needs the system's Chromium and chromedriver. The left column is the summary, the right one the
heatmap and the network; a palette of 128 colours keeps the file small.
"""

__all__ = ["main"]

import sys

sys.path.append(sys.path.pop(0))  # see profile.py beside this file

import argparse
import io
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

COLUMNS = (("#summary",), ("#maps", "#network"))
"""CSS selectors of the sections in each column, from the top."""
WIDTH, TALL, HEIGHT = 760, 5000, 980
"""Pixels of the browser's window, which holds the whole page, and of the picture from its top."""
MARGIN = 12
"""Pixels around each section."""
COLOURS = 128
"""Of the PNG's palette."""


def open_browser(profile: str) -> webdriver.Chrome:
    """Return a headless Chromium with an empty profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser") or ""
    size = f"--window-size={WIDTH},{TALL}"
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", size)
    for flag in (*flags, "--hide-scrollbars", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    service = webdriver.ChromeService(shutil.which("chromedriver") or "")
    return webdriver.Chrome(options=options, service=service)


def sections(driver: webdriver.Chrome, page: Image.Image, selectors: Sequence[str]) -> Image.Image:
    """Return the sections of a picture of the whole page, under each other."""
    parts = []
    for selector in selectors:
        box = driver.find_element(By.CSS_SELECTOR, selector).rect
        left, top, width, height = (round(box[key]) for key in ("x", "y", "width", "height"))
        parts.append(page.crop((left, top, left + width, top + height)))
    size = (max(p.width for p in parts), sum(p.height + MARGIN for p in parts))
    image = Image.new("RGB", size, page.getpixel((0, page.height - 1)))
    top = 0
    for part in parts:
        image.paste(part, (0, top))
        top += part.height + MARGIN
    return image


def picture(page: Path) -> Image.Image:
    """Return the columns beside each other, cut to the height of the picture."""
    with tempfile.TemporaryDirectory() as profile:
        driver = open_browser(profile)
        try:
            driver.get(page.absolute().as_uri())
            whole = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
            columns = [sections(driver, whole, selectors) for selectors in COLUMNS]
        finally:
            driver.quit()
    width = sum(c.width for c in columns) + MARGIN * (len(columns) + 1)
    image = Image.new("RGB", (width, HEIGHT), whole.getpixel((0, whole.height - 1)))
    left = MARGIN
    for part in columns:
        image.paste(part, (left, MARGIN))
        left += part.width + MARGIN
    return image.quantize(COLOURS, dither=Image.Dither.NONE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, and write the picture."""
    parser = argparse.ArgumentParser(prog="benchmarks/report_picture.py", description=__doc__)
    parser.add_argument("page", type=Path, help="report.html of a run")
    parser.add_argument("out", type=Path, help="PNG to write")
    given = parser.parse_args(arguments)
    if not given.page.is_file():
        parser.error(f"'{given.page}' is not a file. Run `make demo` first.")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    picture(given.page).save(given.out, optimize=True)
    print(f"{given.out}: {given.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
