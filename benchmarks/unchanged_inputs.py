"""Inputs of `unchanged`: pictures of every layout, depth and format, clips, folders and checkpoints, drawn from seeds.

Nothing here is made by the code that is compared: both sides are given the same bytes.
"""

import functools
import io
import shutil
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms
from safetensors.numpy import save_file

from benchmarks.report import SHARED
from tests.albums import mixed_folder
from tests.clips import RECIPES, Clips
from tests.goldens.recipes import rrdbnet, seeded, srvgg

Pixels = NDArray[Any]
Make = Callable[[Path], object]

HEIGHT, WIDTH = 61, 83
SAMPLES: Final = SHARED / "samples"
INPUTS: dict[str, Make] = {}
"""What makes each input, by its path below the working folder, with slashes."""


class Inputs:
    """The inputs, each made when it is first asked for.

    Attributes:
        left_out: why an input cannot be made here, by its path.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.left_out: dict[str, str] = {}

    def made(self, name: str) -> Path | None:
        """Where an input lies; None if it cannot be made here."""
        path = self._folder / name
        if name in self.left_out:
            return None
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                INPUTS[name](path)
            except (Exception, pytest.skip.Exception) as error:  # an encoder that this machine lacks
                self.left_out[name] = f"{type(error).__name__}: {error}".replace(str(self._folder), "")[:200]
                return None
        return path


def named_in(arguments: Sequence[str]) -> list[str]:
    """The inputs that a command line names, or whose folder it names."""
    plain = [argument.rstrip("/") for argument in arguments]
    return [name for name in INPUTS if any(name == one or name.startswith(f"{one}/") for one in plain)]


# What is in the pictures


def drawn(channels: int, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> NDArray[np.float64]:
    """(height, width, channels) in [0, 1]: gradients, a disc, stripes that grow finer, texture, a slanted edge."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = []
    for channel in range(channels):
        phase = 0.7 * channel + 0.3 * seed
        plane = 0.5 + 0.45 * np.sin(3 * y + 2.2 * x * (1 + 0.2 * channel) + phase)
        stripes = 0.5 + 0.5 * np.sign(np.sin(160 * x * (0.2 + x) + phase))
        plane = np.where(y > 0.7, 0.1 + 0.8 * stripes, plane)
        plane = np.where(np.hypot(y - 0.35, x - 0.4) < 0.2, 0.9 - 0.25 * channel, plane)
        plane = np.where(x + 0.35 * y > 1.05, 0.06 * rng.standard_normal((height, width)) + 0.2 + 0.15 * channel, plane)
        planes.append(plane + 0.015 * rng.standard_normal((height, width)))
    return np.clip(np.stack(planes, axis=2), 0, 1)


def with_hole(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The last channel as alpha: opaque, clear, and everything between."""
    height, width, _ = pixels.shape
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    pixels[:, :, -1] = np.clip(1.6 * np.hypot(y - 0.5, x - 0.3) * (y < 0.8) * 1.4 - 0.3, 0, 1)
    return pixels


Kind = Literal["L", "LA", "RGB", "RGBA", "CMYK", "LAB"]
CHANNELS: Final[dict[Kind, int]] = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "LAB": 3}


def picture(kind: Kind, dtype: Any = np.uint8, seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """(height, width, channels), or (height, width) of gray; every value of the type's range likely."""
    values = drawn(CHANNELS[kind], height, width, seed)
    if kind in ("LA", "RGBA"):
        values = with_hole(values)
    pixels = values[:, :, 0] if kind == "L" else values
    if dtype is np.float32:
        return pixels.astype(np.float32)
    return np.rint(pixels * np.iinfo(dtype).max).astype(dtype)


def image(kind: Kind, seed: int = 0) -> Image.Image:
    """The same of 8 bits, as Pillow has it."""
    pixels = picture(kind, seed=seed)
    return Image.frombytes(kind, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())


# Photos


def register(name: str) -> Callable[[Make], Make]:
    def take(make: Make) -> Make:
        INPUTS[name] = make
        return make

    return take


def _pillow(name: str, made: Callable[[], Image.Image], **options: Any) -> None:
    INPUTS[f"photos/{name}"] = lambda path: made().save(path, **options)


def _bytes(name: str, made: Callable[[], bytes | bytearray]) -> None:
    INPUTS[f"photos/{name}"] = lambda path: path.write_bytes(made())


def _tiff(name: str, made: Callable[[], Pixels], photometric: str = "rgb", **options: Any) -> None:
    INPUTS[f"photos/{name}"] = lambda path: tifffile.imwrite(
        path, made(), photometric=photometric, metadata=None, **options
    )


def srgb() -> bytes:
    """sRGB as lcms makes it."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def linear_profile(space: bytes) -> bytes:
    """A matrix or gray profile whose samples are linear in light."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, 256) + b"\0\0"
    tags = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", 7) + b"linear\0" + bytes(79), b"cprt": b"text\0\0\0\0none\0"}
    tags[b"wtpt"] = _xyz(0.9642, 1.0, 0.8249)
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rXYZ": _xyz(0.4361, 0.2225, 0.0139), b"gXYZ": _xyz(0.3851, 0.7169, 0.0971)}
        tags |= {b"bXYZ": _xyz(0.1431, 0.0606, 0.7139), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"none", 0x02400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(0.9642, 1.0, 0.8249)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65_536)) for value in values)


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112], block[0x010F], block[0x0132] = orientation, "Acme", "2024:05:06 07:08:09"
    return block.tobytes()


