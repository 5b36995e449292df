"""How well models upscale, measured: pictures in, rows of figures out. Prints nothing.

What is measured is what users get: every SR comes out of `Upscaler`. `evaluate` compares it with HR, `evaluate_blind`
asks of pictures without HR how natural they look. A picture or a model that fails is told and left out; the rest goes
on.
"""

import functools
import io
import math
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import CheckpointError, InputError, OptionError, UpscaleError
from upscale_cli.evaluation.metrics import (
    MS_SSIM_LEAST_SIDE,
    SSIM_TAPS,
    Plane,
    Shrinking,
    crop_border,
    crop_to_multiple,
    full_luma,
    ms_ssim,
    psnr,
    resized,
    ssim,
    studio_luma,
    to_8_bit,
)
from upscale_cli.evaluation.niqe import BLOCK, LEAST_BLOCKS, niqe
from upscale_cli.events import Failed, Listener, Note, Say
from upscale_cli.frames.image import Frame
from upscale_cli.frames.pixels import from_float, on_white, to_8_bits, white_of
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.media.image.formats import is_picture_ending
from upscale_cli.media.image.reader_writer import ImageReader
from upscale_cli.models.registry import Channels
from upscale_cli.text import counted

Picture = NDArray[np.uint8]
"""(height, width, channels): 1 of gray, or of luma in studio range; 3 of R'G'B'."""

Value = TypeVar("Value")

Metric = Literal["psnr_y", "ssim_y", "ms_ssim_y", "psnr_rgb", "ssim_rgb", "lpips", "niqe"]

AS_IT_IS: Final = "(as it is)"
"""The model's name in rows about pictures that nothing has upscaled."""

STUDIO_BLACK, STUDIO_RANGE = 16, 219

WARM_UP_SIDE: Final = 32
"""LR pixels of the picture that goes first, so that loading the net is not in the seconds."""

SUFFIXES: Final = re.compile(r"([_-](HR|LR|GT|SRF_\d|LRBI|bicubic|mod\d+)|[_-]?x[2-9])$", re.IGNORECASE)
"""What the field's sets write behind a picture's name: 0801x4, baby_HR, img_001_SRF_2_LR, babyx3."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """What happens before and after the model.

    Attributes:
        channels: "rgb": pictures go in as users have them, and luma is taken of HR and SR, not rounded. "luma": the
            rounded luma of HR is all that is shrunk, upscaled and compared, as SRCNN, VDSR and ESPCN were measured.
        shrinking: the kernel that makes LR of HR.
        jpeg: quality that LR is then compressed with, 1 to 100; None: not at all.
        border: HR pixels cut from each side before measuring; None: as many as the scale.
        lpips: whether to measure LPIPS too.
    """

    channels: Channels = "rgb"
    shrinking: Shrinking = "bicubic"
    jpeg: int | None = None
    border: int | None = None
    lpips: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One picture at one scale.

    Attributes:
        group: the set it belongs to, as rows name it.
        hr: the reference; None where there is none.
        lr: what is upscaled; None where it is made of `hr`.
    """

    group: str
    scale: int
    hr: Path | None
    lr: Path | None = None

    @property
    def path(self) -> Path:
        path = self.hr or self.lr
        assert path is not None
        return path


@dataclass(frozen=True, slots=True)
class Row:
    """What one model came to on one picture, or on the mean of several.

    Attributes:
        picture: file name; None for a mean.
        pictures: how many the figures are the mean of.
        values: by metric; dB for PSNR (inf for equal pictures), None where there is no such figure.
        seconds: of upscaling alone; 0 where nothing was upscaled.
        megapixels: million SR pixels.
    """

    group: str
    scale: int
    model: str
    picture: str | None
    pictures: int
    values: Mapping[Metric, float | None]
    seconds: float
    megapixels: float

    @property
    def megapixels_per_second(self) -> float | None:
        return self.megapixels / self.seconds if self.seconds else None

    def as_record(self) -> dict[str, Any]:
        """Flat and fit for JSON: a figure that is not there, or that JSON has no number for (inf), is None."""
        facts: dict[str, Any] = {
            "set": self.group, "scale": self.scale, "model": self.model, "picture": self.picture,
            "pictures": self.pictures,
        }  # fmt: skip
        for metric, value in self.values.items():
            facts[metric] = value if value is None or math.isfinite(value) else None
        return {**facts, "seconds": self.seconds, "megapixels_per_second": self.megapixels_per_second}


