"""Pictures as a clip: the frames of an animation, or files with numbers in their names.

Facts as `probe` finds them in a clip; `picture_reader` reads the frames, one at a time.
"""

import os
from fractions import Fraction
from pathlib import Path
from typing import Final

from upscale_cli.errors import InputError
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.media.image.metadata import PhotoInfo
from upscale_cli.media.image.reader_writer import ImageReader
from upscale_cli.media.video.numbered import numbered
from upscale_cli.media.video.streams import Clip, Pictures, VideoStream
from upscale_cli.messages import option

MILLISECOND: Final = Fraction(1, 1000)

SHORTEST_MS: Final = 11
USUAL_MS: Final = 100
"""A frame that is to be shown for less is shown for a tenth of a second, as browsers do (since Netscape 2)."""

SOURCE: Final = "pictures:"
"""How `Clip.source` begins: no address that a library would open."""


def open_pictures(name: str, *, fps: Fraction | None, max_pixels: int, alpha: bool) -> Clip:
    """What is in an animation, or in the files of a numbered name.

    Args:
        fps: frames per second of numbered files; None: 25, where nobody will see it.
        alpha: whether transparency is wanted; else it is flattened on white.

    Raises:
        InputError: there are no such files; they are damaged, or too large; one picture only.
    """
    pattern = numbered(name)
    if pattern is None:
        return _of_animation(Path(name), max_pixels, alpha)
    notes: list[str] = []
    numbers = pattern.found()
    if not numbers:
        raise InputError(f"{name}: there are no such files. Check the folder, and the digits of the number.")
    span = numbers[-1] - numbers[0] + 1
    if span > 2 * len(numbers):
        raise InputError(
            f"{name}: {span - len(numbers)} of the numbers {numbers[0]} to {numbers[-1]} are missing. "
            "Name one sequence only."
        )
    with ImageReader(pattern.path(numbers[0]), max_pixels=max_pixels, say=notes.append) as reader:
        info = reader.info
    if info.frames > 1:
        notes.append(f"{name}: of several frames or pages in a file the first is taken")
    there = set(numbers)
    paths = tuple(str(pattern.path(number)) if number in there else "" for number in range(numbers[0], numbers[-1] + 1))
    pictures = Pictures(paths=paths, first=numbers[0], notes=tuple(notes))
    rate = fps or Fraction(25)
    return _clip(name, info, pictures, rate=rate, time_base=1 / rate, alpha=alpha and _has_alpha(info), untimed=True)


def _of_animation(path: Path, max_pixels: int, alpha: bool) -> Clip:
    """All frames are decoded for their times, one after the other."""
    times: list[int] = []
    notes: list[str] = []
    at, has_alpha, changed = 0.0, False, False
    with ImageReader(path, max_pixels=max_pixels, say=notes.append) as reader:
        info = reader.info
        if not info.animated:
            raise InputError(f"{path}: holds one picture, which is no clip. Give its output a picture's ending.")
        for frame in reader:
            times.append(round(at))
            duration = frame.duration_ms or 0
            changed = changed or duration < SHORTEST_MS
            at += duration if duration >= SHORTEST_MS else USUAL_MS
            has_alpha = has_alpha or frame.has_alpha
    if changed:
        notes.append(f"{path}: frames without a time are shown for {USUAL_MS / 1000:g} s, as browsers do")
    if has_alpha and not alpha:
        notes.append(
            f"{path}: what is transparent is shown on white. "
            f"{option('pix_fmt', 'yuva420p')} in .webm, or yuva444p10le in .mov, keeps transparency."
        )
    end = max(round(at), times[-1] + 1)
    pictures = Pictures(paths=(str(path),), times=tuple(times), end=end, notes=tuple(notes))
    rate = Fraction(len(times) * 1000, end).limit_denominator(1001)
    return _clip(str(path), info, pictures, rate=rate, time_base=MILLISECOND, alpha=alpha and has_alpha, untimed=False)


def _has_alpha(info: PhotoInfo) -> bool:
    return info.layout in ("LA", "RGBA")


def _clip(
    name: str, info: PhotoInfo, pictures: Pictures, *, rate: Fraction, time_base: Fraction, alpha: bool, untimed: bool
) -> Clip:
    count = len(pictures.times or pictures.paths)
    seconds = float(count / rate) if untimed else float((pictures.end or count) * time_base)
    model = "gray" if info.layout in ("L", "LA") and not alpha else "gbrap" if alpha else "gbrp"
    depth = "" if info.bits == 8 else "16le"
    stream = VideoStream(
        index=0,
        codec=info.format.lower(),
        width=info.width,
        height=info.height,
        pixel_format=f"{model}{depth}",
        time_base=time_base,
        start=0,
        rate=rate,
        frames=count,
        seconds=seconds,
        tags=ColourTags("bt709" if model == "gray" else "gbr", "bt709", "iec61966-2-1", "pc"),
        lossless=info.lossless,
        untimed=untimed,
    )
    return Clip(
        source=f"{SOURCE}{os.path.abspath(name)}",
        name=name if untimed else Path(name).name,
        format="pictures",
        video=(stream,),
        main=0,
        seconds=seconds,
        pictures=pictures,
    )
