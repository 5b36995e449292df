"""How steady nets are on clips, along the clips' own motion and beside bicubic; what --steady does, and what it costs.

    python -m benchmarks.steadiness_clips [--frames 12] [--nets espcn photo-lite] [--quick]

By every bundled net, and realesr-general where its weights are. LR is a part of a sample without loss, or made of one
by making its frames smaller, so that there is an HR to be near to; or it is made here of a photo, as a view that moves
by parts of a pixel, so that the HR is what was to be seen and has no noise of its own. The motion is found by OpenCV's
dense inverse search where that is installed, which nothing of ours goes by; else by `inference.motion`, and the report
says so. Writes steadiness_clips.json and the tables of docs/benchmarks.md; --nets measures these alone, and they take
their place among the figures of the others; --quick takes fewer frames and nets and writes nothing.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.clips import USUAL, Picture, ffmpeg, grainy, luma, make_clip, race, upscaled
from benchmarks.nets import checkpoint, row
from benchmarks.report import REPOSITORY, SHARED, photo, with_tables, write
from upscale_cli.api import upscale_frames
from upscale_cli.evaluation.metrics import psnr
from upscale_cli.evaluation.steadiness import own_motion, steadiness
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference.device import Device
from upscale_cli.inference.steady import Steady
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.models.registry import MODELS, Spec

FOLDER: Final = SHARED / "samples/video"
ALSO: Final = ("realesr-general",)
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


PHOTO: Final = SHARED / "samples/images/photos/OST_009.png"
MADE: Final = {
    "photo": ("made here: a photo that moves by 1.5 and 0.5 LR pixels a frame, without noise", WITHOUT_LOSS),
    "photo, coded": ("the same with a camera's grain, by x264", USUAL),
}

FILE: Final = REPOSITORY / "benchmarks" / "steadiness_clips.json"
PAGE: Final = REPOSITORY / "docs" / "benchmarks.md"
START: Final = "<!-- from benchmarks/steadiness_clips.json by benchmarks/steadiness_clips.py -->\n"
STOP: Final = "<!-- end of steadiness -->\n"
QUICK: Final = (("espcn", 2), ("photo-lite", 4))
COSTS: Final = {"espcn": (2, 540, 960), "photo-lite": (4, 180, 320)}
"""What is timed: scale, height and width of LR."""


def main() -> None:
    """Writes benchmarks/steadiness_clips.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=12, help="of each clip")
    parser.add_argument("--nets", nargs="+", help="these alone")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    rows = [spec for spec in nets() if not arguments.nets or spec.model in arguments.nets]
    rows = [spec for spec in rows if not arguments.quick or (spec.model, spec.scale) in QUICK]
    frames = 6 if arguments.quick else arguments.frames
    clips: dict[str, Any] = {}
    for name, sample in SAMPLES.items():
        if (FOLDER / sample.file).is_file():
            with tempfile.TemporaryDirectory() as folder:
                clips[name] = measured(name, sample.about, *made(sample, Path(folder), frames), sample.shrink, rows)
    for name, (about, encoder) in MADE.items() if PHOTO.is_file() else ():
        with tempfile.TemporaryDirectory() as folder:
            clips[name] = measured(name, about, *of_photo(Path(folder), frames, *encoder), 2, rows)
    result = {"motion_by": judge()[0], "clips": clips}
    result = among_others(result) if arguments.nets and not arguments.quick else {**result, "cost": costs(frames)}
    if arguments.quick:
        print(tables(result))
        return
    write(
        "steadiness_clips",
        "Mean absolute difference between neighbouring SR frames along the motion of LR, luma, 8-bit code values, by "
        "nets without and with --steady and by bicubic; PSNR of luma in dB; frames per second from file to file.",
        result,
    )
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_tables(page, tables(result), START, STOP), encoding="utf-8")