def means(rows: Iterable[Row]) -> list[Row]:
    """One row per set, scale and model, in order of appearance.

    A metric that one of the pictures lacks has no mean, for it would be one over other pictures than its neighbours.
    """
    groups: dict[tuple[str, int, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.group, row.scale, row.model].append(row)
    return [_mean(group) for group in groups.values()]


def _mean(rows: Sequence[Row]) -> Row:
    def of(figures: Iterable[float | None]) -> float | None:
        known = [figure for figure in figures if figure is not None]
        return sum(known) / len(known) if len(known) == len(rows) else None

    first = rows[0]
    return Row(
        group=first.group, scale=first.scale, model=first.model, picture=None, pictures=len(rows),
        values={metric: of(row.values[metric] for row in rows) for metric in first.values},
        seconds=sum(row.seconds for row in rows) / len(rows),
        megapixels=sum(row.megapixels for row in rows) / len(rows),
    )  # fmt: skip


# What to measure


def find_sets(names: Iterable[str], listener: Listener) -> dict[str, list[Path]]:
    """The pictures of each folder, by the folder's name; those given one by one are a set called "pictures".

    What does not exist, and a folder without pictures, is told and left out.
    """
    sets: dict[str, list[Path]] = {}
    for name in names:
        with telling(name, listener):
            path = Path(name)
            if not os.path.isdir(path):
                if not os.path.exists(path):
                    raise InputError(f"{name}: there is no such file or folder. Check the name.")
                sets.setdefault("pictures", []).append(path)
                continue
            label = path.name or path.resolve().name or name
            sets[name if label in sets else label] = pictures_in(path)
    return sets


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, by name; not those of its folders.

    Raises:
        InputError: it holds none, or cannot be entered.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}). Name a folder of pictures.") from error
    files = [path for path in paths if is_picture_ending(path.suffix.lower()) and not path.name.startswith(".")]
    if not files:
        raise InputError(f"{folder}: holds no pictures. Name a folder of PNG, JPEG or other picture files.")
    return files


def cases_of(sets: Mapping[str, Sequence[Path]], scales: Iterable[int], *, blind: bool = False) -> list[Case]:
    """Every picture at every scale: a set's scales one after the other.

    Args:
        blind: the pictures are LR and have no HR.
    """
    return [
        Case(group, scale, hr=None if blind else path, lr=path if blind else None)
        for group, paths in sets.items()
        for scale in scales
        for path in paths
    ]


def pair_cases(hr: Path, lr: Path, scales: Sequence[int], listener: Listener) -> list[Case]:
    """HR and LR of two folders (or files) by name, at the scale that follows from their sizes.

    Names match by their stems, with or without what the field writes behind them (x4, _HR, _LR, LRBI). What has no
    partner, and what does not fit it, is told and left out.

    Args:
        scales: those that may be; none: any.

    Raises:
        InputError: a folder is missing, or holds no pictures.
    """
    label = hr.resolve().name if os.path.isdir(hr) else "pictures"
    cases = []
    for hr_path, lr_path in _partners(hr, lr, listener):
        with telling(str(hr_path), listener):
            scale = scale_between(_size_of(hr_path), _size_of(lr_path), hr_path, lr_path)
            if scales and scale not in scales:
                asked = ", ".join(map(str, scales))
                raise InputError(f"{hr_path}: is {scale} times as large as {lr_path}, and --scale asks for {asked}.")
            cases.append(Case(label, scale, hr_path, lr_path))
    return sorted(cases, key=lambda case: case.scale)


def _partners(hr: Path, lr: Path, listener: Listener) -> Iterator[tuple[Path, Path]]:
    """Files with one name in both folders; what has no partner, or more than one, is told."""
    if not os.path.isdir(hr) and not os.path.isdir(lr):
        yield hr, lr
        return
    there = _by_key(pictures_in(lr))
    left = dict(there)
    for key, paths in _by_key(pictures_in(hr)).items():
        others = left.pop(key, [])
        if len(paths) == len(others) == 1:
            yield paths[0], others[0]
            continue
        found = f"{counted(len(paths), 'HR picture')} and {counted(len(others), 'LR picture')} have its name"
        for path in paths:
            fault = found if others else f"has no LR of its name in {lr}"
            listener(Failed(str(path), f"{path}: {fault}. Give each HR one LR of the same name."))
    for path in (path for paths in left.values() for path in paths):
        listener(Failed(str(path), f"{path}: has no HR of its name in {hr}. Give each LR one HR of the same name."))


