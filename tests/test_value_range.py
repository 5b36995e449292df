"""Pictures that use little of their type's range: maps of depth, of temperature, of reflectance."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from upscale_cli import Upscaler, upscale_file
from upscale_cli.events import Event, Note
from upscale_cli.frames.image import Frame, Pixels
from upscale_cli.frames.rows import RowReader
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.value_range import ValueRange, joint, told, value_range


def surface(side: int = 48, channels: int = 1, seed: int = 0) -> Pixels:
    """Slopes, an edge and some texture, (side, side, channels) in [0, 1], both ends reached."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / (side - 1)
    picture = 0.3 * x + 0.3 * y * y + 0.3 * (x + y > 1.1) + 0.1 * rng.random((side, side))
    planes = np.stack([np.roll(picture, 5 * channel, 0) for channel in range(channels)], axis=2)
    return np.asarray((planes - planes.min()) / (planes.max() - planes.min()))


def codes(unit: Pixels, black: float, white: float, dtype: type) -> Pixels:
    values = black + unit * (white - black)
    return values.astype(dtype) if dtype is np.float32 else np.rint(values).astype(dtype)


def upscaled(upscaler: Upscaler, frame: Frame | RowReader, used: ValueRange | None = None) -> Pixels:
    plan = upscaler.plan(frame.width, frame.height, Target(scale=2))
    rows = upscaler.rows(frame, plan, used=used)
    return rows.whole()


@pytest.fixture(params=["espcn", "photo-lite"])
def upscaler(request: pytest.FixtureRequest) -> Upscaler:
    return Upscaler(request.param, device="cpu", precision="fp32")


