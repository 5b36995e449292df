"""VMAF, VMAF-NEG, XPSNR and SSIM of moving pictures, by filters of ffmpeg: libvmaf and xpsnr. All of luma.

luma of SR and of HR, pair by pair  ->  NUT, two streams  ->  ffmpeg: libvmaf, xpsnr  ->  a log each  ->  values

Both streams carry the same pixel format and the same timestamps, so ffmpeg converts nothing and pairs what we have
paired.
"""

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import FFmpegError, OptionError
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference.cgroups import cores
from upscale_cli.media.video.ffmpeg import nut
from upscale_cli.media.video.ffmpeg.binary import FFmpeg, filters_of, find_ffmpeg
from upscale_cli.media.video.ffmpeg.closing import Closing
from upscale_cli.media.video.ffmpeg.process import LOG_ARGUMENTS, Child
from upscale_cli.media.video.ffmpeg.raw_stream import raw_stream
from upscale_cli.messages import option

FilterMetric = Literal["vmaf", "vmaf_neg", "xpsnr", "ssim_float"]
FILTER_METRICS: Final[tuple[FilterMetric, ...]] = get_args(FilterMetric)

LEAST_SIDE: Final = 45
"""Pixels. Below 45 x 45 the blocks of xpsnr have no size, by which it divides; below 17 libvmaf writes no log, and does
not say why."""

DEPTHS: Final[dict[int, str]] = {8: "yuv420p", 10: "yuv420p10le", 12: "yuv420p12le"}
"""Bits of luma, and the format that carries it; chroma is gray. (libvmaf takes no gray format, and xpsnr overflows with
16 bits.)"""

_FILTERS: Final[dict[FilterMetric, str]] = {
    "vmaf": "libvmaf", "vmaf_neg": "libvmaf", "xpsnr": "xpsnr", "ssim_float": "libvmaf",
}  # fmt: skip
_MODELS: Final[dict[str, str]] = {"vmaf": "vmaf_v0.6.1", "vmaf_neg": "vmaf_v0.6.1neg"}
_VMAF_LOG, _XPSNR_LOG = "vmaf.json", "xpsnr.txt"


def missing_filters(metrics: Iterable[FilterMetric], ffmpeg: FFmpeg) -> list[FilterMetric]:
    """Those of the metrics that this ffmpeg was built without."""
    there = filters_of(ffmpeg.path)
    return [metric for metric in metrics if _FILTERS[metric] not in there]


def check_filters(metrics: Iterable[FilterMetric], ffmpeg: FFmpeg) -> None:
    """Refuses a metric that this ffmpeg lacks.

    Raises:
        OptionError: so it does.
    """
    for metric in missing_filters(metrics, ffmpeg):
        raise OptionError(
            f"{option('metrics', metric.replace('_', '-'))}: ffmpeg {ffmpeg.version} has no filter {_FILTERS[metric]}. "
            "Unset UPSCALE_FFMPEG for the one that comes with imageio-ffmpeg, or leave the metric out."
        )