def _by_key(paths: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found[name_key(path.stem)].append(path)
    return dict(found)


def name_key(stem: str) -> str:
    """A file's name without what the field's sets write behind it.

    >>> name_key("baby"), name_key("babyx4"), name_key("baby_HR_x4"), name_key("0801x2"), name_key("img_001_SRF_2_LR")
    ('baby', 'baby', 'baby', '0801', 'img_001')
    """
    shorter = SUFFIXES.sub("", stem)
    return name_key(shorter) if shorter and shorter != stem else stem


def _size_of(path: Path) -> tuple[int, int]:
    with ImageReader(path) as reader:
        return reader.info.width, reader.info.height


def scale_between(hr: tuple[int, int], lr: tuple[int, int], hr_path: Path, lr_path: Path) -> int:
    """HR pixels per LR pixel; HR may have up to scale - 1 pixels more, which are those that shrinking left out.

    Args:
        hr, lr: (width, height).

    Raises:
        InputError: no whole number from 2 on fits both sides.
    """
    scale = hr[0] // lr[0]
    surplus = [hr_side - scale * lr_side for hr_side, lr_side in zip(hr, lr, strict=True)]
    if scale < 2 or not all(0 <= pixels < scale for pixels in surplus):
        raise InputError(
            f"{hr_path}: its {hr[0]} x {hr[1]} pixels are no whole multiple of the {lr[0]} x {lr[1]} of {lr_path}. "
            "Give HR that is 2, 3, 4, ... times as large on both sides."
        )
    return scale


# Pictures


def read_picture(path: Path, say: Say) -> Picture:
    """A file as it is measured: 8 bits, gray or RGB; says what had to be reduced for that.

    Raises:
        InputError: no picture, or CMYK or LAB.
    """
    with ImageReader(path, say=say) as reader:
        frame = next(iter(reader))
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


def shrunk(hr: Picture, scale: int, protocol: Protocol) -> Picture:
    """LR as the protocol makes it of HR, whose sides divide by the scale: rounded to 8 bits, then compressed."""
    channels = [to_8_bit(resized(plane, 1 / scale, protocol.shrinking)) for plane in _planes(hr)]
    lr: Picture = np.stack(channels, axis=2).astype(np.uint8)
    return lr if protocol.jpeg is None else through_jpeg(lr, protocol.jpeg)


def through_jpeg(picture: Picture, quality: int) -> Picture:
    """Compressed as JPEG (4:2:0, as most files are) and opened again."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.asarray(image).reshape(picture.shape)


def _planes(picture: Picture) -> list[Plane]:
    return [picture[:, :, channel].astype(np.float64) for channel in range(picture.shape[2])]


def _luma(picture: Picture) -> Plane:
    """Studio luma of colour, not rounded; gray, or luma already, as it is."""
    return studio_luma(picture) if picture.shape[2] == 3 else picture[:, :, 0].astype(np.float64)


@dataclass(frozen=True, slots=True)
class Reference:
    """A case, read: what goes in, and what should come out.

    Attributes:
        hr, lr: HR is exactly scale times LR.
        is_studio_luma: they are the luma of a colour picture, 16..235, rather than gray, 0..255.
    """

    hr: Picture
    lr: Picture
    is_studio_luma: bool

    def frame(self) -> Frame:
        """LR as `Upscaler` takes it; studio luma stretched to full range, in floats so that nothing is rounded."""
        if not self.is_studio_luma:
            return _frame(self.lr)
        return Frame((self.lr.astype(np.float32) - STUDIO_BLACK) / STUDIO_RANGE, "L")

    def picture(self, sr: Frame) -> Picture:
        """What `Upscaler` made of `frame()`, as HR is."""
        if not self.is_studio_luma:
            return sr.pixels
        return to_8_bit(sr.pixels.astype(np.float64) * STUDIO_RANGE + STUDIO_BLACK).astype(np.uint8)


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
            f"SSIM needs {2 * border + SSIM_TAPS}. Take a larger picture, or a smaller --border."
        )
    is_studio_luma = protocol.channels == "luma" and hr.shape[2] == 3
    if is_studio_luma:
        hr = _rounded_luma(hr)
        lr = None if lr is None else _rounded_luma(lr)
    if lr is None:
        lr = shrunk(hr, case.scale, protocol)
    height, width = lr.shape[0] * case.scale, lr.shape[1] * case.scale
    return Reference(hr[:height, :width], lr, is_studio_luma)


def _frame(picture: Picture) -> Frame:
    return Frame(picture, "RGB" if picture.shape[2] == 3 else "L")


def _rounded_luma(rgb: Picture) -> Picture:
    return to_8_bit(studio_luma(rgb))[:, :, None].astype(np.uint8)


# Models


@dataclass(slots=True)
class Contestant:
    """A model that is measured: an upscaler, and which scales it has shown to be able to or not.

    Attributes:
        name: as rows have it.
    """

    upscaler: Upscaler
    name: str
    _able: dict[int, bool] = field(default_factory=dict)

    def can(self, frame: Frame, scale: int, listener: Listener) -> bool:
        """Whether its nets load and run. The first time it finds out, and tells what the user should know of it."""
        if scale not in self._able:
            self._able[scale] = False
            with telling(self.name, listener):
                self._warm_up(frame, scale, listener)
                self._able[scale] = True
        return self._able[scale]

    def _warm_up(self, frame: Frame, scale: int, listener: Listener) -> None:
        """With noise, for a flat corner would pass without the net."""
        noise = np.random.default_rng(0).random((WARM_UP_SIDE, WARM_UP_SIDE, frame.pixels.shape[2]))
        first = Frame((noise * white_of(frame.pixels)).astype(frame.pixels.dtype), frame.layout)
        plan = self.upscaler.plan(first.width, first.height, Target(scale=scale))
        self.upscaler.upscale(first, plan)
        if plan.passes and math.prod(plan.passes) != scale:
            passes = " and ".join(f"x{step}" for step in plan.passes)
            listener(Note(f"{self.name} has no net for x{scale}: upscaled by {passes}, then shrunk by Lanczos"))

    def upscale(self, frame: Frame, scale: int) -> tuple[Frame, float]:
        """SR, and the seconds that it took."""
        plan = self.upscaler.plan(frame.width, frame.height, Target(scale=scale))
        begin = time.perf_counter()
        sr = self.upscaler.upscale(frame, plan)
        return sr, time.perf_counter() - begin


def contestants(
    models: Iterable[str | None], make: Callable[[str | None], Upscaler], listener: Listener
) -> list[Contestant]:
    """Bicubic, which stands beside them always, and the models; one whose file is no checkpoint is told and left out.

    Args:
        models: names or checkpoint files; None is the best on this machine.
        make: the upscaler of one.

    Raises:
        OptionError: a name that is not known, or options that do not go with a model.
    """
    ready: list[Contestant] = []
    for model in dict.fromkeys(("bicubic", *models)):
        with telling(model or "", listener):
            upscaler = make(model)
            taken = any(upscaler.name == other.name for other in ready)
            if taken and model is None:
                continue
            ready.append(Contestant(upscaler, str(model) if taken else upscaler.name))
    return ready


# Measuring


def evaluate(
    cases: Iterable[Case], models: Sequence[Contestant], protocol: Protocol, listener: Listener
) -> Iterator[Row]:
    """One row per picture and model, in the order of the cases.

    Raises:
        CheckpointError, OptionError: LPIPS is wanted and cannot be had.
    """
    perceptual = lpips_distance() if protocol.lpips else None
    for case in cases:
        source = str(case.path)
        read = functools.partial(read_reference, case, protocol, _saying(listener))
        for reference in attempted(read, source, listener):
            for model in models:
                if model.can(reference.frame(), case.scale, listener):
                    compared = functools.partial(_compared, case, reference, model, protocol, perceptual)
                    yield from attempted(compared, source, listener)


def _compared(
    case: Case, reference: Reference, model: Contestant, protocol: Protocol, perceptual: "Perceptual | None"
) -> Row:
    sr_frame, seconds = model.upscale(reference.frame(), case.scale)
    border = case.scale if protocol.border is None else protocol.border
    sr, hr = (crop_border(picture, border) for picture in (reference.picture(sr_frame), reference.hr))
    values = compare(sr, hr, in_colour=protocol.channels == "rgb")
    if perceptual is not None:
        values["lpips"] = perceptual(sr, hr)
    megapixels = sr_frame.width * sr_frame.height / 1e6
    return Row(case.group, case.scale, model.name, case.path.name, 1, values, seconds, megapixels)


def compare(sr: Picture, hr: Picture, *, in_colour: bool) -> dict[Metric, float | None]:
    """Two pictures of one size, at least 11 pixels a side, borders already cut.

    Args:
        in_colour: PSNR and SSIM of the channels too, all alike; of gray pictures these are those of luma.
    """
    luma_sr, luma_hr = _luma(sr), _luma(hr)
    values: dict[Metric, float | None] = {
        "psnr_y": psnr(luma_sr, luma_hr),
        "ssim_y": ssim(luma_sr, luma_hr),
        "ms_ssim_y": ms_ssim(luma_sr, luma_hr) if min(luma_hr.shape) >= MS_SSIM_LEAST_SIDE else None,
    }
    if in_colour:
        values["psnr_rgb"] = psnr(sr, hr)
        values["ssim_rgb"] = float(np.mean([ssim(a, b) for a, b in zip(_planes(sr), _planes(hr), strict=True)]))
    return values


def evaluate_blind(cases: Iterable[Case], models: Sequence[Contestant], listener: Listener) -> Iterator[Row]:
    """NIQE of each picture as it is, and of what each model makes of it.

    Beside models, a picture that is too small for NIQE as it is has no such row, for what they make of it is larger.
    """
    for case in cases:
        source = str(case.path)
        for lr in attempted(functools.partial(read_picture, case.path, _saying(listener)), source, listener):
            if not models or _is_large_enough(lr):
                yield from attempted(functools.partial(_judged, case, AS_IT_IS, lr, 0.0), source, listener)
            for model in models:
                if model.can(_frame(lr), case.scale, listener):
                    yield from attempted(functools.partial(_upscaled_and_judged, case, model, lr), source, listener)


def _upscaled_and_judged(case: Case, model: Contestant, lr: Picture) -> Row:
    sr, seconds = model.upscale(_frame(lr), case.scale)
    return _judged(case, model.name, sr.pixels, seconds)


def _is_large_enough(picture: Picture) -> bool:
    height, width = (int(side) for side in picture.shape[:2])
    return (height // BLOCK) * (width // BLOCK) >= LEAST_BLOCKS


def _judged(case: Case, model: str, picture: Picture, seconds: float) -> Row:
    luma = to_8_bit(full_luma(picture)) if picture.shape[2] == 3 else picture[:, :, 0].astype(np.float64)
    try:
        value = niqe(luma)
    except ValueError as error:
        raise InputError(f"{case.path}: {error}. Take a larger picture.") from error
    values: dict[Metric, float | None] = {"niqe": value}
    return Row(case.group, case.scale, model, case.path.name, 1, values, seconds, luma.size / 1e6)


Perceptual = Callable[[Picture, Picture], float]
"""A distance between SR and HR; 0 for equal ones."""


@functools.cache
def lpips_distance() -> Perceptual:
    """LPIPS on AlexNet: Zhang et al., "The Unreasonable Effectiveness of Deep Features", CVPR 2018.

    By torchmetrics, which brings the layers' weights along. AlexNet's own come from PyTorch; they are never fetched.

    Raises:
        OptionError: torchmetrics or torchvision is not installed.
        CheckpointError: AlexNet's weights are not on this machine.
    """
    try:
        import torchvision
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity as Lpips
    except (ImportError, RuntimeError) as error:  # the latter of a torchvision made for another torch
        raise OptionError(
            "--lpips needs torchmetrics, and torchvision for this torch. Install them: pip install 'upscale-cli[lpips]'"
        ) from error
    import torch

    url: str = torchvision.models.AlexNet_Weights.IMAGENET1K_V1.url
    place = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not place.is_file():
        raise CheckpointError(f"--lpips needs the weights of AlexNet at {place}. Download them from {url}")
    net = Lpips(net_type="alex", normalize=True)

    def tensor(picture: Picture) -> torch.Tensor:
        rgb = np.broadcast_to(picture, (*picture.shape[:2], 3)).transpose(2, 0, 1)
        return torch.from_numpy(rgb.astype(np.float32) / 255)[None]

    def distance(sr: Picture, hr: Picture) -> float:
        net.reset()
        return float(net(tensor(sr), tensor(hr)))

    return distance


def _saying(listener: Listener) -> Say:
    return lambda text: listener(Note(text))


def attempted(make: Callable[[], Value], source: str, listener: Listener) -> list[Value]:
    """What `make` gives, alone in a list; an empty one, and the failure told, where it fails."""
    with telling(source, listener):
        return [make()]
    return []


@contextmanager
def telling(source: str, listener: Listener) -> Iterator[None]:
    """What fails for one source is told, and the rest goes on; a wrong option ends the run."""
    try:
        yield
    except OptionError:
        raise
    except UpscaleError as error:
        listener(Failed(source, str(error)))
