"""What a clip saves where it repeats, and what it costs where nothing does.

    python -m benchmarks.reuse [--quick] [--engine torch|openvino ...] [--clip screen|film|noise ...]
        [--frames 50] [--repeats 5]

Three clips of 960 x 540 are made and enlarged twice by espcn on a CPU:

- screen: a page of text, a cursor that moves, a line that is typed, sometimes a scroll; by x264, as recorders do.
- film: 2.39:1 in 16:9, a view that moves with a camera's grain, between two black bars; by x264.
- noise: random samples, lossless. Nothing repeats.

In turn in one run, first the net's stage alone, whose SR samples are hashed, then from file to file: with what repeats
taken over, with everything computed (`--no-reuse`), and as one window a frame without a look at what repeats; the last
two are the same but for a net whose bits depend on the window's shape. The engines are
compared with themselves. With --clip the rows of those clips take their place in the file, and all others stay.

What it takes to look for what repeats is little beside a net, less than runs of the same code differ by. So that is
measured alone, too: frames of noise through `reuse`, with a net that takes no time.
"""

import argparse
import hashlib
import importlib.util
import math
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from unittest import mock

import av
import numpy as np
import torch
from PIL import Image, ImageDraw

from benchmarks.clips import USUAL, Picture, cpu_seconds, ffmpeg, make_clip, pan, race, upscaled
from benchmarks.report import alternating, json_of, ratio, write
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference import tiled
from upscale_cli.inference.frame_cells import frame_cells
from upscale_cli.inference.frame_grid import spare_of
from upscale_cli.inference.reuse import Reuse
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions

HEIGHT, WIDTH = 540, 960
TAGS = ColourTags(matrix="bt709", range="tv")
LINE: Final = 15
WAYS: Final[Mapping[str, tuple[bool, bool]]] = {
    "reused": (True, True), "computed": (True, False), "one_window": (False, False),
}  # fmt: skip
"""Cut into windows, and what repeats taken over."""

MOST_LOSS: Final = 1.02
"""What a clip in which nothing repeats may take of the processor, from file to file, against one window a frame."""