class FFmpegMeter(Closing):
    """Compares SR with HR, frame by frame; owner of the ffmpeg process that does it.

    - vmaf, vmaf_neg: models vmaf_v0.6.1 and vmaf_v0.6.1neg, which counts no gain by mere sharpening; 0 to 100. Li et
      al., "Toward a practical perceptual video quality metric", Netflix 2016. They were made for SDR video.
    - xpsnr: in dB; errors weigh less where HR has texture or motion. Helmrich et al., "XPSNR: A low-complexity
      extension of the perceptually weighted peak signal-to-noise ratio", ICASSP 2020. HR is the filter's first input,
      for it takes the weights from that one. It takes the very first frame to come after a black one.
    - ssim_float: of the picture in its own size, as `metrics.ssim`.

    Args:
        metrics: at least one.
        height, width: in pixels, of both.
        bits: of a sample: one of `DEPTHS`.
        rate: frames per second; from 32 on XPSNR looks at two frames before.

    Raises:
        FFmpegError: it fails.
    """

    def __init__(
        self,
        metrics: Sequence[FilterMetric],
        height: int,
        width: int,
        *,
        bits: int = 8,
        rate: Fraction = Fraction(25),
        ffmpeg: FFmpeg | None = None,
    ) -> None:
        assert metrics, "nothing to measure"
        assert min(height, width) >= LEAST_SIDE, f"{width} x {height} is too small"
        self._metrics, self._format = tuple(metrics), FORMATS[DEPTHS[bits]]
        self._shape, self.frames = (height, width), 0
        chroma = self._format.frame_samples(width, height) - height * width
        self._chroma = np.full(chroma, 1 << (bits - 1), self._format.dtype).tobytes()
        stream = raw_stream(self._format, width, height, 1 / rate, rate)
        self._headers = nut.headers([stream, stream])
        self._folder = tempfile.TemporaryDirectory(prefix="upscale-")
        try:
            self._child = Child(
                _command(metrics, ffmpeg or find_ffmpeg()), stdin=True, folder=self._folder.name
            )  # names of logs without a path need no escaping, whatever the system and the user's name
        except BaseException:
            self._folder.cleanup()
            raise

    def add(self, sr: NDArray[Any], hr: NDArray[Any]) -> None:
        """The next pair of frames: (height, width) luma, of so many bits as was said."""
        for number, luma in enumerate((sr, hr)):
            assert luma.shape == self._shape, f"{luma.shape} is not {self._shape}"
            samples = np.ascontiguousarray(luma, self._format.dtype)
            header = nut.frame_header(number, self.frames, samples.nbytes + len(self._chroma))
            self._write(self._headers + header, samples, self._chroma)
            self._headers = b""
        self.frames += 1

    def values(self) -> dict[FilterMetric, list[float]]:
        """Of each frame, by metric; XPSNR is inf for equal ones. There are no more frames to come.

        Raises:
            FFmpegError: it has failed.
        """
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        if self._child.wait() != 0:
            raise self._failure()
        found: dict[FilterMetric, list[float]] = {}
        for metric in self._metrics:
            found[metric] = _xpsnr(self._log(_XPSNR_LOG)) if metric == "xpsnr" else self._of_libvmaf(metric)
            if len(found[metric]) != self.frames:
                raise self._failure()
        return found

    def close(self) -> None:
        self._child.kill()
        self._folder.cleanup()

    def _of_libvmaf(self, metric: FilterMetric) -> list[float]:
        key = "float_ssim" if metric == "ssim_float" else metric
        frames = json.loads(self._log(_VMAF_LOG))["frames"]
        return [float(frame["metrics"][key]) for frame in frames]

    def _log(self, name: str) -> str:
        try:
            return (Path(self._folder.name) / name).read_text(encoding="utf-8")
        except OSError as error:
            raise self._failure() from error

    def _write(self, *parts: Any) -> None:
        try:
            for part in parts:
                self._child.stdin.write(part)
        except (OSError, ValueError) as error:
            raise self._failure() from error

    def _failure(self) -> FFmpegError:
        self._child.wait(5.0)
        height, width = self._shape
        reason = self._child.reason() or "no reason given"
        return FFmpegError(
            f'ffmpeg could not measure frames of {width} x {height} ("{reason}"). '
            "Name another ffmpeg with UPSCALE_FFMPEG, or leave these metrics out."
        )


def _command(metrics: Sequence[FilterMetric], ffmpeg: FFmpeg) -> list[str]:
    """Input 0 is SR, 1 is HR. libvmaf wants them in this order, xpsnr in the other."""
    filters = {_FILTERS[metric] for metric in metrics}
    chains, outputs = [], []
    if "libvmaf" in filters:
        models = "|".join(rf"version={_MODELS[name]}\:name={name}" for name in metrics if name in _MODELS)
        options = [f"log_fmt=json:log_path={_VMAF_LOG}:n_threads={cores()}"]
        options += [f"model='{models}'"] if models else []
        options += [r"feature='name=float_ssim\:scale=1'"] if "ssim_float" in metrics else []
        chains.append(f"[sr0][hr0]libvmaf={':'.join(options)}[vmaf]")
        outputs.append("[vmaf]")
    if "xpsnr" in filters:
        chains.append(f"[hr{len(outputs)}][sr{len(outputs)}]xpsnr=stats_file={_XPSNR_LOG}[xpsnr]")
        outputs.append("[xpsnr]")
    count = len(outputs)
    for number, side in enumerate(("sr", "hr")):
        chains.append(f"[0:v:{number}]split={count}" + "".join(f"[{side}{place}]" for place in range(count)))
    maps = [argument for name in outputs for argument in ("-map", name)]
    path = os.path.abspath(ffmpeg.path) if os.path.exists(ffmpeg.path) else ffmpeg.path
    return [
        path, *LOG_ARGUMENTS, "-y", "-f", "nut", "-i", "pipe:0", "-filter_complex", ";".join(chains), *maps,
        "-fps_mode", "passthrough", "-f", "null", "-",
    ]  # fmt: skip


def _xpsnr(log: str) -> list[float]:
    """Luma's, of each frame; the last line is the mean."""
    return [float(value) for value in re.findall(r"^n: *\d+ +XPSNR y: +(\S+)", log, re.MULTILINE)]


def of_picture(
    sr: NDArray[np.uint8], hr: NDArray[np.uint8], metrics: Sequence[FilterMetric]
) -> dict[FilterMetric, float]:
    """Of one picture: (height, width) luma of 8 bits.

    It is a clip that stands still: it is shown twice, and the second time counts, for XPSNR would hold the first
    against black.
    """
    with FFmpegMeter(metrics, *hr.shape) as meter:
        for _ in range(2):
            meter.add(sr, hr)
        return {metric: values[-1] for metric, values in meter.values().items()}
