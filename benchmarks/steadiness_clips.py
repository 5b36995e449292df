"""Real clips for `video_steadiness`: every bundled net and two more, plain and by --steady, along the LR's own motion.

LR is a part of a sample, a second long, without loss; or one whose frames were made smaller, so that there is an HR to
be near to. The motion is found by OpenCV's dense inverse search where that is installed, which
nothing of ours goes by; else by `inference.motion`, and the report says so.
"""

import itertools
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import ffmpeg, luma, race, upscaled
from benchmarks.nets import checkpoint
from benchmarks.report import SHARED
from upscale_cli.api import upscale_frames
from upscale_cli.evaluation.metrics import psnr
from upscale_cli.evaluation.steadiness import own_motion, steadiness
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.models.registry import MODELS, Spec

FOLDER: Final = SHARED / "samples/video"
ALSO: Final = ("realesr-general", "realesr-animevideo")
"""Nets that are not bundled and are measured too."""

WITHOUT_LOSS: Final = ("-c:v", "ffv1", "-pix_fmt", "yuv420p")
BORDER: Final = 8
"""SR pixels at each side that have no part in PSNR and sharpness."""

Frame = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sample:
    """A part of a clip.

    Attributes:
        file: in the folder of samples.
        start: seconds.
        part: what of the frame, as ffmpeg's crop takes it; None: all of it.
        shrink: the HR's pixels for each of LR; 1: there is no HR.
        about: what there is to see.
    """

    file: str
    start: float
    part: str | None
    shrink: int
    about: str


SAMPLES: Final = {
    "phone": Sample("realshort.mp4", 0, None, 1, "a phone in a hand, H.264 of few bits"),
    "anime": Sample("onepiece_demo.mp4", 2, "320:176:280:60", 1, "drawn, nearly still"),
    "bird": Sample("cockatoo_yuv444.mp4", 1, "1280:704", 4, "a bird that nods, before a camera at rest"),
    "garden": Sample("bbb_garden.mp4", 0.4, "640:352:640:256", 2, "rendered: leaves, a slow flight"),
    "bridge": Sample("tos_hdr10_400p.mkv", 0, "640:352:100:40", 2, "film: two people, a camera at rest"),
}


def nets() -> list[Spec]:
    """What is measured: bundled nets, and those of `ALSO` that are on this machine."""
    rows = [row for row in MODELS if row.bundled or row.model in ALSO]
    return [row for row in rows if checkpoint(row) and not (row.model in ALSO and row.scale != 4)]


def judge() -> tuple[str, Callable[[Any, Any], Any]]:
    """What finds the motion that steadiness is measured along: its name, and itself."""
    try:
        import cv2
    except ImportError:
        return "upscale_cli.inference.motion", own_motion
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def found(now: Frame, before: Frame) -> NDArray[np.float32]:
        flow = search.calc(np.ascontiguousarray(now), np.ascontiguousarray(before), None)
        return np.ascontiguousarray(np.moveaxis(flow, 2, 0), np.float32)

    return f"OpenCV {cv2.__version__}, DIS, medium", found


def made(sample: Sample, folder: Path, frames: int) -> tuple[Path, Path | None]:
    """LR, and HR where there is one, as clips without loss."""
    given = (
        "-noautorotate",
        "-i",
        str(FOLDER / sample.file),
        "-ss",
        str(sample.start),
        "-an",
        "-frames:v",
        str(frames),
    )
    part = f"crop={sample.part}" if sample.part else "null"
    hr = folder / "hr.mkv"
    command = [*ffmpeg(), *given, "-vf", part, "-fps_mode", "passthrough", *WITHOUT_LOSS, str(hr)]
    subprocess.run(command, check=True)
    if sample.shrink == 1:
        return hr, None
    lr = folder / "lr.mkv"
    smaller = f"scale=iw/{sample.shrink}:ih/{sample.shrink}:flags=bicubic+accurate_rnd"
    subprocess.run(
        [*ffmpeg(), "-i", str(hr), "-vf", smaller, "-fps_mode", "passthrough", *WITHOUT_LOSS, str(lr)], check=True
    )
    return lr, hr


