"""A Chromium for all tests that drive a page in one."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One that runs until the last test of a file ends: as long as Playwright runs, asyncio runs nothing else there."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra [browser])")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--force-color-profile=srgb"])
        yield browser
        browser.close()
