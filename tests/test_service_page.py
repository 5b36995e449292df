"""The page of `upscale serve` in Chromium: what is dropped comes back, as the command line makes it."""

import io
import os
import re
import shutil
import socket
import threading
import time
import zipfile
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright", reason="the extra [browser] is not installed")
pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")
pytest.importorskip("zipstream", reason="the extra [serve] is not installed")

import uvicorn

from upscale_cli import Upscaler
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.service.app import create_app
from upscale_cli.service.routes_results import distinct
from upscale_cli.service.service import Service
from upscale_cli.service.settings import ServiceSettings
from upscale_cli.service.viewer_process import Asked, known, previewed, shown

if TYPE_CHECKING:
    from tests.clips import Clips
    from tests.command import Run

pytestmark = pytest.mark.slow  # a page in a real browser, and a worker that loads torch

TOKEN = "a token of tests, long enough"

PATIENCE = 60_000
"""Milliseconds after which something hangs."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a service with one worker, which asks for its token."""
    settings = ServiceSettings(
        data=tmp_path_factory.mktemp("data"), device=("cpu",), engine="torch", jobs=1, min_free=0, token=TOKEN,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as bound:
        patch.setenv("UPSCALE_OFFLINE", "1")
        service = Service(settings)
        config = uvicorn.Config(create_app(service), log_config=None, timeout_graceful_shutdown=1, lifespan="on")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield f"http://localhost:{bound.getsockname()[1]}/"
        service.hub.close()
        server.should_exit = True
        thread.join()


Visit = Callable[..., Any]


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    """Opens the page. Whatever it logs, throws or asks of anywhere else fails the test."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def visit(*, fragment: str = f"#token={TOKEN}", may_log: str = "", **options: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": {"width": 1000, "height": 700}} | options))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)

        def note(what: str, text: str) -> None:
            if not (may_log and re.search(may_log, text)):
                complaints.append(f"{what}: {text[:200]}")

        def heed(request: Any) -> None:
            if not request.url.startswith((address, "data:", "blob:", "about:")):
                note("request", request.url)

        page.on("console", lambda message: note("console", message.text))
        page.on("pageerror", lambda error: note("error", str(error)))
        page.on("dialog", lambda dialog: note("dialog", dialog.message))
        page.on("request", heed)
        page.goto(address + fragment)
        if fragment:
            page.wait_for_selector("body[data-state=ready]")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def png(height: int, width: int, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pixels_of(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def drop(page: Any, name: str, data: bytes) -> None:
    """As from a file manager."""
    transfer = page.evaluate_handle(
        """([name, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name));
            return transfer;
        }""",
        [name, list(data)],
    )
    for event in ("dragover", "drop"):
        page.locator("#drop").dispatch_event(event, {"dataTransfer": transfer})


def row(page: Any, name: str, state: str) -> Any:
    """The newest job of a file, once it is in a state."""
    found = page.locator(f"#jobs li[data-state={state}]").filter(has_text=name).first
    found.wait_for()
    return found


def downloaded(page: Any, link: Any) -> tuple[str, bytes]:
    with page.expect_download() as coming:
        link.click()
    return coming.value.suggested_filename, Path(coming.value.path()).read_bytes()


def test_a_dropped_picture_comes_back_as_the_command_line_makes_it(visit: Visit, run: "Run", tmp_path: Path) -> None:
    page, lr = visit(), png(24, 32)
    drop(page, "a picture.png", lr)
    page.get_by_label("Size", exact=True).select_option("4 times")
    page.get_by_label("Model", exact=True).select_option("espcn")
    page.get_by_role("button", name="Upscale 1 file").click()
    done = row(page, "a picture.png", "done")
    assert "128\xa0×\xa096" in done.inner_text()
    name, sr = downloaded(page, done.get_by_role("link", name="Download a picture_4x.png"))
    (tmp_path / "a.png").write_bytes(lr)
    by_command = run(tmp_path / "a.png", "-m", "espcn", "-s", 4, "--device", "cpu", "-o", tmp_path / "by.png")
    assert by_command.code == 0
    assert (name, sr) == ("a picture_4x.png", (tmp_path / "by.png").read_bytes())

    done.get_by_role("link", name="Compare").click()
    frame = page.frame_locator("#frame")
    frame.locator("body[data-state=ready]").wait_for()
    assert [frame.locator(f"#size-{side}").text_content() for side in "ab"] == ["32 × 24", "128 × 96"]
    stage = pixels_of(frame.locator("#canvas").screenshot())
    box, handle = frame.locator("#canvas").bounding_box(), frame.locator("#handle").bounding_box()
    at = round(handle["x"] + handle["width"] / 2 - box["x"])
    zoom = min(stage.shape[1] // 128, stage.shape[0] // 96)
    top, left = round((stage.shape[0] - 96 * zoom) / 2), (stage.shape[1] - 128 * zoom) // 2
    after = pixels_of(sr).repeat(zoom, 0).repeat(zoom, 1)
    before = pixels_of(lr).repeat(4 * zoom, 0).repeat(4 * zoom, 1)
    under = slice(top + 60, top + 96 * zoom)  # the labels and the grip are not the picture
    grip = np.abs(np.arange(stage.shape[1]) - at) > 30
    for picture, columns in ((before, np.arange(stage.shape[1]) < at), (after, np.arange(stage.shape[1]) > at)):
        inside = grip & columns & (np.arange(stage.shape[1]) >= left)
        inside &= np.arange(stage.shape[1]) < left + 128 * zoom
        assert inside.sum() > 100
        np.testing.assert_array_equal(stage[under, inside], picture[60:][:, np.flatnonzero(inside) - left])
    page.keyboard.press("Escape")
    page.locator("#compare").wait_for(state="hidden")

    name, packed = downloaded(page, page.get_by_role("link", name="Download all"))
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert archive.read("a picture_4x.png") == sr


def test_a_part_is_previewed_where_it_is_asked_for(visit: Visit) -> None:
    page, lr = visit(), png(90, 320)
    drop(page, "wide.png", lr)
    page.get_by_label("Model", exact=True).select_option("bicubic")
    page.get_by_label("Size", exact=True).select_option("2 times")
    page.get_by_role("button", name="Preview wide.png").click()
    page.locator("#view-b").wait_for()
    lefts = []
    for keys in ([], ["Shift+ArrowRight"]):
        for key in keys:
            former = page.locator("#view-a").get_attribute("src")
            with page.expect_response("**/api/preview") as answer:
                page.keyboard.press(key)
            assert answer.value.ok
            # The answer is here before the page has shown it; until then the former part stands there.
            page.wait_for_function("src => document.getElementById('view-a').src !== src", arg=former)
        page.locator("#preview-state").filter(has_text="2 times larger").wait_for()
        place = re.findall(r"\d+", page.locator("#place-at").text_content())
        left, top, width, height = map(int, place)
        part = Image.fromarray(pixels_of(lr)[top : top + height, left : left + width])
        by_a = b64decode(page.locator("#view-a").get_attribute("src").partition(",")[2])
        np.testing.assert_array_equal(pixels_of(by_a), np.asarray(Upscaler("bicubic")(part, 2)))
        lefts.append(left)
    assert lefts[0] < lefts[1]
    assert page.locator("#view-b").get_attribute("alt") != page.locator("#view-a").get_attribute("alt")
    page.get_by_label("Model B").select_option("lanczos")
    page.get_by_role("button", name="Use B").click()
    page.wait_for_function("document.querySelector('#preview').open === false")
    assert page.get_by_label("Model", exact=True).input_value() == "lanczos"


def test_after_a_reload_the_service_has_the_small_pictures(visit: Visit) -> None:
    page = visit()
    drop(page, "again.png", png(60, 90))
    page.get_by_label("Model", exact=True).select_option("bicubic")
    page.locator("#start").click()
    row(page, "again.png", "done")
    page.reload()
    image = row(page, "again.png", "done").locator(".thumb img")
    image.wait_for()
    page.wait_for_function("one => one.naturalWidth === 90 && one.naturalHeight === 60", arg=image.element_handle())


def test_a_large_file_goes_on_where_its_connection_broke(visit: Visit, tmp_path: Path) -> None:
    page, path = visit(may_log="ERR_|Failed to load"), tmp_path / "large.png"
    path.write_bytes(png(24, 32) + np.random.default_rng(1).bytes(17 * 2**20))
    offsets: list[str] = []

    def meddle(route: Any) -> None:
        offsets.append(route.request.headers["upload-offset"])
        if len(offsets) == 2:
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route(
        "**/api/uploads/*", lambda route: meddle(route) if route.request.method == "PATCH" else route.continue_()
    )
    page.locator("#files").set_input_files(path)
    page.get_by_label("Model", exact=True).select_option("bicubic")
    page.locator("#start").click()
    done = row(page, "large.png", "done")
    sizes = [int(offset) for offset in offsets]
    assert sizes == sorted(sizes)
    assert sizes[1] == sizes[2] > 0  # the piece that broke off, and no other, is sent again
    job = done.locator("a.download").get_attribute("href")
    sent = page.request.get(page.url.rstrip("/") + job.replace("result", "input"))
    assert sent.body() == path.read_bytes()
    # The service has done it before the page has heard that it was accepted.
    page.wait_for_function("!Object.keys(localStorage).some(name => name.startsWith('upscale-upload'))")


def test_what_cannot_be_done_is_one_clear_line(visit: Visit) -> None:
    page = visit(may_log="415")
    drop(page, "notes.txt", b"no picture")
    drop(page, "<b>broken.png", b"no picture")
    page.locator("#start").click()
    alert = page.get_by_role("alert").filter(has_text="notes.txt")
    alert.wait_for()
    assert "is no picture, clip or comic" in alert.inner_text()
    failed = row(page, "<b>broken.png", "failed")
    assert failed.locator(".file").inner_text() == "<b>broken.png"
    assert failed.locator(".state").inner_text().startswith("This is text")
    with page.expect_response("**/retry") as answer:
        failed.get_by_role("button", name="Retry").click()
    assert answer.value.ok
    failed = row(page, "<b>broken.png", "failed")
    failed.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep").click()
    failed.get_by_role("button", name="Delete").click()
    page.locator("#ask").get_by_role("button", name="Delete").click()
    page.locator("#jobs li").filter(has_text="broken").wait_for(state="detached")


def test_all_that_is_finished_is_deleted_those_too_that_are_not_shown(visit: Visit) -> None:
    page = visit()
    for name in ("older.png", "newer.png"):
        drop(page, name, png(20, 20))
    page.get_by_label("Model", exact=True).select_option("bicubic")
    page.locator("#start").click()
    for name in ("older.png", "newer.png"):
        row(page, name, "done")
    page.route("**/api/jobs?limit=50", lambda route: route.continue_(url=route.request.url.replace("=50", "=1")))
    page.reload()
    row(page, "newer.png", "done")
    assert page.locator("#jobs li").count() == 1
    page.locator("#tidy").click()
    page.locator("#ask").wait_for()
    asked = re.search(r"Delete (\d+) jobs, with their results", page.locator("#ask-title").inner_text())
    assert asked is not None
    assert int(asked[1]) >= 2
    page.locator("#ask").get_by_role("button", name="Delete").click()
    page.wait_for_function("fetch('/api/jobs').then(answer => answer.json()).then(found => found.jobs.length === 0)")
    page.locator("#none").wait_for()


def test_the_token_is_asked_for_once(visit: Visit) -> None:
    page = visit(fragment="", may_log="401")
    field = page.locator("#token")
    field.fill("a wrong one")
    page.keyboard.press("Enter")
    page.get_by_text("this is not the token").wait_for()
    field.fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-state=ready]")
    page.get_by_text("ready", exact=True).wait_for()
    page.context.clear_cookies()  # as when they are too old, or another service's have taken their place
    page.reload()
    page.wait_for_selector("body[data-state=ready]")
    assert not field.is_visible()
    assert TOKEN not in str(page.context.cookies())


def test_a_token_in_the_address_does_not_stay_there(visit: Visit, address: str) -> None:
    page = visit()
    assert page.url == address
    assert not page.locator("#token").is_visible()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_and_narrow_screens_need_no_scrolling_aside(visit: Visit, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed (extra [browser])")
    page = visit(viewport={"width": 360, "height": 700}, color_scheme=scheme, has_touch=True)

    def check(where: str) -> None:
        found = axe.Axe().run(page)
        assert found.violations_count == 0, f"{where}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= 360

    check("as it comes")
    name = "a_name_that_is_as_long_as_names_of_cameras_and_of_downloads_are_" * 2 + ".png"
    drop(page, name, png(20, 20))
    page.get_by_label("Model", exact=True).select_option("bicubic")
    check("with a chosen file")
    page.get_by_role("button", name="Preview").tap()
    page.locator("#view-b").wait_for()
    check("a preview")
    page.keyboard.press("Escape")
    page.locator("#start").tap()
    done = row(page, name, "done")
    check("with a job")
    done.get_by_role("link", name="Compare").tap()
    page.frame_locator("#frame").locator("body[data-state=ready]").wait_for()
    check("compared")


def test_names_in_an_archive_are_safe_and_distinct() -> None:
    given = ("a.png", "A.png", "a.png", "con.png", "x:y?.png", "../up.png", "..", ".hidden", "lpt1", "è.png")
    made = list(distinct(iter(given)))
    assert made == [
        "a.png", "A (2).png", "a (3).png", "_con.png", "x_y_.png", "_up.png", "unnamed", "hidden", "_lpt1", "è.png",
    ]  # fmt: skip


def test_of_a_clip_the_middle_frame_is_shown(clips: "Clips", tmp_path: Path) -> None:
    path = Path(shutil.copy(clips("plain"), tmp_path / "clip.mp4"))
    assert known(path, "before", tmp_path) is None
    made = shown(path, is_clip=True, stem="before", folder=tmp_path)
    assert known(path, "before", tmp_path) == made
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    seen = pixels_of((tmp_path / made.name).read_bytes()).astype(int)
    assert (made.width, made.height) == (seen.shape[1], seen.shape[0]) == (frames[0].shape[1], frames[0].shape[0])
    nearest = min(range(len(frames)), key=lambda at: np.abs(frames[at] - seen).mean())
    assert abs(nearest - len(frames) / 2) <= 1
    os.utime(path, (0, 0))
    assert known(path, "before", tmp_path) is None, "another file may lie there now"


@pytest.mark.parametrize(
    ("middle", "left", "top"),
    [(None, 18, 3), ((50.0, 35.0), 18, 3), ((0.0, 0.0), 0, 0), ((100.0, 70.0), 36, 6), ((60.5, -4.0), 28, 0)],
)
def test_a_slow_device_previews_the_part_that_was_pointed_at(
    middle: tuple[float, float] | None, left: int, top: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than the crop: 64 x 64 pixels of its 100 x 70."""
    monkeypatch.setattr("upscale_cli.service.viewer_process.BUDGET_SECONDS", 0.0)
    lr = png(70, 100)
    done = previewed(lr, (Asked("bicubic", 2.0, UpscalerOptions(device="cpu")),), middle)
    assert (done.left, done.top, done.width, done.height) == (left, top, 64, 64)
    part = Image.fromarray(pixels_of(lr)[top : top + 64, left : left + 64])
    np.testing.assert_array_equal(pixels_of(done.made[0].picture), np.asarray(Upscaler("bicubic")(part, 2)))
