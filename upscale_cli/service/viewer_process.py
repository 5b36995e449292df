"""What the viewer's process does. Heavy imports are inside the functions: the service itself imports this, too."""

import io
import json
import math
import multiprocessing
import os
import threading
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from upscale_cli.errors import InputError
from upscale_cli.events import unreported
from upscale_cli.files.stamp import Stamp
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.models.settings import write_cached

if TYPE_CHECKING:
    from upscale_cli.inference.upscaler import Upscaler

LEAST_SIDE, MOST_SIDE = 64, 256
"""Of a crop, in LR pixels."""

BUDGET_SECONDS: Final = 3.0
"""That a preview by all models it asks for is sized to take."""

MOST_WARM: Final = 4
"""Nets that stay loaded."""

ENDINGS: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as browsers show it.

    Attributes:
        name: of the file, in the folder that was given.
        alpha: whether it may be transparent.
    """

    name: str
    width: int
    height: int
    alpha: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """One model of a preview."""

    model: str | None
    scale: float
    options: UpscalerOptions


@dataclass(frozen=True, slots=True)
class Made:
    """What a model has made of a crop.

    Attributes:
        model: its name.
        picture: PNG.
        seconds: that it took, without loading the net.
    """

    model: str
    picture: bytes
    width: int
    height: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Previewed:
    """A crop by some models.

    Attributes:
        left, top, width, height: the part of the crop that was used, in its pixels.
    """

    left: int
    top: int
    width: int
    height: int
    made: tuple[Made, ...]


def begin() -> None:
    """The process ends with the service, however that ended; and Ctrl-C in its terminal is the service's."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end, name="parent", daemon=True).start()


def identity() -> int:
    """The id of the process."""
    return os.getpid()


def shown(source: Path, *, is_clip: bool, stem: str, folder: Path) -> Shown:
    """Writes a picture, or the middle frame of a clip, as browsers show it, and what `known` reads.

    Args:
        stem: of the file that is written.
        folder: where it goes.

    Raises:
        UpscaleError: it cannot be read.
    """
    from upscale_cli.compare.browser_image import load
    from upscale_cli.compare.pairing import Version

    stamp = Stamp.of(source)  # before it is read: what changes meanwhile is made anew
    picture = load(Version(stem, _middle_frame(source) if is_clip else source), unreported)
    name = f"{stem}.{ENDINGS[picture.mime]}"
    facts = Shown(name, *picture.size, alpha=picture.frame.has_alpha)
    write_cached(folder / name, picture.data)
    write_cached(folder / f"{stem}.json", json.dumps([stamp, facts], default=asdict).encode())
    return facts


SMALL_SIDE: Final = 256
"""Of a thumbnail: it is shown with 56 pixels a side, on screens of several pixels each."""


def small(source: Path, folder: Path) -> str:
    """Writes a thumbnail of a picture, or of the first frame of a clip; gives its name in the folder.

    Raises:
        UpscaleError: it cannot be read.
    """
    from upscale_cli.compare.thumbnail import thumbnail

    made = thumbnail(source, SMALL_SIDE)
    name = f"small.{ENDINGS[made.mime]}"
    write_cached(folder / name, made.data)
    return name


def known(source: Path, stem: str, folder: Path) -> Shown | None:
    """What `shown` has written there; None where it has not, or the source has changed since."""
    try:
        stamp, facts = json.loads((folder / f"{stem}.json").read_bytes())
        return Shown(**facts) if stamp is not None and Stamp(**stamp) == Stamp.of(source) else None
    except (FileNotFoundError, TypeError, ValueError):  # or by another version
        return None


def _middle_frame(source: Path) -> bytes:
    """The frame in the middle of a clip, as PNG."""
    from PIL import Image

    from upscale_cli.api import upscale_frames
    from upscale_cli.jobs.video_facts import ClipOptions
    from upscale_cli.media.video.probe import probe
    from upscale_cli.media.video.reader_arguments import DecodeOptions

    seconds = probe(source).seconds
    decode = DecodeOptions(start=seconds / 2) if seconds else DecodeOptions()
    frames = upscale_frames(source, 1, model="bicubic", options=ClipOptions(decode=decode), device="cpu")
    try:
        frame = next(frames)
    except StopIteration:
        raise InputError(f"{source.name}: has no frame that can be shown.") from None
    finally:
        frames.close()  # type: ignore[attr-defined]
    buffer = io.BytesIO()
    Image.fromarray(frame.to_rgb()).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


_warm: "OrderedDict[Asked, tuple[Upscaler, float]]" = OrderedDict()
"""With the seconds that an LR pixel takes."""


def previewed(crop: bytes, asked: tuple[Asked, ...], middle: tuple[float, float] | None = None) -> Previewed:
    """A part of a crop by some models: as much of it as they take some 3 seconds for, of 64 to 256 pixels a side.

    Args:
        crop: a PNG of at most 256 x 256 pixels.
        middle: (x, y) of the pixel in the middle of the part, as far as the crop's edges allow; None: the crop's own.

    Raises:
        UpscaleError: it is none, or a model cannot be used.
    """
    from PIL import Image

    picture = _opened(crop)
    pace = sum(_ready(one)[1] for one in asked)
    side = max(LEAST_SIDE, min(MOST_SIDE, int(math.sqrt(BUDGET_SECONDS / max(pace, 1e-9)))))
    width, height = min(side, picture.width), min(side, picture.height)
    x, y = middle or (picture.width / 2, picture.height / 2)
    left, top = _start(x, width, picture.width), _start(y, height, picture.height)
    part = picture.crop((left, top, left + width, top + height))
    made = []
    for one in asked:
        upscaler = _ready(one)[0]
        begun = time.perf_counter()
        sr: Image.Image = upscaler(part, one.scale)
        seconds = time.perf_counter() - begun
        buffer = io.BytesIO()
        sr.save(buffer, "PNG", compress_level=1)
        made.append(Made(upscaler.name, buffer.getvalue(), sr.width, sr.height, round(seconds, 3)))
    return Previewed(left, top, width, height, tuple(made))


def _start(middle: float, length: int, whole: int) -> int:
    """Where a part of that length begins."""
    return int(max(0, min(middle - length / 2, whole - length)))


def _opened(crop: bytes) -> Any:
    """The crop, in 8-bit RGB or RGBA.

    Raises:
        InputError: it is no such PNG.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(crop), formats=("PNG",)) as image:
            if max(image.size) > MOST_SIDE:
                raise InputError(
                    f"the crop has {image.width} x {image.height} pixels, and {MOST_SIDE} a side are taken. Send less."
                )
            return image.convert("RGBA" if image.has_transparency_data else "RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError("the crop is no PNG that can be read. Send one of 8 bits.") from error


def _ready(one: Asked) -> "tuple[Upscaler, float]":
    """An upscaler, loaded, and the seconds that an LR pixel takes by it."""
    from PIL import Image

    from upscale_cli.inference.upscaler import Upscaler

    if one in _warm:
        _warm.move_to_end(one)
        return _warm[one]
    upscaler = Upscaler(one.model, **one.options.keywords)
    flat = Image.new("RGB", (LEAST_SIDE, LEAST_SIDE), (90, 110, 130))
    for _ in range(2):  # the first loads the net
        begun = time.perf_counter()
        upscaler(flat, one.scale)
        pace = (time.perf_counter() - begun) / LEAST_SIDE**2
    _warm[one] = upscaler, pace
    if len(_warm) > MOST_WARM:
        _warm.popitem(last=False)[1][0].close()
    return _warm[one]
