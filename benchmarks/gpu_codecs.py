"""NVENC and NVDEC: by ffmpeg alone, and through our pipeline, which takes them as `codec` and `hwaccel`."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.clips import USUAL, ffmpeg, make_clip, packet_times, pan, race, upscaled
from benchmarks.gpu_setting import Setting
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg
from upscale_cli.media.video.reader_arguments import DecodeOptions


def codecs(setting: Setting) -> dict[str, Any]:
    """Frames per second of each; one that does not run is recorded with ffmpeg's last line."""
    encoders = ("h264_nvenc", "hevc_nvenc", "av1_nvenc") if setting.is_cuda else ("libx264",)
    hwaccels = ("none", "cuda") if setting.is_cuda else ("none",)
    frames = max(2, setting.frames // 3)
    known = find_ffmpeg()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_clip(folder / "clip.mp4", pan(setting.height, setting.width, frames), *USUAL)
        size = f"{2 * setting.width}:{2 * setting.height}"
        encoded: dict[str, Any] = {}
        for codec in encoders:
            alone = by_ffmpeg(
                ["-i", str(clip), "-vf", f"scale={size}:flags=neighbor", "-c:v", codec, str(folder / "alone.mp4")],
                frames,
            )
            encoded[codec] = {
                "in_this_ffmpeg": codec in known.encoders,
                "ffmpeg_alone": alone,
                "ours": by_ours(clip, folder / "ours.mp4", setting, frames, codec=codec),
            }
        decoded = {
            hwaccel: {
                "ffmpeg_alone": by_ffmpeg(["-hwaccel", hwaccel, "-i", str(clip), "-f", "null", "-"], frames),
                "ours": by_ours(clip, folder / "ours.mp4", setting, frames, hwaccel=hwaccel),
            }
            for hwaccel in hwaccels
        }
    return {
        "ffmpeg": known.version,
        "hwaccels": sorted(known.hwaccels),
        "frames": frames,
        "encode_2x": encoded,
        "decode": decoded,
    }


def by_ffmpeg(arguments: Sequence[str], frames: int) -> dict[str, Any]:
    """One command, run once to warm up and once to be measured."""
    try:
        found = race(
            {
                "command": lambda: subprocess.run(
                    [*ffmpeg(), "-nostdin", *arguments], check=True, capture_output=True, text=True
                )
            },
            frames,
            1,
        )
    except subprocess.CalledProcessError as error:
        lines = str(error.stderr).strip().splitlines()
        return {"failed": lines[-1][:200] if lines else f"code {error.returncode}"}
    return {"fps": found["command"]["fps"]}


def by_ours(
    clip: Path, output: Path, setting: Setting, frames: int, *, codec: str = "auto", hwaccel: str | None = None
) -> dict[str, Any]:
    """espcn from file to file; also whether all frames came out, which a hardware encoder is not trusted with."""
    options = ClipOptions(
        encode=EncodeOptions(codec=codec), decode=DecodeOptions(hwaccel=hwaccel), overwrite=True
    )  # fmt: skip
    try:
        net = Upscaler("espcn", device=setting.device)
        found = race({"ours": lambda: upscaled(clip, output, net, options)}, frames, 1)
    except Exception as error:  # an encoder that this GPU lacks is a finding
        return {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
    return {"fps": found["ours"]["fps"], "all_frames": len(packet_times(output, "video")) == frames}
