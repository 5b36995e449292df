"""The page of `upscale compare` in Chromium: what is on the screen, pixel by pixel, under mouse, keys and fingers."""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.pictures import encoded, exif_block, frame_of
from upscale_cli.compare.page import write_page
from upscale_cli.compare.pairing import Subject, Version
from upscale_cli.frames.image import Pixels

pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra [browser])")

pytestmark = pytest.mark.slow  # each starts a page in a real browser

GRIP = 30
"""Pixels on either side of the divider that its handle may cover."""

Levels = NDArray[np.int64]
Make = Callable[..., Pixels]


class Viewer:
    """A page in a window: what is seen of it, and what is reported."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def settle(self) -> None:
        """Until everything is decoded and drawn."""
        self.page.wait_for_selector("body[data-state=ready]")
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def box(self) -> tuple[int, int, int, int]:
        """(left, top, width, height) of the stage."""
        box = self.page.locator("#canvas").bounding_box()
        return round(box["x"]), round(box["y"]), round(box["width"]), round(box["height"])

    def seen(self) -> Levels:
        """The stage as (height, width, 3), in screen pixels, without the labels that lie over the picture."""
        self.settle()
        hide = "(how) => { for (const one of document.querySelectorAll('.badge')) one.style.visibility = how; }"
        self.page.evaluate(hide, "hidden")
        screenshot = self.page.locator("#stage").screenshot()
        self.page.evaluate(hide, "")
        with Image.open(io.BytesIO(screenshot)) as image:
            return np.asarray(image.convert("RGB")).astype(np.int64)

    def text(self, identifier: str) -> str:
        return str(self.page.locator(f"#{identifier}").text_content())

    def divider(self) -> int:
        """Where the divider stands, in pixels from the left of the stage."""
        handle, stage = self.page.locator("#handle").bounding_box(), self.box()
        centre: float = handle["x"] + handle["width"] / 2
        return round(centre) - stage[0]

    def drag(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        left, top, _, _ = self.box()
        self.page.mouse.move(left + start[0], top + start[1])
        self.page.mouse.down()
        self.page.mouse.move(left + (start[0] + stop[0]) / 2, top + (start[1] + stop[1]) / 2)
        self.page.mouse.move(left + stop[0], top + stop[1])
        self.page.mouse.up()
        self.settle()


Show = Callable[..., Viewer]


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Show]:
    """Opens a page from file://. Whatever it logs, throws or asks the network for fails the test."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def show(*subjects: Subject, **context: Any) -> Viewer:
        path = tmp_path / "page's #1 ü.html"
        write_page(subjects, path, overwrite=True)
        options = {"viewport": {"width": 1000, "height": 700}, "color_scheme": "dark"} | context
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on(
            "request", lambda request: complaints.append(f"request: {request.url[:99]}") if foreign(request) else None
        )
        page.goto(path.as_uri())
        viewer = Viewer(page)
        viewer.settle()
        return viewer

    yield show
    for context in contexts:
        context.close()
    assert complaints == []


def foreign(request: Any) -> bool:
    return not request.url.startswith(("file:", "data:"))


def subject(
    *versions: Pixels | bytes, name: str = "cat", labels: tuple[str, ...] = ("before", "after", "third")
) -> Subject:
    files = [file if isinstance(file, bytes) else png(file) for file in versions]
    return Subject(name, tuple(Version(label, file) for label, file in zip(labels, files, strict=False)))


def png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def enlarged(pixels: Pixels, zoom: int) -> Levels:
    return np.asarray(pixels).astype(np.int64).repeat(zoom, axis=0).repeat(zoom, axis=1)


def by_bicubic(pixels: Pixels, size: tuple[int, int]) -> Levels:
    """Enlarged by Pillow, to (height, width); as floats: of bytes it cuts off what overshoots between its passes."""
    channels = [Image.fromarray(channel.astype(np.float32)) for channel in np.moveaxis(pixels, 2, 0)]
    enlarged = [np.asarray(channel.resize(size[::-1], Image.Resampling.BICUBIC)) for channel in channels]
    levels: Levels = np.clip(np.rint(np.stack(enlarged, axis=2)), 0, 255).astype(np.int64)
    return levels