def among_others(result: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured, in the place of what the file has of the same nets; all others stay, in the order of the list.

    Raises:
        SystemExit: those were measured along motion that was found otherwise.
    """
    before = json.loads(FILE.read_text(encoding="utf-8"))
    if before["motion_by"] != result["motion_by"]:
        raise SystemExit(f"{FILE.name} has motion by {before['motion_by']}, not by {result['motion_by']}. Measure all.")
    clips = {}
    for name, clip in result["clips"].items():
        known = before["clips"][name]["models"] | clip["models"]
        labels = [f"{spec.model} x{spec.scale}" for spec in MODELS]
        clips[name] = {**clip, "models": {label: known[label] for label in labels if label in known}}
    return {**result, "clips": clips, "cost": before["cost"]}


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


def of_photo(folder: Path, frames: int, *encoder: str) -> tuple[Path, Path]:
    """LR, means of 2 x 2 pixels as sensors take them, and HR: a view that moves by three pixels and one."""
    with Image.open(PHOTO) as image:
        large = np.asarray(image.convert("RGB"))
    height, width = (large.shape[0] - frames) // 8 * 8, (large.shape[1] - 3 * frames) // 8 * 8
    views: list[Picture] = [large[at : at + height, 3 * at : 3 * at + width] for at in range(frames)]
    lr: list[Picture] = []
    for number, view in enumerate(views):
        squares = view.reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))
        small = np.rint(squares).astype(np.uint8)
        lr.append(small if encoder == WITHOUT_LOSS else grainy(small, number))
    return make_clip(folder / "lr.mkv", lr, *encoder), make_clip(folder / "hr.mkv", views, *WITHOUT_LOSS)


def measured(
    name: str, about: str, lr_path: Path, hr_path: Path | None, shrink: int, rows: Sequence[Spec]
) -> dict[str, Any]:
    """Every net on one clip, plain and steady."""
    print(f"{name}: {about}")
    lr = list(luma(lr_path))
    hr = list(luma(hr_path)) if hr_path else None
    known = motions(lr)
    found: dict[str, Any] = {}
    for spec in rows:
        plain = list(sr_luma(lr_path, spec))
        steady = steadied(lr, plain)
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
        if hr is not None and spec.scale == shrink:
            result |= {"psnr": round(mean_psnr(plain, hr), 3), "steady_psnr": round(mean_psnr(steady, hr), 3)}
        found[f"{spec.model} x{spec.scale}"] = result
        print(f"  {spec.model:20} x{spec.scale}", *(f"{key} {value:<7g}" for key, value in result.items()), flush=True)
    facts: dict[str, Any] = {"about": about, "size": [lr[0].shape[1], lr[0].shape[0]], "frames": len(lr)}
    if hr is not None:
        facts["hr_ratio"] = round(steadiness(zip(lr, hr, strict=True), known).ratio, 3)
    return {**facts, "models": found}


def motions(lr: Sequence[Frame]) -> Callable[[Any, Any], Any]:
    """The motion between neighbours, found once for all nets."""
    _, find_motion = judge()
    places = {id(frame): place for place, frame in enumerate(lr)}
    known: dict[tuple[int, int], Any] = {}

    def found(now: Frame, before: Frame) -> Any:
        pair = places[id(now)], places[id(before)]
        if pair not in known:
            known[pair] = find_motion(now, before)
        return known[pair]

    return found


def sr_luma(clip: Path, spec: Spec) -> Iterator[Frame]:
    """Y of what a net makes of a clip."""
    for frame in upscale_frames(clip, spec.scale, model=spec.model, device="cpu"):
        yield frame.planes[0].astype(np.uint8, copy=False)


def steadied(lr: Sequence[Frame], sr: Sequence[Frame]) -> list[Frame]:
    """What --steady makes of them: of luma it makes the same whether chroma is there or not."""
    (height, width), (sr_height, sr_width) = lr[0].shape, sr[0].shape
    steady = Steady(FORMATS["gray"], (width, height), (sr_width, sr_height), Device("cpu"))
    return [steady(one.reshape(-1), other.reshape(-1)).reshape(other.shape) for one, other in zip(lr, sr, strict=True)]


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


def costs(frames: int) -> dict[str, Any]:
    """Frames per second from file to file, plain and steady, in turn, by each net that is there."""
    found = {}
    for model, (scale, height, width) in COSTS.items():
        if checkpoint(row(model, scale)) is None:
            continue
        scene = photo(height, width + 2 * frames)
        views = (grainy(scene[:, 2 * at : 2 * at + width], at) for at in range(frames))
        with tempfile.TemporaryDirectory() as name:
            clip = make_clip(Path(name) / "lr.mkv", views)
            upscaler = Upscaler(model, device="cpu")

            def run(steady: bool, clip: Path = clip, upscaler: Upscaler = upscaler, scale: int = scale) -> None:
                encode = EncodeOptions(codec="libx264", preset="ultrafast")
                options = ClipOptions(encode=encode, overwrite=True, reuse=False, steady=steady)
                upscaled(clip, clip.with_name("out.mkv"), upscaler, options, scale)

            timed = race({"plain": partial(run, False), "steady": partial(run, True)}, frames, 3)
        found[f"{model} x{scale}"] = {"size": [width, height], **timed}
    return found


def tables(result: Mapping[str, Any]) -> str:
    """Those of the page."""
    lines = [
        "| clip | net | bicubic | plain | steady | plain / bicubic | steady / bicubic | sharpness kept | PSNR |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, clip in result["clips"].items():
        for net, found in clip["models"].items():
            near = f"{found['psnr']:.2f}, {found['steady_psnr']:.2f}" if "psnr" in found else ""
            figures = (f"{found[key]:.2f}" for key in ("bicubic", "net", "steady", "ratio", "steady_ratio"))
            lines.append(f"| {name} | {net} | {' | '.join(figures)} | {found['sharpness_kept']:.3f} | {near} |")
    lines += ["", "| net | LR | plain, fps | steady, fps |", "| --- | --- | --- | --- |"]
    for name, found in result["cost"].items():
        fps = (f"{found[kind]['fps']:g}" for kind in ("plain", "steady"))
        lines.append(f"| {name} | {' x '.join(map(str, found['size']))} | {' | '.join(fps)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
