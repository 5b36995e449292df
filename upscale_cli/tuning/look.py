"""A look at what the user has: size, codec, noise, compression, and how much of it repeats.

Some frames from all over a clip are decoded, in pairs of neighbours; of a photo the one there is.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from upscale_cli.compare.browser_image import in_8_bits
from upscale_cli.errors import InputError
from upscale_cli.events import ignore
from upscale_cli.frames.appearance import Appearance
from upscale_cli.frames.image import Pixels
from upscale_cli.inference.color import KB, KR
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.prepare_video import open_clip
from upscale_cli.jobs.video_facts import ClipOptions, chosen_streams
from upscale_cli.jobs.video_frames import sr_frames
from upscale_cli.media.image import look
from upscale_cli.media.image.measures import noise_of
from upscale_cli.media.image.reader_writer import ImageReader
from upscale_cli.media.video.reader_arguments import DecodeOptions
from upscale_cli.models.store import quiet

PLACES: Final = 4
"""Of a clip, evenly from its start to its end."""

NEIGHBOURS: Final = 4
"""Frames that are decoded at each."""

BAR_LEVEL: Final = 20
"""Of 255: rows and columns at the border that are no brighter are bars."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was seen.

    Attributes:
        source: its path.
        width, height: LR pixels.
        codec: of a clip, ffmpeg's name; of a photo, its format.
        frames: of a clip, as far as known; 1 of a photo.
        fps: of a clip.
        noise: standard deviation, of 255.
        bits_per_pixel: that the file of a photo takes, or the stream of a clip; little means hard compression. None
            where that is unknown.
        repeats: share of neighbouring frames that are equal.
        bars: share of the picture that is black border.
        sample: (H, W, 3) uint8, a frame from the middle.
        lossless: of a clip: its coding has lost nothing.
        appearance: of a photo: what its model is chosen by where none is named.
    """

    source: Path
    width: int
    height: int
    kind: Literal["photo", "clip"]
    codec: str
    frames: int | None
    fps: float
    noise: float
    bits_per_pixel: float | None
    repeats: float
    bars: float
    sample: Pixels
    lossless: bool = False
    appearance: Appearance = field(default_factory=Appearance)


def look_at(path: Path) -> Looked:
    """What a photo or a clip shows; of a clip some frames are decoded, a photo is decoded whole.

    Raises:
        InputError: it cannot be read.
    """
    given = Input(str(path))
    return _clip(given, path) if given.is_clip else _photo(path)


def _photo(path: Path) -> Looked:
    with ImageReader(path) as reader:
        info = reader.info
        frame, _ = in_8_bits(next(iter(reader)), info, quiet)
    colours = frame.pixels[:, :, : 3 if frame.layout in ("RGB", "RGBA") else 1]
    rgb = np.ascontiguousarray(np.broadcast_to(colours, (*colours.shape[:2], 3)))
    return Looked(
        path, info.width, info.height, "photo", info.format, 1, 0.0, _noise_of(rgb),
        8 * path.stat().st_size / (info.width * info.height), 0.0, bars_of([luma_of(rgb)]), rgb,
        appearance=look.look_at(path),  # of a reader of its own: most formats are decoded once
    )  # fmt: skip


def _clip(given: Input, path: Path) -> Looked:
    opened = open_clip(given, ClipOptions())
    clip = opened.clip
    stream = chosen_streams(clip, None)[0]
    plain = Upscaler("bicubic", device="cpu")
    groups: list[list[NDArray[np.uint8]]] = []
    length = stream.seconds or clip.seconds or 0.0
    for place in range(PLACES):
        start = length * place / PLACES
        decode = DecodeOptions(start=start or None, frames=NEIGHBOURS)
        found = sr_frames(clip, plain, Target(scale=1), ClipOptions(decode=decode), ignore)
        groups.append([frame.to_rgb() for frame in found])
        if not length:
            break
    groups = [group for group in groups if group]
    if not groups:
        raise InputError(f"{path}: no frame of it can be decoded. Play it to see whether it is damaged.")
    lumas = [luma_of(group[0]) for group in groups]
    noises = [_noise_of(group[0]) for group in groups]
    pairs = [bool(np.array_equal(a, b)) for group in groups for a, b in pairwise(group)]
    rate = float(stream.rate or Fraction(25))
    frames = stream.frames or (round(length * rate) if length else None)
    middle = groups[len(groups) // 2][0]
    return Looked(
        path, stream.width, stream.height, "clip", stream.codec, frames, rate,
        float(np.median(noises)), stream.bits_per_pixel, sum(pairs) / len(pairs) if pairs else 0.0,
        bars_of(lumas), middle, stream.lossless,
    )  # fmt: skip


def luma_of(rgb: Pixels) -> NDArray[np.float32]:
    """(H, W, 3) uint8 to (H, W) float32, BT.601, 0 to 255."""
    return np.asarray(rgb @ np.array([KR, 1 - KR - KB, KB]), np.float32)


def _noise_of(rgb: Pixels) -> float:
    """The standard deviation of the noise in (H, W, 3) uint8, of 255; 0 of a picture that is too small to tell."""
    return noise_of(look.luma_of(look.windows_of(rgb), "RGB"))


def bars_of(lumas: list[NDArray[np.float32]]) -> float:
    """The share of pictures of one size that is black border in all of them."""
    brightest = np.maximum.reduce(lumas)
    lit_rows = np.flatnonzero(brightest.max(axis=1) > BAR_LEVEL)
    lit_columns = np.flatnonzero(brightest.max(axis=0) > BAR_LEVEL)
    if not len(lit_rows) or not len(lit_columns):
        return 0.0
    height, width = brightest.shape
    used = (lit_rows[-1] - lit_rows[0] + 1) * (lit_columns[-1] - lit_columns[0] + 1)
    return float(1 - used / (height * width))