def in_the_middle(stage: Levels, height: int, width: int) -> Levels:
    """The part of the stage where a picture of that size stands when it is fitted."""
    top, left = (round((whole - part) / 2) for whole, part in zip(stage.shape, (height, width), strict=False))
    return stage[max(top, 0) : top + height, max(left, 0) : left + width]


def test_a_is_left_and_b_is_right_of_a_divider_that_can_be_dragged(show: Show, noise: Make) -> None:
    """Fitted, 60 x 40 pixels are enlarged by a whole number: every pixel of the screen is known."""
    a, b = noise(40, 60, 3), noise(40, 60, 3, seed=1)
    viewer = show(subject(a, b))
    _, _, width, height = viewer.box()
    zoom = min(width // 60, height // 40)
    assert zoom > 8
    assert viewer.text("zoom") == f"{100 * zoom} %"
    for share in (0.5, 0.3, 0.7):
        viewer.drag((viewer.divider(), height / 3), (width * share, height / 3 + 20))
        at = viewer.divider()
        assert at == pytest.approx(width * share, abs=1)
        stage = viewer.seen()
        picture = in_the_middle(stage, 40 * zoom, 60 * zoom)
        cut = at - (width - 60 * zoom) // 2
        np.testing.assert_array_equal(picture[:, : cut - GRIP], enlarged(a, zoom)[:, : cut - GRIP])
        np.testing.assert_array_equal(picture[:, cut + GRIP :], enlarged(b, zoom)[:, cut + GRIP :])
    assert viewer.text("badge-a") == "A before"
    assert viewer.text("badge-b") == "B after"


def test_the_divider_stays_on_the_picture(show: Show, noise: Make) -> None:
    viewer = show(subject(noise(90, 30, 3), noise(90, 30, 3, seed=1)))
    _, _, width, height = viewer.box()
    zoom = height // 90
    viewer.drag((viewer.divider(), height / 2), (5, height / 2))
    assert viewer.divider() == pytest.approx((width - 30 * zoom) / 2, abs=1)


def test_the_divider_by_keys(show: Show, noise: Make) -> None:
    viewer = show(subject(noise(100, 200, 3), noise(100, 200, 3, seed=1)))
    handle = viewer.page.get_by_role("slider", name="Divider")
    viewer.press("2")  # a key that means nothing
    handle.focus()
    viewer.press("Home")
    least = int(handle.get_attribute("aria-valuenow"))
    viewer.press("End")
    most = int(handle.get_attribute("aria-valuenow"))
    assert 0 <= least < 10
    assert 90 < most <= 100
    viewer.press(*["ArrowLeft"] * 10)
    assert int(handle.get_attribute("aria-valuenow")) == pytest.approx(most - 10, abs=1)
    viewer.press("Shift+ArrowRight")
    assert int(handle.get_attribute("aria-valuenow")) == pytest.approx(most, abs=1)
    assert "of the width shows A" in handle.get_attribute("aria-valuetext")
    viewer.press(*["+"] * 4)
    corner = viewer.seen()[:40, :40]
    viewer.press(*["ArrowLeft"] * 3)
    np.testing.assert_array_equal(viewer.seen()[:40, :40], corner)  # the picture stays where it is


def test_100_percent_is_pixel_for_pixel(show: Show, noise: Make) -> None:
    """Larger than the window: the middle is seen; then it is moved, by mouse and by keys, by as much as the hand is."""
    a, b = noise(1500, 2001, 3), noise(1500, 2001, 3, seed=1)
    viewer = show(subject(a, b))
    assert int(viewer.text("zoom").split()[0]) < 50
    viewer.press("1", "t")
    _, _, width, height = viewer.box()

    def part(dx: int, dy: int) -> Levels:
        top, left = round(750 - height / 2) + dy, round(2001 / 2 - width / 2) + dx
        return a[top : top + height, left : left + width].astype(np.int64)

    np.testing.assert_array_equal(viewer.seen(), part(0, 0))
    viewer.drag((500, 300), (400, 250))
    np.testing.assert_array_equal(viewer.seen(), part(100, 50))
    viewer.press("ArrowLeft", "Shift+ArrowUp")
    np.testing.assert_array_equal(viewer.seen(), part(60, -150))
    viewer.press("0")
    assert int(viewer.text("zoom").split()[0]) < 50


def test_800_percent_shows_pixels(show: Show, noise: Make) -> None:
    a, b = noise(400, 500, 3), noise(400, 500, 3, seed=1)
    viewer = show(subject(a, b))
    viewer.press("1", "t", *["+"] * 6)
    assert viewer.text("zoom") == "800 %"
    stage = viewer.seen()
    height, width = stage.shape[:2]
    top, left = round(height / 2 - 200 * 8), round(width / 2 - 250 * 8)
    np.testing.assert_array_equal(stage, enlarged(a, 8)[-top:, -left:][:height, :width])
    viewer.press(*["+"] * 9)
    assert viewer.text("zoom") == "3200 %"
    viewer.press("i")
    smooth = viewer.seen()[100:132, 100:132]
    assert len(np.unique(smooth.reshape(-1, 3), axis=0)) > 100


def test_the_smaller_version_is_enlarged_to_the_larger(show: Show, noise: Make) -> None:
    lr, sr = noise(10, 15, 3), noise(40, 60, 3, seed=1)
    viewer = show(subject(lr, sr))
    viewer.press("p")
    _, _, width, height = viewer.box()
    zoom = min((width - 2) // 2 // 60, height // 40)
    stage = viewer.seen()
    half = (width - 2) // 2
    np.testing.assert_array_equal(in_the_middle(stage[:, :half], 40 * zoom, 60 * zoom), enlarged(lr, 4 * zoom))
    np.testing.assert_array_equal(in_the_middle(stage[:, width - half :], 40 * zoom, 60 * zoom), enlarged(sr, zoom))
    assert viewer.text("metrics") == "sizes differ, so there is no PSNR"


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("lr_size", "sr_size"), [((10, 15), (40, 60)), ((13, 20), (33, 50)), ((39, 59), (40, 60)), ((39, 60), (40, 60))]
)
def test_of_two_sizes_the_difference_is_that_from_a_bicubic_enlargement(
    show: Show, noise: Make, lr_size: tuple[int, int], sr_size: tuple[int, int], *, swapped: bool
) -> None:
    """As Pillow's bicubic makes it, which is that of `-m bicubic`: to a level."""
    lr = noise(*lr_size, 3)
    bicubic = by_bicubic(lr, sr_size)
    sr = np.clip(bicubic + noise(*sr_size, 3, seed=1) // 12 - 10, 0, 255).astype(np.uint8)
    viewer = show(subject(sr, lr) if swapped else subject(lr, sr))
    button = viewer.page.get_by_role("button", name="Difference")
    assert not button.is_disabled()
    side = "B" if swapped else "A"
    assert button.get_attribute("title") == f"Difference, {side} enlarged by bicubic (D)"
    viewer.press("d", *["["] * 3)
    assert viewer.page.locator("#stage").get_attribute("data-mode") == "difference"
    assert viewer.text("badge-a") == f"|A − B| × 1, {side} enlarged by bicubic"
    zoom = int(viewer.text("zoom").split()[0]) // 100
    height, width = sr_size
    shown = in_the_middle(viewer.seen(), height * zoom, width * zoom)[::zoom, ::zoom]
    assert np.abs(shown - np.abs(bicubic - sr)).max() <= 1
    viewer.press("]")
    shown = in_the_middle(viewer.seen(), height * zoom, width * zoom)[::zoom, ::zoom]
    assert np.abs(shown - np.minimum(2 * np.abs(bicubic - sr), 255)).max() <= 2


def test_a_part_of_the_difference_is_the_same_as_in_the_whole(show: Show, noise: Make) -> None:
    lr = noise(200, 300, 3)
    viewer = show(subject(lr, by_bicubic(lr, (800, 1200)).astype(np.uint8)))
    viewer.press("d", "1", *["["] * 3)
    assert viewer.seen().max() <= 1, "nothing but rounding, at 100 %"
    viewer.press("+", "+", "+")
    viewer.drag((300, 300), (100, 180))
    assert viewer.seen().max() <= 1, "nor where a part is seen"
    viewer.press("0")
    assert in_the_middle(viewer.seen(), 500, 800).max() <= 1, "nor where all of it is shrunk to fit"


def test_both_panels_move_together(show: Show, noise: Make) -> None:
    a = noise(300, 300, 3)
    viewer = show(subject(a, a.copy()))
    viewer.press("p", *["+"] * 3)
    viewer.drag((200, 300), (310, 222))
    left, right = np.array_split(viewer.seen(), 2, axis=1)
    np.testing.assert_array_equal(left[:, :-1], right[:, 1:])


def test_the_difference_is_that_of_the_pixels(show: Show, noise: Make) -> None:
    a = noise(40, 60, 3)
    b = np.clip(a.astype(int) + noise(40, 60, 3, seed=1) // 24 - 5, 0, 255).astype(np.uint8)
    viewer = show(subject(a, b))
    viewer.press("d")
    zoom = int(viewer.text("zoom").split()[0]) // 100
    difference = enlarged(np.abs(a.astype(int) - b), zoom)
    for gain, keys in ((8, ()), (16, ("]",)), (1, ["["] * 4), (64, ["]"] * 9)):
        viewer.press(*keys)
        assert viewer.text("gain-value") == f"× {gain}"
        shown = in_the_middle(viewer.seen(), *difference.shape[:2])
        np.testing.assert_array_equal(shown, np.minimum(difference * gain, 255))
    viewer.page.locator("#gain").focus()
    viewer.press("ArrowLeft")
    assert viewer.text("gain-value") == "× 32"


def test_toggle_by_key_and_by_click(show: Show) -> None:
    red, blue = (np.full((50, 50, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))
    viewer = show(subject(red, blue))
    viewer.press("t")
    left, top, width, height = viewer.box()

    def colour() -> list[int]:
        return [int(level) for level in viewer.seen()[height // 2, width // 2]]

    assert colour() == [200, 0, 0]
    viewer.page.keyboard.down(" ")
    assert (colour(), viewer.text("badge-a")) == ([0, 0, 200], "B after")
    viewer.page.keyboard.up(" ")
    assert colour() == [200, 0, 0]
    viewer.page.mouse.click(left + width / 2, top + height / 2)
    assert colour() == [0, 0, 200]
    viewer.press("x")
    assert colour() == [200, 0, 0]
    viewer.press("s", "x")
    viewer.page.keyboard.down(" ")
    assert viewer.seen()[height // 2, width // 2 - 100].tolist() == [0, 0, 200]


def test_the_wheel_zooms_where_the_pointer_is(show: Show, noise: Make) -> None:
    a = noise(200, 200, 3)
    viewer = show(subject(a, a.copy()))
    left, top, width, height = viewer.box()
    viewer.press("t")
    at = (width // 2 + 60, height // 2 + 40)
    before = viewer.seen()[at[1], at[0]]
    viewer.page.mouse.move(left + at[0] + 0.5, top + at[1] + 0.5)
    viewer.page.mouse.wheel(0, -700)
    viewer.page.mouse.wheel(0, -200)
    viewer.settle()
    assert int(viewer.text("zoom").split()[0]) > 600
    np.testing.assert_array_equal(viewer.seen()[at[1], at[0]], before)
    assert (
        " ".join(map(str, before)) in viewer.text("readout")
        or viewer.page.mouse.move(left + at[0], top + at[1]) is None
    )
    for _ in range(12):
        viewer.page.mouse.wheel(0, -9000)
    viewer.settle()
    assert viewer.text("zoom") == "3200 %"
    for _ in range(20):
        viewer.page.mouse.wheel(0, 9000)
    viewer.settle()
    assert viewer.text("zoom") == "50 %"


def test_several_pictures_and_versions(show: Show, noise: Make) -> None:
    """Place and zoom stay from picture to picture; every side takes every version."""
    first = subject(noise(200, 300, 3), noise(200, 300, 3, seed=1), noise(200, 300, 3, seed=2), name="first")
    second = subject(noise(200, 300, 3, seed=3), noise(200, 300, 3, seed=4), name="second")
    viewer = show(first, second)
    page = viewer.page
    assert page.locator("#previous").is_disabled()
    viewer.press("b", *["+"] * 5)
    viewer.drag((400, 300), (300, 330))
    assert viewer.text("badge-b") == "B third"
    assert page.locator("#version-b").input_value() == "2"
    zoom = viewer.text("zoom")
    viewer.press("PageDown")
    assert (page.locator("#subject").input_value(), viewer.text("zoom")) == ("1", zoom)
    assert viewer.text("badge-b") == "B after"
    there = viewer.seen()[300:310, 100:110].copy()
    page.locator("#previous").click()
    page.locator("#subject").select_option("1")
    np.testing.assert_array_equal(viewer.seen()[300:310, 100:110], there)
    page.locator("#version-a").select_option("1")
    viewer.settle()
    assert viewer.text("metrics") == "A and B are the same version"
    viewer.press("a")
    assert page.locator("#version-a").input_value() == "0"
    assert "PSNR" in viewer.text("metrics")
    assert "second. Slider. A: before. B: after." in viewer.page.locator("#status").text_content()


def test_metrics_are_shown_against_the_reference(show: Show, noise: Make) -> None:
    a, b = noise(40, 40, 3), noise(40, 40, 3, seed=1)
    held = Subject("cat", subject(a, b).versions, Version("truth.png", png(b)))
    viewer = show(held)
    assert "A to HR: PSNR" in viewer.text("metrics")
    assert "B to HR: identical pixels" in viewer.text("metrics")
    assert viewer.page.locator("#version-a option").all_inner_texts()[-1] == "HR: truth.png"


def test_a_photo_that_lies_on_its_side_stands_upright(show: Show) -> None:
    upright = frame_of(height=40, width=60)
    lying = encoded(upright, "JPEG", quality=100, exif=b"Exif\0\0" + exif_block(6))
    viewer = show(subject(lying, lying))
    _, _, width, height = viewer.box()
    zoom = min(width // 40, height // 60)
    with Image.open(io.BytesIO(lying)) as image:
        expected = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    viewer.press("t")
    shown = in_the_middle(viewer.seen(), 60 * zoom, 40 * zoom)
    np.testing.assert_array_equal(shown, enlarged(expected, zoom))


def test_through_transparent_pixels_a_pattern_is_seen(show: Show) -> None:
    clear = np.zeros((50, 50, 4), np.uint8)
    viewer = show(subject(clear, clear.copy()))
    viewer.press("t")
    _, _, width, height = viewer.box()
    around = viewer.seen()[height // 2 - 20 : height // 2 + 20, width // 2 - 20 : width // 2 + 20]
    assert len(np.unique(around.reshape(-1, 3), axis=0)) == 2


# Hands


def touch(page: Any, *steps: Sequence[tuple[float, float]]) -> None:
    """Fingers that go down at the first of the steps, move, and are lifted after the last."""
    session = page.context.new_cdp_session(page)
    for number, points in enumerate(steps):
        kind = "touchStart" if number == 0 else "touchMove"
        fingers = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


PHONE = {"viewport": {"width": 360, "height": 700}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


def test_fingers(show: Show, noise: Make) -> None:
    """On a screen of two pixels per CSS pixel: the divider is dragged, two fingers zoom, one moves, two taps fit."""
    viewer = show(subject(noise(400, 300, 3), noise(400, 300, 3, seed=1)), **PHONE)
    page = viewer.page
    left, top, width, height = viewer.box()
    assert viewer.seen().shape[1] == 720
    middle = top + height / 2
    touch(page, [(left + width / 2, middle)], [(left + width / 3, middle)], [(left + width / 4, middle)])
    viewer.settle()
    assert viewer.divider() == pytest.approx(width / 4, abs=2)
    fitted = int(viewer.text("zoom").split()[0])
    row, column = round(2 * (middle - top)), 400  # where the fingers are, in the screen's pixels
    around = viewer.seen()[row - 2 : row + 3, column - 2 : column + 3].reshape(-1, 3).tolist()
    touch(page, *[[(200, middle - apart), (200, middle + apart)] for apart in (20, 40, 80)])
    viewer.settle()
    assert int(viewer.text("zoom").split()[0]) == pytest.approx(4 * fitted, rel=0.05)
    assert viewer.seen()[row, column].tolist() in around
    before = viewer.seen()[-200:, -300:]
    touch(page, [(250, middle)], [(240, middle)], [(200, middle)])
    after = viewer.seen()[-200:, -400:]
    np.testing.assert_array_equal(after[:, :300], before)  # 50 CSS pixels to the left are 100 of the screen's
    for _ in range(2):
        page.touchscreen.tap(250, middle + 60)
    viewer.settle()
    assert int(viewer.text("zoom").split()[0]) == fitted


@pytest.mark.parametrize("size", [(320, 568), (360, 700), (768, 1024), (740, 360), (1000, 700), (2400, 1300)])
@pytest.mark.parametrize("mode", ["s", "d"])
def test_nothing_is_cut_off(show: Show, noise: Make, size: tuple[int, int], mode: str) -> None:
    long = "a very long name of a file that somebody gave to it " * 4
    one = subject(noise(30, 40, 3), noise(30, 40, 3, seed=1), name=long, labels=(long + "1.png", long + "2.png"))
    viewer = show(one, subject(noise(30, 40, 3), noise(30, 40, 3)), viewport={"width": size[0], "height": size[1]})
    viewer.press(mode)
    outside = viewer.page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, output, .badge, #metrics, #stage")]
            .filter((one) => one.checkVisibility() && one.closest("dialog") === null)
            .filter((one) => { const box = one.getBoundingClientRect();
                return box.left < 0 || box.top < 0 || box.right > innerWidth || box.bottom > innerHeight; })
            .map((one) => one.id || one.className)"""
    )
    assert outside == []
    assert viewer.box()[3] > size[1] / 3


# Looks, and those who do not look


def colour_of(viewer: Viewer, name: str) -> NDArray[np.float64]:
    """A colour of the theme, sRGB in 0..1."""
    text = viewer.page.evaluate(
        """(name) => { const pen = document.createElement("canvas").getContext("2d");
            pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
            pen.fillRect(0, 0, 1, 1); return [...pen.getImageData(0, 0, 1, 1).data]; }""",
        name,
    )
    return np.array(text[:3]) / 255


def contrast(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """WCAG 2.2: contrast ratio of two sRGB colours."""

    def luminance(colour: NDArray[np.float64]) -> float:
        linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_dark_and_light(show: Show, scheme: str) -> None:
    """What the system prefers, until it is switched; then that, the next time too. Text can be read on everything."""
    flat = np.full((40, 10, 3), 128, np.uint8)
    viewer = show(subject(flat, flat), color_scheme=scheme)
    is_light = viewer.seen()[-1, 0].mean() > 128
    assert is_light == (scheme == "light")
    for _ in range(2):
        for text, ground in (
            ("--text", "--bar"),
            ("--muted", "--bar"),
            ("--accent", "--bar"),
            ("--on-accent", "--accent"),
        ):
            assert contrast(colour_of(viewer, text), colour_of(viewer, ground)) >= 4.5
        viewer.press("l")
    viewer.press("l")
    assert (viewer.seen()[-1, 0].mean() > 128) != is_light
    for patience in (50, 500, 5000, 20_000):  # the browser takes its time to write down what it keeps, and may lose it
        viewer.page.wait_for_timeout(patience)
        viewer.page.reload()
        if (viewer.seen()[-1, 0].mean() > 128) != is_light:
            return
        viewer.press("l")
    pytest.fail("the choice is not kept")


def test_the_help_opens_and_closes(show: Show) -> None:
    flat = np.full((40, 40, 3), 128, np.uint8)
    viewer = show(subject(flat, flat))
    viewer.page.keyboard.press("?")
    help = viewer.page.get_by_role("dialog", name="Keys and gestures")
    assert help.is_visible()
    viewer.page.keyboard.press("p")  # while it is open, keys mean nothing
    viewer.page.keyboard.press("Escape")
    assert not help.is_visible()
    assert viewer.page.locator("#stage").get_attribute("data-mode") == "slider"
    viewer.page.get_by_role("button", name="Help").click()
    viewer.page.get_by_role("button", name="Close").click()
    assert not help.is_visible()


def test_everything_has_a_name_and_can_be_reached(show: Show) -> None:
    flat = np.full((40, 40, 3), 128, np.uint8)
    viewer = show(subject(flat, flat), subject(flat, flat))
    nameless = viewer.page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, [role], main")]
            .filter((one) => !(one.ariaLabel || one.innerText?.trim() || one.id === "status"))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    reached = set()
    for _ in range(30):
        viewer.page.keyboard.press("Tab")
        reached.add(viewer.page.evaluate("() => document.activeElement.id || document.activeElement.dataset.mode"))
    assert {"stage", "handle", "version-a", "version-b", "swap", "subject", "in", "out", "pair", "theme"} <= reached
    assert viewer.page.locator("#modes [aria-pressed=true]").get_attribute("aria-label") == "Slider"


def test_those_who_want_no_motion_get_none(show: Show) -> None:
    flat = np.full((40, 40, 3), 128, np.uint8)
    viewer = show(subject(flat, flat), reduced_motion="reduce")
    durations = viewer.page.evaluate(
        """() => [...document.querySelectorAll("*")].map((one) => getComputedStyle(one))
            .filter((style) => style.transitionDuration !== "0s" || style.animationName !== "none").length"""
    )
    assert durations == 0


def test_names_are_shown_as_they_are(show: Show) -> None:
    flat = np.full((40, 40, 3), 128, np.uint8)
    name = "</script><img src=x onerror=alert(1)>&amp;\"'猫.png"
    viewer = show(subject(flat, flat, name=name, labels=(name, name + "2")), subject(flat, flat))
    assert viewer.text("badge-a") == f"A {name}"
    assert viewer.page.locator("#version-b option").all_text_contents() == [name, name + "2"]
    assert viewer.page.locator("#subject option").all_text_contents()[0].endswith(name)
    assert viewer.page.locator("img").count() == 0


def test_what_is_read_under_the_pointer(show: Show, noise: Make) -> None:
    lr, sr = noise(10, 15, 3), noise(40, 60, 3, seed=1)
    viewer = show(subject(lr, sr))
    left, top, width, height = viewer.box()
    zoom = min(width // 60, height // 40)
    corner = left + (width - 60 * zoom) // 2, top + round((height - 40 * zoom) / 2)
    viewer.page.mouse.move(corner[0] + 21.5 * zoom, corner[1] + 17.5 * zoom)
    a, b = " ".join(map(str, lr[4, 5])), " ".join(map(str, sr[17, 21]))
    assert viewer.text("readout").split() == f"21, 17 A {a} B {b}".split()