def _frames(count: int = 4, kind: Kind = "RGB") -> list[Image.Image]:
    return [image(kind, seed) for seed in range(count)]


def _animated(name: str, kind: Kind = "RGB", **options: Any) -> None:
    def make(path: Path) -> None:
        first, *others = _frames(kind=kind)
        first.save(path, save_all=True, append_images=others, duration=[40, 90, 40, 120], loop=0, **options)

    INPUTS[f"photos/{name}"] = make


def _palette() -> Image.Image:
    return image("RGB").quantize(23)


def _clear_palette() -> Image.Image:
    made = _palette()
    made.info["transparency"] = 3
    return made


def _pam(kind: str, pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    depth, top = pixels.size // (height * width), np.iinfo(pixels.dtype).max
    head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {top}\nTUPLTYPE {kind}\nENDHDR\n"
    return head.encode() + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()


def _pnm(pixels: Pixels) -> bytes:
    head = f"{'P5' if pixels.ndim == 2 else 'P6'} {pixels.shape[1]} {pixels.shape[0]} {np.iinfo(pixels.dtype).max}\n"
    return head.encode() + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()


def _pfm(pixels: Pixels) -> bytes:
    head = f"{'Pf' if pixels.ndim == 2 else 'PF'}\n{pixels.shape[1]} {pixels.shape[0]}\n-1.0\n"
    return head.encode() + pixels[::-1].astype("<f4").tobytes()


def _heic(path: Path) -> None:
    import pillow_heif

    pillow_heif.from_pillow(image("RGB")).save(path, quality=90)


_TUPLES: Final[dict[Kind, str]] = {"L": "GRAYSCALE", "LA": "GRAYSCALE_ALPHA", "RGB": "RGB", "RGBA": "RGB_ALPHA"}


def _plain(kind: Kind, tuples: str) -> None:
    _bytes(f"{kind}8.png", lambda: imagecodecs.png_encode(picture(kind)))
    _bytes(f"{kind}16.png", lambda: imagecodecs.png_encode(picture(kind, np.uint16)))
    _bytes(f"{kind}8.pam", lambda: _pam(tuples, picture(kind)))


def _tiffs(bits: str, dtype: Any) -> None:
    _tiff(f"L{bits}.tif", lambda: picture("L", dtype), "minisblack", compression="zlib")
    _tiff(f"RGB{bits}.tif", lambda: picture("RGB", dtype), compression="lzw")
    _tiff(f"RGBA{bits}.tif", lambda: picture("RGBA", dtype), extrasamples=["unassalpha"])


for _kind, _tuples in _TUPLES.items():
    _plain(_kind, _tuples)
for _bits, _dtype in (("8", np.uint8), ("16", np.uint16), ("f32", np.float32)):
    _tiffs(_bits, _dtype)
_pillow("palette.png", _palette)
_pillow("clear_palette.png", _clear_palette)
_pillow("one_bit.png", lambda: image("L").convert("1"))
_pillow("constant.png", lambda: Image.new("RGB", (40, 30), (200, 30, 90)))
_pillow("tiny.png", lambda: image("RGB").resize((3, 2)))
_pillow("tagged.png", lambda: image("RGB"), icc_profile=srgb(), dpi=(300, 300), exif=exif(6))
_pillow("linear.png", lambda: image("RGB"), icc_profile=linear_profile(b"RGB "))
_pillow("linear_gray.png", lambda: image("L"), icc_profile=linear_profile(b"GRAY"))
_pillow("linear_alpha.png", lambda: image("RGBA"), icc_profile=linear_profile(b"RGB "))
_pillow("gray.jpg", lambda: image("L"), quality=90)
_pillow("colour.jpg", lambda: image("RGB"), quality=90, subsampling="4:2:0", exif=exif(8), dpi=(72, 72))
_pillow("progressive.jpg", lambda: image("RGB"), quality=80, progressive=True, icc_profile=srgb())
_pillow("mirrored.jpg", lambda: image("RGB"), quality=90, exif=exif(5))
_pillow("cmyk.jpg", lambda: image("CMYK"), quality=90)
_tiff("LA8.tif", lambda: picture("LA"), "minisblack", extrasamples=["unassalpha"])
_tiff("associated.tif", lambda: picture("RGBA"), extrasamples=["assocalpha"])
_tiff("cmyk8.tif", lambda: picture("CMYK"), "separated")
_tiff("cmyk16.tif", lambda: picture("CMYK", np.uint16), "separated")
_tiff("lab8.tif", lambda: picture("LAB"), "cielab")
_tiff("tiles.tif", lambda: picture("RGB", np.uint16), tile=(16, 32), compression="zlib", predictor=True, byteorder=">")
_tiff("linear16.tif", lambda: picture("RGB", np.uint16), iccprofile=linear_profile(b"RGB "))
_tiff("pages.tif", lambda: np.stack([picture("RGB", seed=seed) for seed in range(3)]), compression="zlib")
_tiff("white_is_zero.tif", lambda: picture("L"), "miniswhite")
_tiff("hdr.tif", lambda: picture("RGB", np.float32) * 5 - 0.5)
_pillow("fax.tif", lambda: image("L").convert("1"), compression="group4")
_pillow("palette.tif", _palette)
_pillow("lossy.webp", lambda: image("RGB"), quality=85)
_pillow("alpha.webp", lambda: image("RGBA"), lossless=True)
_pillow("colour.avif", lambda: image("RGB"), quality=85)
_pillow("alpha.avif", lambda: image("RGBA"), quality=95)
_pillow("still.gif", _clear_palette)
_animated("animated.gif")
_animated("animated.png", "RGBA")
_animated("animated.webp", lossless=True)
_animated("animated.avif", quality=90)
_pillow("colour.bmp", lambda: image("RGB"))
_pillow("gray.bmp", lambda: image("L"))
_pillow("alpha.tga", lambda: image("RGBA"))
_pillow("bits.pbm", lambda: image("L").convert("1"))
_bytes("gray.pgm", lambda: _pnm(picture("L")))
_bytes("gray16.pgm", lambda: _pnm(picture("L", np.uint16)))
_bytes("colour.ppm", lambda: _pnm(picture("RGB")))
_bytes("colour16.ppm", lambda: _pnm(picture("RGB", np.uint16)))
_bytes("alpha16.pam", lambda: _pam("RGB_ALPHA", picture("RGBA", np.uint16)))
_bytes("gray.pfm", lambda: _pfm(picture("L", np.float32)))
_bytes("colour.pfm", lambda: _pfm(picture("RGB", np.float32)))
_bytes("colour.jp2", lambda: imagecodecs.jpeg2k_encode(picture("RGB"), codecformat="jp2", reversible=True))
_bytes("gray16.jp2", lambda: imagecodecs.jpeg2k_encode(picture("L", np.uint16), codecformat="jp2", reversible=True))
_bytes("colour.jxl", lambda: imagecodecs.jpegxl_encode(picture("RGB"), lossless=True))
_bytes("alpha16.jxl", lambda: imagecodecs.jpegxl_encode(picture("RGBA", np.uint16), lossless=True))
INPUTS["photos/colour.heic"] = _heic


def _small(path: Path, number: int, size: tuple[int, int]) -> None:
    image("L" if path.stem == "c" else "RGB", number).resize(size, Image.Resampling.BICUBIC).save(path)


INPUTS["hr/a.png"] = lambda path: image("RGB", 5).crop((0, 0, 60, 48)).save(path)
INPUTS["hr/b.png"] = lambda path: image("RGB", 6).crop((0, 0, 48, 60)).save(path)
INPUTS["hr/c.png"] = lambda path: image("L", 7).crop((0, 0, 72, 48)).save(path)
for _number, _size in enumerate(((30, 24), (24, 30), (36, 24))):
    INPUTS[f"lr/{'abc'[_number]}.png"] = functools.partial(_small, number=_number, size=_size)
INPUTS["natural/one.png"] = lambda path: Image.fromarray(picture("RGB", np.uint8, 9, 200, 210)).save(path)


# Large ones, for bands


def _large(name: str, kind: Kind, dtype: Any, **options: Any) -> None:
    def make(path: Path) -> None:
        pixels = picture(kind, dtype, 3, 900, 1300)
        if path.suffix == ".tif":
            tifffile.imwrite(path, pixels, metadata=None, **options)
        else:
            path.write_bytes(imagecodecs.png_encode(pixels))

    INPUTS[f"large/{name}"] = make


_large("colour.png", "RGB", np.uint8)
_large("colour16.tif", "RGB", np.uint16, photometric="rgb", compression="zlib", rowsperstrip=32)
_large("gray.tif", "L", np.uint8, photometric="minisblack", tile=(128, 128), compression="zlib")
_large("alpha.png", "RGBA", np.uint8)


# Checkpoints


def _checkpoint(name: str, shapes: dict[str, tuple[int, ...]], seed: int, gain: float, grey: float) -> None:
    """Random weights whose last layer is damped, so that hardly a value is clipped: what is clipped hides a change.

    Args:
        gain: of the last layer's weights.
        grey: its bias.
    """

    def make(path: Path) -> None:
        weights = seeded(shapes, seed)
        last = "conv_last" if "conv_last.weight" in weights else [*weights][-1].rpartition(".")[0]
        weights[f"{last}.weight"] *= np.float32(gain)
        weights[f"{last}.bias"][:] = grey
        save_file(weights, path)

    INPUTS[f"nets/{name}.safetensors"] = make


_checkpoint("rrdb4", rrdbnet(2, num_feat=16), 4, 0.1, 0.5)
_checkpoint("rrdb2", rrdbnet(2, num_feat=16, num_up=1), 5, 0.1, 0.5)
_checkpoint("folding2", rrdbnet(1, num_feat=16, unshuffle=2), 6, 0.05, 0.5)
_checkpoint("srvgg4", srvgg(3, num_feat=16), 7, 0.03, 0.0)
_checkpoint("srvgg2", srvgg(3, num_feat=16, upscale=2), 8, 0.03, 0.0)


# Folders, and what is broken


def _album(path: Path) -> None:
    mixed_folder(path, 40)


INPUTS["album"] = _album
INPUTS["list.txt"] = lambda path: path.write_text("photos/RGB8.png\nphotos/palette.png\nphotos/RGBA8.png\n")
INPUTS["broken/short.png"] = lambda path: path.write_bytes(imagecodecs.png_encode(picture("RGB"))[:5000])
INPUTS["broken/short.jpg"] = lambda path: path.write_bytes(_jpeg()[:1500])
INPUTS["broken/prose.png"] = lambda path: path.write_text("This is no picture.\n" * 20)
INPUTS["broken/empty.tif"] = lambda path: path.write_bytes(b"")


def _jpeg() -> bytes:
    buffer = io.BytesIO()
    image("RGB").save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


# Clips


def _clip(name: str) -> Make:
    def make(path: Path) -> None:
        shutil.copyfile(Clips(path.parent / "made")(name), path)

    return make


for _clip_name, (_suffix, _) in RECIPES.items():
    INPUTS[f"clips/{_clip_name}{_suffix}"] = _clip(_clip_name)


def group(*patterns: str, without: Iterable[str] = ()) -> list[str]:
    """The inputs whose paths match one of the patterns and none of `without`."""
    excluded = [*without]
    return [
        name
        for name in INPUTS
        if any(Path(name).match(pattern) for pattern in patterns)
        and not any(Path(name).match(pattern) for pattern in excluded)
    ]


# The shared samples


def _sample(source: Path) -> Make:
    return lambda path: shutil.copyfile(source, path)


for _path in sorted(SAMPLES.rglob("*")) if SAMPLES.is_dir() else ():
    if _path.is_file() and _path.suffix != ".md":
        INPUTS[f"samples/{_path.relative_to(SAMPLES).as_posix()}"] = _sample(_path)
