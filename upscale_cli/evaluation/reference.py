"""What goes into a model and what should come out: HR read as it is measured, and LR made of it by a protocol."""

import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import InputError
from upscale_cli.evaluation.cases import Case
from upscale_cli.evaluation.metrics import (
    SSIM_TAPS,
    Plane,
    Shrinking,
    blurred,
    crop_to_multiple,
    full_luma,
    resized,
    studio_luma,
    to_8_bit,
)
from upscale_cli.evaluation.rows import Metric
from upscale_cli.events import Say
from upscale_cli.frames.image import Frame
from upscale_cli.frames.pixels import from_float, on_white, to_8_bits, white_of
from upscale_cli.media.image.reader_writer import ImageReader
from upscale_cli.messages import option

Picture = NDArray[Any]
"""(height, width, channels), uint8; float64 in levels of 8 bits where the protocol rounds nothing. 1 channel of gray or
luma; 3 of R'G'B'."""

Measured = Literal["rgb", "luma", "luma-full"]
"""What goes through a model: pictures as they are, or their luma alone, in 16..235 or in 0..255."""

STUDIO_BLACK: Final = 16
STUDIO_WHITE: Final = 235


@dataclass(frozen=True, slots=True)
class Protocol:
    """What happens before and after the model.

    Attributes:
        channels: "rgb": pictures go in as users have them, and luma is taken of HR and SR, not rounded. "luma": the
            rounded luma of HR is all that is shrunk, upscaled and compared, as SRCNN, VDSR and ESPCN were measured;
            "luma-full": the same in full range.
        shrinking: the kernel that makes LR of HR.
        blur: (k, k), k odd, of sum 1, that HR is convolved with before; None: not at all.
        noise: sigma of the Gaussian noise that LR gets, in levels of 8 bits; the same for a picture in every run.
        exact: nothing is rounded to 8 bits, neither LR nor SR nor the luma of HR.
        jpeg: quality that LR is then compressed with, 1 to 100; None: not at all.
        border: HR pixels cut from each side before measuring; None: as many as the scale.
        metrics: what to measure besides PSNR, SSIM and MS-SSIM.
    """

    channels: Measured = "rgb"
    shrinking: Shrinking = "bicubic"
    blur: NDArray[np.float64] | None = None
    noise: float = 0.0
    exact: bool = False
    jpeg: int | None = None
    border: int | None = None
    metrics: tuple[Metric, ...] = ()


def read_picture(path: Path, say: Say) -> Picture:
    """A file as it is measured: 8 bits, gray or RGB; reports what had to be reduced for that.

    Raises:
        InputError: no picture, or CMYK or LAB.
    """
    with ImageReader(path, say=say) as reader:
        frame = next(iter(reader)).without_extra()
        if reader.info.frames > 1:
            say(f"{path}: only the first of its {reader.info.frames} frames is measured")
    if frame.layout in ("CMYK", "LAB"):
        raise InputError(f"{path}: is {frame.layout}, and only gray and RGB are measured. Convert it to RGB.")
    pixels = frame.pixels
    if frame.has_alpha:
        if (pixels[..., -1] == white_of(pixels)).all():
            pixels = pixels[..., :-1]
        else:
            say(f"{path}: is transparent in places; measured on white")
            pixels = on_white(pixels)
    if pixels.dtype != np.uint8:
        say(f"{path}: has more than 8 bits; measured with 8")
        pixels = to_8_bits(pixels) if pixels.dtype == np.uint16 else from_float(pixels, np.uint8)
    return np.ascontiguousarray(pixels)


def shrunk(hr: Picture, scale: int, protocol: Protocol, seed: int = 0) -> Picture:
    """LR as the protocol makes it of HR, whose sides divide by the scale: blurred, shrunk, with noise, rounded to 8
    bits, compressed.

    Args:
        seed: of the noise.
    """
    planes = planes_of(hr)
    if protocol.blur is not None:
        planes = [blurred(plane, protocol.blur) for plane in planes]
    exact = np.stack([resized(plane, 1 / scale, protocol.shrinking) for plane in planes], axis=2)
    if protocol.noise:
        exact += np.random.default_rng(seed).normal(0, protocol.noise, exact.shape)
    if protocol.exact:
        return exact
    lr: Picture = to_8_bit(exact).astype(np.uint8)
    return lr if protocol.jpeg is None else through_jpeg(lr, protocol.jpeg)


