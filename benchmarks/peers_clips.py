"""Clips from file to file: ours beside one ffmpeg command that enlarges without a net, with the same encoder settings.

Part of `peers.py`. libplacebo needs a Vulkan device, be it a software one; where there is none that is recorded.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.clips import CRF, FASTEST, ffmpeg, make_clip, pan, race, upscaled
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg

HEIGHT: Final = 540
WIDTH: Final = 960
FRAMES: Final = 100
QUICK_FRAMES: Final = 24

VULKAN: Final = ("-init_hw_device", "vulkan=vk:0", "-filter_hw_device", "vk")
PLACEBO: Final = "libplacebo=w=iw*2:h=ih*2:upscaler=ewa_lanczossharp:format=yuv420p"
PLACEBO_FRAMES: Final = 4
"""On a software device each takes seconds."""


def clips(folder: Path, *, quick: bool) -> dict[str, Any]:
    """Frames per second, 540p to 1080p, in turn."""
    frames, repeats = (QUICK_FRAMES, 1) if quick else (FRAMES, 3)
    clip = make_clip(folder / "clip.mp4", pan(HEIGHT, WIDTH, frames))
    fastest = EncodeOptions(codec="libx264", preset="ultrafast", crf=CRF)
    net = Upscaler("espcn", device="cpu")

    def ours(options: ClipOptions) -> Callable[[], object]:
        return lambda: upscaled(clip, folder / "ours.mp4", net, options)

    candidates = {
        "ours, espcn": ours(ClipOptions(encode=fastest, overwrite=True)),
        "ours, espcn, --realtime": ours(
            ClipOptions(encode=EncodeOptions(realtime=True), realtime="file", overwrite=True)
        ),
        "ffmpeg, bicubic": lambda: enlarged(clip, folder / "bicubic.mp4", "scale=iw*2:ih*2:flags=bicubic"),
        "ffmpeg, lanczos": lambda: enlarged(clip, folder / "lanczos.mp4", "scale=iw*2:ih*2:flags=lanczos"),
    }
    results: dict[str, Any] = dict(race(candidates, frames, repeats))
    for name in ("ours, espcn", "ours, espcn, --realtime"):
        results[name]["fps_to_bicubic"] = round(results[name]["fps"] / results["ffmpeg, bicubic"]["fps"], 3)
    if not quick:
        results["ffmpeg, libplacebo"] = placebo(folder)
    return {
        "size": [HEIGHT, WIDTH],
        "frames": frames,
        "encoder": " ".join(FASTEST),
        "ffmpeg": find_ffmpeg().version,
        "candidates": results,
    }


def enlarged(source: Path, output: Path, filters: str, *device: str) -> None:
    """One ffmpeg command from file to file.

    Raises:
        CalledProcessError: it fails; its `stderr` says why.
    """
    command = [*ffmpeg(), "-nostdin", *device, "-i", str(source), "-map", "0:v:0", "-fps_mode", "passthrough"]
    subprocess.run([*command, "-vf", filters, *FASTEST, str(output)], check=True, capture_output=True, text=True)


def placebo(folder: Path) -> dict[str, Any]:
    """libplacebo's sharp polar Lanczos on the first Vulkan device; its shaders' compilation is taken off."""
    short = make_clip(folder / "short.mp4", pan(HEIGHT, WIDTH, 1))
    longer = make_clip(folder / "longer.mp4", pan(HEIGHT, WIDTH, 1 + PLACEBO_FRAMES))
    try:
        timed = race(
            {
                name: lambda clip=clip: enlarged(clip, folder / "placebo.mp4", PLACEBO, *VULKAN)  # type: ignore[misc]
                for name, clip in (("short", short), ("longer", longer))
            },
            PLACEBO_FRAMES, 1,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        lines = str(error.stderr).strip().splitlines()
        return {"failed": lines[-1][:200] if lines else "ffmpeg failed"}
    seconds = timed["longer"]["median_s"] - timed["short"]["median_s"]
    return {"fps": round(PLACEBO_FRAMES / max(seconds, 1e-9), 2), "filter": PLACEBO, "device": vulkan_device()}


def vulkan_device() -> str:
    """The name of the device that ffmpeg takes as the first."""
    probe = [find_ffmpeg().path, "-hide_banner", "-loglevel", "verbose", "-nostdin", *VULKAN[:2]]
    done = subprocess.run(
        [*probe, "-f", "lavfi", "-i", "color=d=0.04", "-f", "null", "-"], capture_output=True, text=True, check=False
    )
    lines = [line.partition("selected:")[2].strip() for line in done.stderr.splitlines() if "selected:" in line]
    return lines[0] if lines else "unknown"
