"""EXR, Radiance HDR, DPX, SGI, PCX, ICO and DDS: what other hands wrote is read, and others read what is written."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.command import Run
from tests.pictures import frame_of, read, write
from upscale_cli.errors import InputError, OutputError
from upscale_cli.frames.image import Frame
from upscale_cli.media.image.formats import format_named, format_of

LIGHT = np.linspace(0, 4, 20 * 30 * 3, dtype=np.float32).reshape(20, 30, 3)


def made(path: Path, pixels: NDArray[Any], kind: str, channels: tuple[str, ...] = (), **fields: Any) -> Path:
    """A file by OpenImageIO itself; fields by name, with "__" for ":", as value or as (type, value)."""
    height, width, count = pixels.shape
    spec = OpenImageIO.ImageSpec(width, height, count, kind)
    if channels:
        spec.channelnames = channels
    for name in ("x", "y", "full_x", "full_y", "full_width", "full_height"):
        if name in fields:
            setattr(spec, name, fields.pop(name))
    for name, value in fields.items():
        given = value if isinstance(value, tuple) else (value,)
        spec.attribute(name.replace("__", ":"), *given)
    output: Any = OpenImageIO.ImageOutput.create(str(path))
    assert output.open(str(path), spec), output.geterror()
    assert output.write_image(pixels), output.geterror()
    assert output.close()
    return path


def judged(path: Path) -> tuple[Any, NDArray[Any]]:
    """(header, float pixels) by OpenImageIO itself."""
    file: Any = OpenImageIO.ImageInput.open(str(path))
    assert file is not None, OpenImageIO.geterror()
    spec, pixels = file.spec(), file.read_image("float")
    file.close()
    return spec, pixels


def upscaled(run: Run, source: Path, output: Path, *more: object) -> str:
    outcome = run(source, "-m", "bicubic", "-s", 2, "-o", output, *more)
    assert outcome.code == 0, outcome.err
    return " ".join((outcome.out + outcome.err).split())


# OpenEXR


def test_an_exr_stays_what_it_is(run: Run, tmp_path: Path) -> None:
    alpha = np.linspace(0.25, 1, 600, dtype=np.float32).reshape(20, 30, 1)
    pixels = np.concatenate((LIGHT * alpha, alpha), axis=2)
    given: dict[str, Any] = {"compression": "piz", "Copyright": "Acme", "take": 7}
    source = made(tmp_path / "a.exr", pixels, "half", ("R", "G", "B", "A"), **given)
    said = upscaled(run, source, tmp_path / "b.exr")
    assert "left out" not in said
    before, _ = judged(source)
    after, sr = judged(tmp_path / "b.exr")
    assert (after.width, after.height, str(after.format)) == (60, 40, "half")
    assert after.channelnames == before.channelnames == ("R", "G", "B", "A")
    assert {name: after.getattribute(name) for name in given} == given
    assert sr[..., :3].max() > 3.5, "light brighter than white stays"
    halves = sr.reshape(20, 2, 30, 2, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(halves[2:-2, 2:-2], pixels[2:-2, 2:-2], rtol=0.01, atol=0.01)


def test_float_stays_float_and_depth_stays_a_channel_of_its_name(run: Run, tmp_path: Path) -> None:
    source = made(tmp_path / "a.exr", LIGHT[..., :1] * 1000, "float", ("Z",))
    upscaled(run, source, tmp_path / "b.exr")
    spec, sr = judged(tmp_path / "b.exr")
    assert (spec.channelnames, str(spec.format)) == (("Z",), "float")
    assert sr.max() > 3900


def test_both_windows_are_scaled(run: Run, tmp_path: Path) -> None:
    place: dict[str, Any] = {"x": 4, "y": -3, "full_x": 0, "full_y": 0, "full_width": 40, "full_height": 25}
    source = made(tmp_path / "a.exr", LIGHT + 0.5, "float", **place)
    upscaled(run, source, tmp_path / "b.exr")
    spec, _ = judged(tmp_path / "b.exr")
    assert (spec.x, spec.y, spec.width, spec.height) == (8, -6, 60, 40)
    assert (spec.full_x, spec.full_y, spec.full_width, spec.full_height) == (0, 0, 80, 50)
    said = upscaled(run, source, tmp_path / "b.png")
    assert "PNG stores the picture as it is seen" in said
    shown = np.asarray(Image.open(tmp_path / "b.png"))
    assert shown.shape == (50, 80, 3)
    assert not shown[:, :8].any()
    assert shown[:34, 8:68].all()
    assert not shown[34:].any()


def test_light_becomes_srgb_where_only_that_is_held(run: Run, tmp_path: Path) -> None:
    grey = np.full((8, 8, 3), 0.214041, np.float32)  # sRGB's 0.5
    source = made(tmp_path / "a.exr", grey, "float", Copyright="Acme")
    said = upscaled(run, source, tmp_path / "b.jpg", "--quality", 100)
    assert "light is brought to sRGB's curve" in said
    assert "JPEG has no place for Copyright of the EXR header: left out" in said
    assert abs(int(np.asarray(Image.open(tmp_path / "b.jpg"))[8, 8, 1]) - 128) <= 1
    said = upscaled(run, source, tmp_path / "b.tif")
    assert "TIFF does not say that values are proportional to light; they stay so" in said
    assert abs(float(read(tmp_path / "b.tif")[1][0].pixels[8, 8, 1]) - 0.214041) < 1e-5


def test_an_srgb_picture_becomes_light(run: Run, tmp_path: Path) -> None:
    for name in ("a.exr", "a.hdr"):
        Image.new("RGB", (8, 8), (128, 188, 255)).save(tmp_path / "a.png")
        upscaled(run, tmp_path / "a.png", tmp_path / name)
        spec, pixels = judged(tmp_path / name)
        close = 0.001 if name == "a.exr" else 1 / 128  # 8 bits and an exponent that the channels share
        np.testing.assert_allclose(pixels[4, 4], (0.2159, 0.5029, 1.0), atol=close)
        assert str(spec.format) == ("half" if name == "a.exr" else "float")


def test_what_an_exr_has_besides_is_named(tmp_path: Path) -> None:
    names = ("R", "G", "B", "Z", "diffuse.R", "diffuse.G", "diffuse.B")
    pixels = np.concatenate((LIGHT, LIGHT[..., :1], LIGHT), axis=2)
    path = made(tmp_path / "a.exr", pixels, "half", names)
    reported: list[str] = []
    _, (frame,) = read(path, say=reported.append)
    assert frame.layout == "RGB"
    np.testing.assert_allclose(frame.pixels, LIGHT, rtol=1e-3)
    assert len(reported) == 1
    assert "further channels are left out: Z, diffuse.R, diffuse.G, diffuse.B" in reported[0]


def test_a_layer_without_a_root_is_taken(tmp_path: Path) -> None:
    path = made(tmp_path / "a.exr", LIGHT, "half", ("beauty.R", "beauty.G", "beauty.B"))
    info, (frame,) = read(path)
    assert (info.layout, info.bits, frame.transfer) == ("RGB", 32, "linear")
    assert info.metadata.header is not None
    assert info.metadata.header.channels == ("beauty.R", "beauty.G", "beauty.B")


def test_identifiers_are_no_picture(tmp_path: Path) -> None:
    path = made(tmp_path / "a.exr", np.ones((4, 4, 1), np.uint32), "uint", ("id",))
    with pytest.raises(InputError, match="none of its channels is a picture"):
        read(path)


def test_a_glow_without_cover_is_told(tmp_path: Path) -> None:
    pixels = np.concatenate((LIGHT, np.zeros_like(LIGHT[..., :1])), axis=2)
    reported: list[str] = []
    read(made(tmp_path / "a.exr", pixels, "float", ("R", "G", "B", "A")), say=reported.append)
    assert "alpha 0" in reported[0]


@pytest.mark.parametrize("name", ["a.exr", "a.hdr", "a.dpx", "a.sgi"])
def test_a_file_under_another_name_is_read_by_its_content(tmp_path: Path, name: str) -> None:
    pixels = LIGHT if name in ("a.exr", "a.hdr") else (LIGHT * 60).astype(np.uint8)
    path = made(tmp_path / name, pixels, "float" if pixels.dtype == np.float32 else "uint8")
    from_bytes = read(path.read_bytes())[1][0]
    renamed = path.rename(tmp_path / "picture.png")
    np.testing.assert_array_equal(read(renamed)[1][0].pixels, from_bytes.pixels)


@pytest.mark.parametrize("name", ["a.exr", "a.hdr", "a.dpx", "a.sgi"])
def test_a_damaged_one_is_refused_in_a_line(tmp_path: Path, name: str) -> None:
    pixels = LIGHT if name in ("a.exr", "a.hdr") else (LIGHT * 60).astype(np.uint8)
    whole = made(tmp_path / name, pixels, "float" if pixels.dtype == np.float32 else "uint8").read_bytes()
    for keep in (24, len(whole) // 2):
        with pytest.raises(InputError, match="damaged") as refused:
            read(whole[:keep])
        assert "\n" not in str(refused.value)


# Radiance HDR


def test_the_lines_of_a_radiance_header_stay(run: Run, tmp_path: Path) -> None:
    data = made(tmp_path / "a.hdr", LIGHT, "float").read_bytes()
    head, _, rest = data.partition(b"\n")
    (tmp_path / "a.hdr").write_bytes(head + b"\nEXPOSURE= 2.5\nVIEW= -vtv -vp 0 0 0\n" + rest)
    said = upscaled(run, tmp_path / "a.hdr", tmp_path / "b.hdr")
    assert "left out" not in said
    written = (tmp_path / "b.hdr").read_bytes()
    assert written.startswith(head + b"\nEXPOSURE= 2.5\nVIEW= -vtv -vp 0 0 0\n")
    assert judged(tmp_path / "b.hdr")[1].max() > 3.5
    assert "PNG has no place for EXPOSURE, VIEW of the Radiance HDR header" in upscaled(
        run, tmp_path / "a.hdr", tmp_path / "b.png"
    )


def test_radiance_of_xyz_is_refused(tmp_path: Path) -> None:
    data = made(tmp_path / "a.hdr", LIGHT, "float").read_bytes().replace(b"32-bit_rle_rgbe", b"32-bit_rle_xyze")
    with pytest.raises(InputError, match="CIE XYZ"):
        read(data)


# DPX, SGI, PCX


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_dpx_keeps_its_bits_its_densities_and_its_time_code(run: Run, tmp_path: Path, bits: int) -> None:
    top = 2**bits - 1
    codes = np.linspace(0, top, 600, dtype=np.float64).round().reshape(20, 30, 1).repeat(3, axis=2)
    given: dict[str, Any] = {"oiio__BitsPerSample": bits, "dpx__Transfer": "Printing density", "dpx__FrameRate": 24.0}
    time_code = ("timecode", (0x01020304, 0))
    levels = (codes * 65_535 / top).round().astype(np.uint16)
    source = made(tmp_path / "a.dpx", levels, "uint16", smpte__TimeCode=time_code, **given)
    assert "left out" not in upscaled(run, source, tmp_path / "b.dpx", "-s", 1)
    spec, pixels = judged(tmp_path / "b.dpx")
    assert spec.get_int_attribute("oiio:BitsPerSample") == bits
    assert spec.getattribute("dpx:Transfer") == "Printing density"
    assert spec.getattribute("dpx:FrameRate") == 24.0
    assert spec.getattribute("smpte:TimeCode") == time_code[1]
    np.testing.assert_array_equal((pixels * top).round(), codes)
    said = upscaled(run, source, tmp_path / "b.tif")
    assert "TIFF does not say that values are film densities (Printing density); they stay so" in said


@pytest.mark.parametrize(("name", "mode"), [("a.sgi", "RGBA"), ("a.sgi", "L"), ("a.pcx", "RGB"), ("a.pcx", "L")])
def test_pillow_reads_what_is_written(run: Run, tmp_path: Path, name: str, mode: str) -> None:
    picture = Image.effect_mandelbrot((40, 30), (-2, -1.5, 1, 1.5), 50).convert(mode)
    source = tmp_path / name
    picture.save(source)
    upscaled(run, source, tmp_path / f"b{source.suffix}", "-s", 1)
    again = Image.open(tmp_path / f"b{source.suffix}")
    assert again.mode == mode
    np.testing.assert_array_equal(np.asarray(again), np.asarray(picture))


def test_a_palette_of_pcx_becomes_colour_and_its_resolution_stays(run: Run, tmp_path: Path) -> None:
    bands = [Image.effect_noise((40, 30), 90) for _ in range(3)]
    Image.merge("RGB", bands).quantize(16).save(tmp_path / "a.pcx")
    data = bytearray((tmp_path / "a.pcx").read_bytes())
    data[12:16] = struct.pack("<HH", 300, 200)
    (tmp_path / "a.pcx").write_bytes(data)
    upscaled(run, tmp_path / "a.pcx", tmp_path / "b.pcx")
    with Image.open(tmp_path / "b.pcx") as picture:
        assert (picture.mode, picture.size, picture.info["dpi"]) == ("RGB", (80, 60), (300, 200))


# Icons, textures


def test_an_icon_gets_its_smaller_pictures(run: Run, tmp_path: Path) -> None:
    Image.new("RGBA", (48, 48), (200, 30, 60, 128)).save(tmp_path / "a.ico", sizes=[(16, 16), (48, 48)])
    said = upscaled(run, tmp_path / "a.ico", tmp_path / "b.ico")
    assert "the largest of its pictures is taken" in said
    with Image.open(tmp_path / "b.ico") as icon:
        assert icon.size == (96, 96)
        assert icon.info["sizes"] == {(96, 96), (64, 64), (48, 48), (32, 32), (24, 24), (16, 16)}
        assert icon.convert("RGBA").getpixel((50, 50)) == (200, 30, 60, 128)
    assert "more than ICO holds (256 per side)" in run(tmp_path / "b.ico", "-s", 4, "-o", tmp_path / "c.ico").line


@pytest.mark.parametrize("coding", ["", "DXT1", "DXT5", "BC2", "BC3"])
def test_a_texture_becomes_png(run: Run, tmp_path: Path, coding: str) -> None:
    picture = Image.new("RGBA", (16, 16), (200, 40, 80, 255))
    picture.save(tmp_path / "a.dds", **({"pixel_format": coding} if coding else {}))
    outcome = run(tmp_path / "a.dds", "-m", "bicubic", "-s", 2)
    assert outcome.code == 0, outcome.err
    colour = np.asarray(Image.open(tmp_path / "a_2x.png").convert("RGB"))[8, 8].astype(int)
    assert np.abs(colour - (200, 40, 80)).max() <= 7, "5 or 6 bits a channel"


@pytest.mark.parametrize(("at", "value", "what"), [(112, 0xFE00, "a cube map"), (112, 0x200000, "a volume")])
def test_a_texture_of_several_pictures_is_refused(tmp_path: Path, at: int, value: int, what: str) -> None:
    Image.new("RGBA", (16, 16)).save(tmp_path / "a.dds")
    data = bytearray((tmp_path / "a.dds").read_bytes())
    data[at : at + 4] = struct.pack("<I", value)
    with pytest.raises(InputError, match=what):
        read(bytes(data))


def test_mipmaps_are_told(tmp_path: Path) -> None:
    Image.new("RGBA", (16, 16)).save(tmp_path / "a.dds")
    data = bytearray((tmp_path / "a.dds").read_bytes())
    data[28:32] = struct.pack("<I", 5)
    reported: list[str] = []
    read(bytes(data), say=reported.append)
    assert "mipmaps" in reported[0]


def test_a_texture_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="DDS is read, but not written"):
        format_of(tmp_path / "a.dds")
    with pytest.raises(OutputError, match="DDS is read, but not written"):
        format_named("dds")
    with pytest.raises(OutputError) as refused:
        format_named("doc")
    assert ".ico" in str(refused.value)
    assert ".dds" not in str(refused.value)


def test_holes_and_darkness_below_0_are_told_for_radiance(tmp_path: Path) -> None:
    frame = frame_of("RGB", np.float32)
    frame.pixels[0, 0] = (np.nan, -1, 2)
    reported: list[str] = []
    _, (back,) = read(
        write(tmp_path / "a.hdr", Frame(frame.pixels, "RGB", "linear"), "Radiance HDR", reported=reported)
    )
    assert "no light below 0" in reported[0]
    np.testing.assert_allclose(back.pixels[0, 0], (0, 0, 2), atol=0.01)


# What is not read


@pytest.mark.parametrize(
    ("name", "head", "what", "remedy"),
    [
        ("a.pdf", b"%PDF-1.7\n", "a PDF", "Export its pages"),
        ("a.cbr", b"Rar!\x1a\x07\x01\0", "a comic book in a RAR archive", "ends in .cbz"),
        ("a.cb7", b"7z\xbc\xaf\x27\x1c\0\4", "a comic book in a 7-Zip archive", "ends in .cbz"),
        ("a.zip", b"PK\x03\x04\x14\0", "a ZIP archive", "Unpack it"),
        ("a.epub", b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/epub+zip", "an EPUB book", "Unpack it"),
        ("a.psd", b"8BPS\0\1", "a Photoshop document", "Export it as PNG"),
        ("a.fits", b"SIMPLE  =                    T", "a FITS picture", "give the array"),
        ("a.qoi", b"qoif\0\0\0\4", "a QOI picture", "Export it as PNG"),
        ("a.cin", b"\x80\x2a\x5f\xd7" + bytes(40), "a Cineon picture", "Convert it to DPX"),
        ("a.ras", b"\x59\xa6\x6a\x95" + bytes(40), "a Sun raster picture", "Export it as PNG"),
        ("a.iff", b"FORM\0\0\0\x10ILBMBMHD", "an Amiga picture (IFF)", "Export it as PNG"),
        ("a.icns", b"icns\0\0\1\0", "an Apple icon", "Export it as PNG"),
        ("a.cur", b"\0\0\2\0\1\0" + bytes(30), "a Windows cursor", "Export it as PNG"),
        ("a.npy", b"\x93NUMPY\1\0", "a NumPy array", "give the array"),
        ("a.nii", bytes(344) + b"n+1\0", "a NIfTI volume", "give the array"),
        ("a.ktx", b"\xabKTX 11\xbb", "a KTX texture", "Export it as PNG"),
        ("a.svg", b"<?xml version='1.0'?><svg/>", "XML or SVG", "Render it as PNG"),
        ("a.jpg", b"<!doctype html><title>404", "a web page", "Download the picture itself"),
        ("a.xpm", b"/* XPM */\nstatic char", "an XPM picture", "Export it as PNG"),
        ("a.mng", b"\x8aMNG\r\n\x1a\n", "an MNG animation", "APNG"),
    ],
)
def test_what_is_not_read_is_called_by_its_name(
    run: Run, tmp_path: Path, name: str, head: bytes, what: str, remedy: str
) -> None:
    (tmp_path / name).write_bytes(head)
    line = run(tmp_path / name, "-m", "bicubic").line
    assert f"{name}: this is {what}" in line
    assert "which is not read. " in line
    assert remedy in line