def through_jpeg(picture: Picture, quality: int) -> Picture:
    """Compressed as JPEG (4:2:0, as most files are) and opened again."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.asarray(image).reshape(picture.shape)


def planes_of(picture: Picture) -> list[Plane]:
    """(H, W, C) of any depth to its C channels, (H, W) float64 each, the values as they are."""
    return [picture[:, :, channel].astype(np.float64) for channel in range(picture.shape[2])]


def luma_of(picture: Picture) -> Plane:
    """Studio luma of colour, not rounded; gray, or luma already, as it is."""
    return studio_luma(picture) if picture.shape[2] == 3 else picture[:, :, 0].astype(np.float64)


@dataclass(frozen=True, slots=True)
class Reference:
    """A case, read: what goes in, and what should come out.

    Attributes:
        hr, lr: HR is exactly scale times LR.
        black, white: the levels of them that a model takes for black and white: 16 and 235 of studio luma.
    """

    hr: Picture
    lr: Picture
    black: int = 0
    white: int = 255

    @property
    def _as_it_is(self) -> bool:
        return self.lr.dtype == np.uint8 and self.white - self.black == 255

    def frame(self) -> Frame:
        """LR as `Upscaler` takes it; stretched to full range, in floats so that nothing is rounded."""
        if self._as_it_is:
            return frame_of(self.lr)
        return frame_of((self.lr.astype(np.float32) - self.black) / (self.white - self.black))

    def picture(self, sr: Frame) -> Picture:
        """What `Upscaler` made of `frame()`, as HR is; rounded to 8 bits where LR is."""
        if self._as_it_is:
            return sr.pixels
        levels = sr.pixels.astype(np.float64) * (self.white - self.black) + self.black
        return to_8_bit(levels).astype(np.uint8) if self.lr.dtype == np.uint8 else levels.clip(0, 255)


def read_reference(case: Case, protocol: Protocol, say: Say) -> Reference:
    """HR cropped to a multiple of the scale, and LR made of it or read.

    Raises:
        InputError: unreadable; gray against colour; too small to be measured.
    """
    assert case.hr is not None
    whole = read_picture(case.hr, say)
    hr = crop_to_multiple(whole, case.scale)
    lr = None if case.lr is None else read_picture(case.lr, say)
    if lr is not None and lr.shape[2] != hr.shape[2]:
        kinds = ("gray", "colour") if hr.shape[2] == 1 else ("colour", "gray")
        raise InputError(f"{case.hr}: is {kinds[0]}, but {case.lr} is {kinds[1]}. Give both in gray or both in colour.")
    border = case.scale if protocol.border is None else protocol.border
    if min(hr.shape[:2]) < 2 * border + SSIM_TAPS:
        raise InputError(
            f"{case.hr}: {whole.shape[1]} x {whole.shape[0]} pixels are too few: with {border} cut from each side, "
            f"SSIM needs {2 * border + SSIM_TAPS}. Take a larger picture, or a smaller {option('border')}."
        )
    black, white = 0, 255
    if protocol.channels != "rgb" and hr.shape[2] == 3:
        hr = _luma(hr, protocol)
        lr = None if lr is None else _luma(lr, protocol)
        if protocol.channels == "luma":
            black, white = STUDIO_BLACK, STUDIO_WHITE
    if lr is None:
        lr = shrunk(hr, case.scale, protocol, zlib.crc32(case.hr.name.encode()))
    height, width = lr.shape[0] * case.scale, lr.shape[1] * case.scale
    return Reference(hr[:height, :width], lr, black, white)


def frame_of(picture: Picture) -> Frame:
    """(H, W, 1 or 3) as a gray or an RGB frame; the pixels are shared."""
    return Frame(picture, "RGB" if picture.shape[2] == 3 else "L")


def _luma(rgb: Picture, protocol: Protocol) -> Picture:
    """(H, W, 1): rounded, unless the protocol rounds nothing."""
    luma = (studio_luma if protocol.channels == "luma" else full_luma)(rgb)[:, :, None]
    return luma if protocol.exact else to_8_bit(luma).astype(np.uint8)