@pytest.mark.parametrize(
    ("black", "white", "dtype"),
    [
        (0, 254, np.uint16),  # 8 bits in 16
        (0, 4095, np.uint16),  # 12 bits in 16
        (29_000, 31_000, np.uint16),  # hundredths of a kelvin
        (100, 120, np.uint8),
        (0.02, 0.31, np.float32),  # reflectance
        (-0.01, 0.05, np.float32),
        (0.9, 1.1, np.float32),
        (281.5, 296.25, np.float32),  # kelvin
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_result_is_that_of_the_stretched_picture(
    upscaler: Upscaler, black: float, white: float, dtype: type, channels: int
) -> None:
    layout: Any = "L" if channels == 1 else "RGB"
    little = codes(surface(channels=channels), black, white, dtype)
    whole = (little.astype(np.float64) - black) / (white - black)
    stretched = whole.astype(np.float32) if dtype is np.float32 else np.rint(whole * 65_535).astype(np.uint16)
    reference = upscaled(upscaler, Frame(stretched, layout)).astype(np.float64)
    reference = black + (white - black) * (reference if dtype is np.float32 else reference / 65_535)
    result = upscaled(upscaler, Frame(little, layout))
    assert result.dtype == dtype
    allowed = 1e-4 * (white - black) if dtype is np.float32 else 0.75  # rounding, of both
    assert np.abs(result - reference).max() <= allowed
    assert result.max() - result.min() > 0.85 * (white - black)


@pytest.mark.parametrize(("black", "white", "dtype"), [(0, 65_535, np.uint16), (20_000, 60_000, np.uint16),
                                                 (90, 130, np.uint8), (0, 255, np.uint8)])  # fmt: skip
def test_what_uses_its_range_goes_to_the_net_as_it_is(upscaler: Upscaler, black: int, white: int, dtype: type) -> None:
    frame = Frame(codes(surface(channels=3), black, white, dtype), "RGB")
    as_it_is = upscaled(upscaler, frame, ValueRange.full(dtype))
    np.testing.assert_array_equal(upscaled(upscaler, frame), as_it_is)


def test_a_star_in_the_night_is_a_photo(upscaler: Upscaler) -> None:
    night = codes(surface(), 0, 20, np.uint8)
    night[20, 20] = 200
    np.testing.assert_array_equal(
        upscaled(upscaler, Frame(night, "L")), upscaled(upscaler, Frame(night, "L"), ValueRange.full(np.uint8))
    )


@pytest.mark.parametrize("layout", ["CMYK", "LAB"])
def test_inks_and_lab_are_left_alone(layout: Any) -> None:
    pixels = codes(np.repeat(surface(16), 4 if layout == "CMYK" else 3, axis=2), 0, 5, np.uint8)
    assert value_range(Frame(pixels, layout)) == ValueRange.full(np.uint8)


def test_broken_pixels_do_not_decide(upscaler: Upscaler) -> None:
    thermal = codes(surface(64), 29_000, 31_000, np.uint16)
    broken = thermal.copy()
    broken[5, 5], broken[56, 8] = 65_535, 0
    used = value_range(Frame(broken, "L"))
    assert 29_000 <= used.black < used.white <= 31_000
    assert (used.low, used.high) == (0, 65_535)
    result = upscaled(upscaler, Frame(broken, "L")).astype(float)
    without = upscaled(upscaler, Frame(thermal, "L")).astype(float)
    far = np.ones_like(result, bool)
    reach = 2 * 15  # of 14 convolutions, in SR pixels
    far[: 10 + reach, : 10 + reach] = far[112 - reach :, : 16 + reach] = False
    assert np.abs(result - without)[far].max() < 0.02 * 2_000
    assert result.max() > 45_000
    assert result.min() < 16_000


def test_what_is_wholly_transparent_has_no_say() -> None:
    pixels = np.concatenate((codes(surface(), 0, 1000, np.uint16), np.full((48, 48, 1), 65_535, np.uint16)), axis=2)
    pixels[:24, :, 0], pixels[:24, :, 1] = 60_000, 0
    assert value_range(Frame(pixels, "LA")).white <= 1000


def test_holes_of_a_map_have_no_say() -> None:
    kelvin = codes(surface(), 281, 296, np.float32)
    kelvin[3, 3], kelvin[9, 9] = np.nan, np.inf
    used = value_range(Frame(kelvin, "L"))
    assert 281 <= used.black < used.white <= 296
    sr = upscaled(Upscaler("espcn", device="cpu", precision="fp32"), Frame(kelvin, "L"))
    assert np.isnan(sr[6:8, 6:8]).all()
    assert np.nanmin(sr) > 279
    assert np.nanmax(sr) < 298


def test_light_above_one_is_not_a_map() -> None:
    room = surface(60).astype(np.float32)
    room[0, 0] = 1000
    used = value_range(Frame(room, "L"))
    assert (used.black, used.high) == (0, 1000)
    assert not used.is_own


def test_a_picture_of_one_value_is_that_value(upscaler: Upscaler) -> None:
    for value in (np.uint16(7), np.float32(288.5)):
        pixels = np.full((20, 20, 1), value)
        assert value_range(Frame(pixels, "L")).is_full
        assert (upscaled(upscaler, Frame(pixels, "L")) == value).all()


def in_bands(pixels: Pixels, height: int) -> tuple[RowReader, list[int]]:
    """A picture that is decoded band by band, and where decoding has been."""
    decoded: list[int] = []

    def begin(start: int) -> Iterator[Pixels]:
        for top in range(start, len(pixels), height):
            decoded.append(top)
            yield pixels[top : top + height]

    layout: Any = "L" if pixels.shape[2] == 1 else "RGB"
    return RowReader(pixels.shape[0], pixels.shape[1], layout, pixels.dtype, "display", begin), decoded


@pytest.mark.parametrize("broken", [False, True])
def test_bands_and_tiles_have_the_range_of_the_whole(broken: bool) -> None:
    pixels = codes(surface(80), 0, 4095, np.uint16)
    if broken:
        pixels[70, 5] = 65_535
    whole = upscaled(Upscaler("espcn", device="cpu", precision="fp32"), Frame(pixels, "L"))
    reader, _ = in_bands(pixels, 9)
    tiled = Upscaler("espcn", device="cpu", precision="fp32", tile=24)
    np.testing.assert_array_equal(upscaled(tiled, reader), whole)
    np.testing.assert_array_equal(upscaled(tiled, Frame(pixels, "L")), whole)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_of_an_ordinary_picture_the_first_rows_are_enough(dtype: type) -> None:
    top = int(np.iinfo(dtype).max)
    reader, decoded = in_bands(codes(surface(80)[::-1], 0, top, dtype), 20)
    assert value_range(reader) == ValueRange.full(dtype)
    assert decoded == [0]


def test_the_range_in_bands_is_that_of_the_frame() -> None:
    pixels = codes(surface(80, channels=3), 50, 900, np.uint16)
    reader, decoded = in_bands(pixels, 20)
    assert value_range(reader) == value_range(Frame(pixels, "RGB"))
    assert decoded == [0, 20, 40, 60]


def test_two_passes_and_a_texture_that_wraps() -> None:
    pixels = codes(surface(24), 0, 254, np.uint16)
    stretched = np.rint(pixels * (65_535 / 254)).astype(np.uint16)
    for options in ({}, {"wrap": True}, {"tta": True}):
        upscaler = Upscaler("espcn", device="cpu", precision="fp32", **options)  # type: ignore[arg-type]
        plan = upscaler.plan(24, 24, Target(scale=7.3))
        result, reference = (upscaler.upscale(Frame(one, "L"), plan).pixels for one in (pixels, stretched))
        assert np.abs(result.astype(float) - reference * (254 / 65_535)).max() <= 0.75


def pages(path: Path) -> list[Pixels]:
    with tifffile.TiffFile(path) as file:
        return [page.asarray() for page in file.pages]


def test_pages_of_a_stack_have_one_range(tmp_path: Path) -> None:
    """What is the same on two pages stays the same, though one of them has more beside it, and one nothing."""
    dim = codes(surface(40), 100, 700, np.uint16)[:, :, 0]
    bright = dim.copy()
    bright[:, 30:] = dim[:, 30:] + 2000
    source, output, notes = tmp_path / "stack.tif", tmp_path / "out.tif", list[str]()
    tifffile.imwrite(source, np.stack([np.zeros_like(dim), dim, bright]), photometric="minisblack")

    def listen(event: Event) -> None:
        if isinstance(event, Note) and "values" in event.text:
            notes.append(event.text)

    upscale_file(source, output, scale=2, model="espcn", device="cpu", listener=listen)
    empty, first, second = pages(output)
    assert not empty.any()
    np.testing.assert_array_equal(first[:, :36], second[:, :36])
    upscaler = Upscaler("espcn", device="cpu")
    ranges = joint((np.uint16, value_range(Frame(page[:, :, None], "L"))) for page in (dim * 0, dim, bright))
    used = ranges[np.dtype(np.uint16).str]
    assert (used.black, used.white) == (0, int(bright.max()))
    np.testing.assert_array_equal(first, upscaled(upscaler, Frame(dim[:, :, None], "L"), used)[:, :, 0])
    (note,) = notes
    assert f"0 and {int(bright.max()):,} of 65,535" in note
    assert source.name in note


def test_a_dark_frame_of_an_animation_stays_as_it_was(tmp_path: Path) -> None:
    dark, bright = (codes(surface(32), 0, white, np.uint8)[:, :, 0] for white in (12, 255))
    source, output = tmp_path / "fade.tif", tmp_path / "out.tif"
    tifffile.imwrite(source, np.stack([dark, bright]), photometric="minisblack")
    upscale_file(source, output, scale=2, model="espcn", device="cpu")
    upscaler = Upscaler("espcn", device="cpu")
    for page, lr in zip(pages(output), (dark, bright), strict=True):
        as_it_is = upscaled(upscaler, Frame(lr[:, :, None], "L"), ValueRange.full(np.uint8))
        np.testing.assert_array_equal(page, as_it_is[:, :, 0])


def test_one_range_for_two() -> None:
    def of(*values: float) -> ValueRange:
        return value_range(Frame(np.array(values, np.uint16).reshape(1, -1, 1), "L"))

    a, b = of(10, 20, 30), of(25, 500)
    assert (a.with_that_of(b).black, a.with_that_of(b).white) == (10, 500)
    assert a.with_that_of(b) == b.with_that_of(a)
    assert of(0, 20_000).with_that_of(of(30_000, 50_000)).is_full  # together they use it
    assert a.with_that_of(ValueRange.full(np.uint16)).is_full
    kelvin = ValueRange(280, 300, 280, 300, (0, 1))
    assert (kelvin.with_that_of(ValueRange(270, 290, 270, 290, (0, 1))).black) == 270


def test_the_user_is_told(tmp_path: Path) -> None:
    notes: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    little, photo = codes(surface(), 0, 254, np.uint16)[:, :, 0], codes(surface(channels=3), 0, 255, np.uint8)
    upscaler = Upscaler("espcn", device="cpu", listener=listen)
    upscaler(photo, scale=2)
    upscaler(Image.fromarray(photo), scale=2)
    assert notes == []
    upscaler(little, scale=2)
    assert len(notes) == 1
    assert "between 0 and 254 of 65,535" in notes[0]
    Image.fromarray(little).save(tmp_path / "depth.png")
    upscale_file(tmp_path / "depth.png", tmp_path / "out.png", scale=2, model="bicubic", listener=listen)
    assert len(notes) == 1, "interpolation has no need of it"
    assert "between 0.02 and 0.31:" in told(value_range(Frame(codes(surface(), 0.02, 0.31, np.float32), "L")))