def main() -> None:
    """Writes benchmarks/reuse.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer frames and repeats")
    parser.add_argument("--engine", action="append", choices=("torch", "openvino"))
    parser.add_argument("--clip", action="append", choices=tuple(CLIPS))
    parser.add_argument("--look", action="store_true", help="only what it takes to look for what repeats")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    there = [name for name in ("torch", "openvino") if importlib.util.find_spec(name)]
    if arguments.look:
        known = json_of("reuse")
        write("reuse", known.pop("question"), {**known, "look_ms": look_ms()})
        return
    frames, repeats = (12, 1) if arguments.quick else (arguments.frames, arguments.repeats)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        clips = {name: CLIPS[name](Path(folder), frames) for name in arguments.clip or CLIPS}
        for engine in arguments.engine or there:
            results[engine] = {name: measured(clip, engine, repeats) for name, clip in clips.items()}
    if arguments.quick:
        return
    if arguments.clip:
        former: Mapping[str, Any] = json_of("reuse").get("engines", {})
        results = {name: former.get(name, {}) | results.get(name, {}) for name in former.keys() | results.keys()}
    cases = [case for clips_ in results.values() for case in clips_.values()]
    worst = max(clips_["noise"]["whole_clip"]["cpu_reused_to_one_window"] for clips_ in results.values())
    write(
        "reuse",
        "espcn x2 on 960 x 540, CPU: the share of the net's work that was taken over from the frame before, and frames "
        "a second with and without, paired in one run; fps by the median. Whole clips: x264 ultrafast.",
        {
            "look_ms": look_ms(),
            "engines": results,
            "requirement": {
                "samples_are_equal": all(case["samples_are_equal"] for case in cases),
                "noise_at_most": MOST_LOSS,
                "noise_worst": worst,
                "met": worst <= MOST_LOSS and all(case["samples_are_equal"] for case in cases),
            },
        },
    )


# The clips


def screen(frames: int) -> Iterator[Picture]:
    """A page of text. A cursor moves all the time, a letter is typed every third frame, every 25th the page scrolls."""
    rng = np.random.default_rng(0)
    letters = list("abcdefghijklmnopqrstuvwxyz      ")
    lines = ["".join(rng.choice(letters, 110)) for _ in range(200)]
    top, typed = 0, 0
    for number in range(frames):
        top += number % 25 == 24
        typed += number % 3 == 0
        page = Image.new("RGB", (WIDTH, HEIGHT), (250, 250, 248))
        draw = ImageDraw.Draw(page)
        draw.rectangle((0, 0, WIDTH, 40), fill=(52, 60, 76))
        for row, line in enumerate(lines[top : top + 31]):
            draw.text((60, 52 + LINE * row), line, fill=(30, 30, 30))
        draw.text((60, 52 + LINE * 31), "x" * typed, fill=(30, 30, 30))
        x, y = 200 + 6 * number, 300 - 2 * number
        draw.polygon(((x, y), (x, y + 16), (x + 11, y + 11)), fill=(0, 0, 0))
        yield np.asarray(page)


def film(frames: int) -> Iterator[Picture]:
    """Between black bars."""
    inner = round(WIDTH / 2.39 / 2) * 2
    above = (HEIGHT - inner) // 2
    for view in pan(inner, WIDTH, frames):
        whole = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        whole[above : above + inner] = view
        yield whole


def noise(frames: int) -> Iterator[Picture]:
    rng = np.random.default_rng(0)
    for _ in range(frames):
        yield rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


CLIPS: Final[Mapping[str, Callable[[Path, int], Path]]] = {
    "screen": lambda folder, frames: make_clip(folder / "screen.mkv", screen(frames), *USUAL),
    "film": lambda folder, frames: make_clip(folder / "film.mkv", film(frames), *USUAL),
    "noise": lambda folder, frames: make_clip(
        folder / "noise.mkv", noise(frames), "-c:v", "ffv1", "-pix_fmt", "yuv420p"
    ),
}


# The runs


def made_upscaler(engine: str, *, in_windows: bool) -> Upscaler:
    """One whose net is loaded, and cuts frames or does not."""
    upscaler = Upscaler("espcn", device="cpu", engine=engine)
    with mock.patch.object(tiled, "spare_of", spare_of if in_windows else lambda *_: 0.0):
        upscaler.net(2, 8)
    return upscaler


def measured(clip: Path, engine: str, repeats: int) -> dict[str, Any]:
    """One clip by one engine."""
    frames = samples_of(clip)
    upscalers = {way: made_upscaler(engine, in_windows=in_windows) for way, (in_windows, _) in WAYS.items()}
    digests: dict[str, str] = {}
    shares: dict[str, float] = {}

    cpu: dict[str, list[float]] = {way: [] for way in WAYS}

    def net_alone(way: str) -> Callable[[], None]:
        def run() -> None:
            stage = VideoUpscaler(
                upscalers[way], FORMATS["yuv420p"], WIDTH, HEIGHT, TAGS, Target(scale=2), reuse=WAYS[way][1]
            )
            before = cpu_seconds()
            digests[way] = digest(stage, frames)
            cpu[way].append(cpu_seconds() - before)
            shares[way] = stage.reused / len(frames)

        return run

    seconds = alternating({way: net_alone(way) for way in WAYS}, repeats=repeats)
    result = {
        "frames": len(frames),
        "repeats": repeats,
        "precision": upscalers["reused"].net(2, 8).precision,
        "samples_are_equal": len(set(digests.values())) == 1,
        "sha256": digests["reused"],
        "share_reused": round(shares["reused"], 4),
        "net_alone": {
            **{f"{way}_fps": round(len(frames) / sorted(taken)[len(taken) // 2], 2) for way, taken in seconds.items()},
            **compared(seconds, {way: taken[1:] for way, taken in cpu.items()}),
        },
        "whole_clip": whole_clip(clip, upscalers, len(frames), repeats),
    }
    print(clip.stem, engine, result, flush=True)
    return result


def whole_clip(clip: Path, upscalers: Mapping[str, Upscaler], frames: int, repeats: int) -> dict[str, Any]:
    """From file to file, x264 ultrafast on the other side; the outputs are compared by ffmpeg."""
    outputs = {way: clip.with_name(f"{way}.mp4") for way in WAYS}
    shares: dict[str, float] = {}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    cpu: dict[str, list[float]] = {way: [] for way in WAYS}

    def run(way: str) -> Callable[[], None]:
        encode = EncodeOptions(codec="libx264", crf=18, preset="ultrafast")
        options = ClipOptions(encode=encode, overwrite=True, reuse=WAYS[way][1])

        def go() -> None:
            before = cpu_seconds()
            finished = upscaled(clip, outputs[way], upscalers[way], options)
            cpu[way].append(cpu_seconds() - before)
            seconds[way].append(finished.seconds)
            shares[way] = finished.reused

        return go

    raced = race({way: run(way) for way in WAYS}, frames, repeats)
    return {
        **{f"{way}_fps": raced[way]["fps"] for way in WAYS},
        "share_reused": shares["reused"],
        "outputs_are_equal": len({frame_digests(path) for path in outputs.values()}) == 1,
        **compared(*({way: taken[1:] for way, taken in of.items()} for of in (seconds, cpu))),
    }


def compared(seconds: Mapping[str, list[float]], cpu: Mapping[str, list[float]]) -> dict[str, float]:
    """By what the first way differs from the others, by the clock and by the processor."""
    return {
        "speedup": ratio(seconds["computed"], seconds["reused"]),
        "time_reused_to_one_window": ratio(seconds["reused"], seconds["one_window"]),
        "cpu_reused_to_one_window": ratio(cpu["reused"], cpu["one_window"]),
        "least_cpu_reused_to_one_window": round(min(cpu["reused"]) / min(cpu["one_window"]), 3),
    }


def look_ms(frames: int = 24, repeats: int = 10) -> float:
    """Of the processor, a frame in which nothing repeats; all that `reuse` adds, and the least of some repeats."""
    cells = frame_cells(HEIGHT, WIDTH, halo=4, multiple_of=1)
    assert cells is not None
    rng = np.random.default_rng(0)
    clip = [torch.from_numpy(rng.integers(0, 256, (1, 1, HEIGHT, WIDTH), np.uint8)) for _ in range(frames)]
    sr, least = torch.zeros(2 * HEIGHT, 2 * WIDTH, 1, dtype=torch.uint8), math.inf
    for _ in range(repeats):
        reuse, begin = Reuse(), time.process_time()
        for lr in clip:
            with reuse.turn() as turn:
                turn.frame("luma", "fp32", lr, cells, lambda *_: sr, scale=2, macs=1.0)
        least = min(least, time.process_time() - begin)
        assert not reuse.frames, "something repeats in noise"
    return round(1e3 * least / frames, 3)


def digest(stage: VideoUpscaler, frames: list[Any]) -> str:
    """Of all SR samples; as many frames in progress as the stage wants."""
    sha256, pending = hashlib.sha256(), []
    for samples in frames:
        pending.append(stage.submit(samples))
        while len(pending) > stage.depth:
            sha256.update(stage.collect(pending.pop(0)).tobytes())
    for future in pending:
        sha256.update(stage.collect(future).tobytes())
    return sha256.hexdigest()


def samples_of(clip: Path) -> list[Any]:
    """The frames of an 8-bit 4:2:0 clip, flat."""
    with av.open(str(clip)) as container:
        return [np.ascontiguousarray(frame.to_ndarray(format="yuv420p")).ravel() for frame in container.decode(video=0)]


def frame_digests(clip: Path) -> str:
    command = [*ffmpeg(), "-nostdin", "-i", str(clip), "-map", "0:v", "-f", "framemd5", "-"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


if __name__ == "__main__":
    main()