def measured_clip(sample: Sample, folder: Path, frames: int, rows: Sequence[Spec]) -> dict[str, Any]:
    """Every model on one sample, plain and steady."""
    lr_path, hr_path = made(sample, folder, frames)
    lr = list(luma(lr_path))
    _, find_motion = judge()
    motions = {
        (now, before): find_motion(lr[now], lr[before])
        for one, other in itertools.pairwise(range(len(lr)))
        for now, before in ((one, other), (other, one))
    }
    places = {id(frame): place for place, frame in enumerate(lr)}

    def known(now: Frame, before: Frame) -> Any:
        return motions[places[id(now)], places[id(before)]]

    hr = list(luma(hr_path)) if hr_path else None
    found: dict[str, Any] = {}
    for row in rows:
        plain, steady = (list(sr_luma(lr_path, row, steady=steady)) for steady in (False, True))
        one, other = (steadiness(zip(lr, clip, strict=True), known) for clip in (plain, steady))
        result = {
            "bicubic": round(one.bicubic, 3),
            "net": round(one.difference, 3),
            "steady": round(other.difference, 3),
            "ratio": round(one.ratio, 3),
            "steady_ratio": round(other.ratio, 3),
            "seen": round(one.seen, 3),
            "left_out": one.left_out,
            "sharpness_kept": round(sharpness(steady) / sharpness(plain), 4),
        }
        if hr is not None and row.scale == sample.shrink:
            result |= {"psnr": round(mean_psnr(plain, hr), 3), "steady_psnr": round(mean_psnr(steady, hr), 3)}
        found[f"{row.model} x{row.scale}"] = result
        print(f"  {row.model:20} x{row.scale}", *(f"{name} {value:<7g}" for name, value in result.items()), flush=True)
    return {"about": sample.about, "size": [lr[0].shape[1], lr[0].shape[0]], "frames": len(lr), "models": found}


def sr_luma(clip: Path, row: Spec, *, steady: bool) -> Iterator[Frame]:
    """Y of what a model makes of a clip."""
    options = ClipOptions(steady=steady)
    for frame in upscale_frames(clip, row.scale, model=row.model, device="cpu", options=options):
        yield frame.planes[0].astype(np.uint8, copy=False)


def sharpness(frames: Sequence[Frame]) -> float:
    """The mean square of differences between neighbours, down and across: what blur takes away, and noise too."""
    inner = slice(BORDER, -BORDER), slice(BORDER, -BORDER)
    squares = []
    for frame in frames:
        down, across = np.gradient(frame[inner].astype(np.float32))
        squares.append(float((down**2 + across**2).mean()))
    return float(np.mean(squares))


def mean_psnr(frames: Sequence[Frame], hr: Sequence[Frame]) -> float:
    """Of luma, frame by frame, in dB."""
    inner = slice(BORDER, -BORDER), slice(BORDER, -BORDER)
    return float(np.mean([psnr(one[inner], other[inner]) for one, other in zip(frames, hr, strict=True)]))


def cost(clip: Path, folder: Path, frames: int, names: Mapping[str, int], repeats: int) -> dict[str, Any]:
    """Frames per second from file to file, plain and steady, in turn, by each model at its scale."""
    candidates: dict[str, Callable[[], object]] = {}
    encode = EncodeOptions(codec="libx264", preset="ultrafast")
    for model, scale in names.items():
        upscaler = Upscaler(model, device="cpu")
        for steady in (False, True):
            options = ClipOptions(encode=encode, overwrite=True, reuse=False, steady=steady)
            output = folder / "out.mkv"

            def run(
                upscaler: Upscaler = upscaler, options: ClipOptions = options, scale: int = scale, to: Path = output
            ) -> object:
                return upscaled(clip, to, upscaler, options, scale)

            candidates[f"{model} x{scale}{' steady' if steady else ''}"] = run
    return race(candidates, frames, repeats)
