"""How fast espcn at scale 2 goes through a clip, which stage the others wait for, and what a machine without it does.

    python -m benchmarks.video_espcn [--device cuda] [--frames 200] [--repeats 5]

On the CPU 540p to 1080p, in turn with one ffmpeg command that repeats pixels, both with x264 ultrafast. On CUDA 1080p
to 2160p with the settings of --realtime, and fp16 against fp32. Threads are as many as each takes by itself.
"""

import argparse
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.clips import CRF, make_clip, one_command, pan, race, upscaled
from benchmarks.report import write
from upscale_cli.api import upscale_frames
from upscale_cli.evaluation.metrics import psnr
from upscale_cli.events import ClipFinished
from upscale_cli.inference.options import Wanted
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg

SIZES = {"cpu": (540, 960), "cuda": (1080, 1920)}
CUDA_FPS = 60
CUDA_DB = 50
COMPARED_FRAMES = 20


def main() -> None:
    """Writes benchmarks/video_espcn.json, or video_espcn-cuda.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    height, width = SIZES[arguments.device]
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder, "clip.mp4"), pan(height, width, arguments.frames))
        result = compared(clip, arguments.device, arguments.frames, arguments.repeats)
        if arguments.device == "cuda":
            nearest = nearness(clip)
            met = result["espcn"]["fps"] >= CUDA_FPS and nearest >= CUDA_DB
            result |= {
                "gpu": torch.cuda.get_device_name(),
                "fp16_to_fp32_worst_psnr_db": round(nearest, 1),
                "requirement": {"fps_at_least": CUDA_FPS, "psnr_db_above": CUDA_DB, "met": met},
            }
    show(result)
    write(
        "video_espcn" if arguments.device == "cpu" else "video_espcn-cuda",
        f"espcn, {width}x{height} to {2 * width}x{2 * height}, from file to file, in turn with one ffmpeg command that "
        "repeats pixels. Files in the page cache; start of Python not counted.",
        {"ffmpeg": find_ffmpeg().version, "frames": arguments.frames, "repeats": arguments.repeats, **result},
    )


def compared(clip: Path, device: str, frames: int, repeats: int) -> dict[str, Any]:
    """espcn and the command in turn; the stages of espcn's median run."""
    upscaler = Upscaler("espcn", device=device)
    fastest = EncodeOptions(codec="libx264", preset="ultrafast", crf=CRF)
    options = ClipOptions(encode=fastest, overwrite=True)
    if device == "cuda":
        options = ClipOptions(encode=EncodeOptions(realtime=True), realtime="file", overwrite=True)
    runs: list[ClipFinished] = []
    candidates: dict[str, Callable[[], object]] = {
        "espcn": lambda: runs.append(upscaled(clip, clip.with_stem("sr"), upscaler, options)),
        "one_command": lambda: one_command(clip, clip.with_stem("nearest")),
    }
    results = race(candidates, frames, repeats)
    run = sorted(runs[1:], key=lambda run: run.seconds)[len(runs[1:]) // 2]  # the first round warms up
    return {
        **results,
        "fps_to_one_command": round(results["espcn"]["fps"] / results["one_command"]["fps"], 3),
        "stages": {
            stage: {"busy_s": round(seconds, 3), "ms_per_frame": round(1000 * seconds / frames, 2)}
            for stage, seconds in run.stages.items()
        },
        "run_s": round(run.seconds, 3),
        "slowest": run.slowest,
        "torch_threads": torch.get_num_threads(),
    }


def nearness(clip: Path) -> float:
    """PSNR in dB of fp16 against fp32, luma as it goes to the encoder, of the worst frame."""

    def lumas(precision: Wanted) -> Any:
        frames = upscale_frames(clip, 2, model="espcn", device="cuda", precision=precision)
        return (frame.planes[0] for frame in itertools.islice(frames, COMPARED_FRAMES))

    return min(psnr(half, full) for half, full in zip(lumas("fp16"), lumas("fp32"), strict=True))


def show(result: dict[str, Any]) -> None:
    """Frames per second, and the stages."""
    for name in ("espcn", "one_command"):
        print(f"{name:14} {result[name]['fps']:7.1f} fps  {result[name]['cpu_s']:7.2f} s of CPU")
    for stage, row in result["stages"].items():
        print(f"  {stage:12} {row['ms_per_frame']:7.2f} ms a frame{' <- slowest' * (stage == result['slowest'])}")


if __name__ == "__main__":
    main()
