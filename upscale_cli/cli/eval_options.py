"""How `upscale eval` makes LR of HR and compares, one group of options. Imports neither torch nor numpy."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from upscale_cli.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upscale_cli.evaluation.clip_meters import ClipMetric
    from upscale_cli.evaluation.reference import Protocol
    from upscale_cli.evaluation.rows import Metric

LR = "How LR is made"
RESULT = "Result"

METRICS: Final[dict[str, "Metric"]] = {
    "lpips": "lpips", "dists": "dists", "arniqa": "arniqa", "niqe": "niqe", "vmaf": "vmaf", "vmaf-neg": "vmaf_neg",
    "xpsnr": "xpsnr", "ssim-float": "ssim_float",
}  # fmt: skip
"""What --metrics takes for pictures."""

OF_CLIPS: Final[dict[str, "ClipMetric"]] = {
    "vmaf": "vmaf", "vmaf-neg": "vmaf_neg", "xpsnr": "xpsnr", "ssim-float": "ssim_float", "steadiness": "steadiness",
}  # fmt: skip
"""And for clips."""

WITHOUT_REFERENCE: Final = ("arniqa", "niqe")


@dataclass(frozen=True, slots=True)
class MetricsGroup:
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metrics", metavar="NAMES", show_default=False, rich_help_panel=RESULT,
                     help="Measure these too: lpips, dists, arniqa (extra: quality), niqe, vmaf, vmaf-neg, xpsnr, "
                     "ssim-float; with commas, or repeated. Clips: the last four and steadiness, which are the "
                     "default."),
    ] = None  # fmt: skip
    lpips: Annotated[bool, typer.Option("--lpips", rich_help_panel=RESULT, help="As --metrics lpips.")] = False
    reference: Annotated[
        Path | None,
        typer.Option("--reference", metavar="FILE", show_default=False, rich_help_panel=RESULT,
                     help="The input is a ready result: compare it with this clip or picture; no model runs."),
    ] = None  # fmt: skip
    frames: Annotated[
        int | None,
        typer.Option("--frames", metavar="N", min=1, show_default=False, rich_help_panel=RESULT,
                     help="Of clips, the first N frames. Default: all."),
    ] = None  # fmt: skip

    @property
    def names(self) -> list[str]:
        """The metrics asked for, each once.

        Raises:
            OptionError: one is not known.
        """
        given = [name.strip() for names in self.metrics or [] for name in names.lower().split(",")]
        names = list(dict.fromkeys([*(["lpips"] if self.lpips else []), *filter(None, given)]))
        for name in names:
            if name not in METRICS and name not in OF_CLIPS:
                known = ", ".join(METRICS | OF_CLIPS)
                raise OptionError(f"--metrics {name} is not known. Choose from {known}.")
        return names

    def of_pictures(self) -> "list[Metric]":
        """Those asked for.

        Raises:
            OptionError: one is not for pictures.
        """
        for name in self.names:
            if name not in METRICS:
                raise OptionError(f"--metrics {name} is for clips. Of pictures, choose from {', '.join(METRICS)}.")
        return [METRICS[name] for name in self.names]

    def of_clips(self) -> "list[ClipMetric]":
        """Those asked for; none where it was left open.

        Raises:
            OptionError: one is not for clips.
        """
        for name in self.names:
            if name not in OF_CLIPS:
                raise OptionError(f"--metrics {name} is for pictures. Of clips, choose from {', '.join(OF_CLIPS)}.")
        return [OF_CLIPS[name] for name in self.names]


@dataclass(frozen=True, slots=True)
class LrGroup:
    lr_kernel: Annotated[
        Literal["bicubic", "bicubic-aliased", "bicubic-corner", "bilinear", "area", "lanczos", "every"],
        typer.Option(
            "--lr-kernel",
            metavar="NAME",
            rich_help_panel=LR,
            help="bicubic: MATLAB's, the field's; bicubic-aliased: OpenCV's INTER_CUBIC; bilinear, area, "
            "lanczos; every: each scale-th pixel; bicubic-corner: bicubic on the places of those.",
        ),
    ] = "bicubic"
    lr_blur: Annotated[
        str | None,
        typer.Option(
            "--lr-blur",
            metavar="KERNEL",
            show_default=False,
            rich_help_panel=LR,
            help="Blur HR before it is shrunk: gauss:SIGMA, aniso:SX,SY,ANGLE, motion:LENGTH,ANGLE, a picture or .npy. "
            "Default: not at all.",
        ),
    ] = None
    lr_noise: Annotated[
        float,
        typer.Option(
            "--lr-noise",
            metavar="SIGMA",
            min=0,
            max=255,
            rich_help_panel=LR,
            help="Gaussian noise added to LR, in levels of 255; the same in every run.",
        ),
    ] = 0.0
    lr_jpeg: Annotated[
        int | None,
        typer.Option(
            "--lr-jpeg",
            metavar="QUALITY",
            min=1,
            max=100,
            show_default=False,
            rich_help_panel=LR,
            help="Compress LR as JPEG of that quality, 1 to 100. Default: not at all.",
        ),
    ] = None
    lr_float: Annotated[
        bool,
        typer.Option(
            "--lr-float",
            rich_help_panel=LR,
            help="Round nothing to 8 bits, neither LR nor SR nor the luma of HR, as VDSR was measured.",
        ),
    ] = False
    channels: Annotated[
        Literal["rgb", "luma", "luma-full"],
        typer.Option(
            "--channels",
            rich_help_panel=LR,
            help="rgb: as pictures are; luma: theirs alone, 16..235, rounded, as SRCNN, VDSR and ESPCN were "
            "measured; luma-full: the same in 0..255.",
        ),
    ] = "rgb"
    border: Annotated[
        int | None,
        typer.Option("--border", min=0, show_default=False, rich_help_panel=LR,
                     help="HR pixels cut from each side before measuring. Default: as many as the scale."),
    ] = None  # fmt: skip

    def check(self) -> None:
        """Refuses what excludes each other.

        Raises:
            OptionError: so it does.
        """
        if self.lr_float and self.lr_jpeg is not None:
            raise OptionError("--lr-float and --lr-jpeg exclude each other: JPEG has 8 bits. Leave one of them out.")

    @property
    def making(self) -> list[str]:
        """The options given that are about LR made of HR."""
        given = {
            "--lr-kernel": self.lr_kernel != "bicubic", "--lr-blur": self.lr_blur is not None,
            "--lr-noise": self.lr_noise > 0, "--lr-jpeg": self.lr_jpeg is not None, "--lr-float": self.lr_float,
        }  # fmt: skip
        return [name for name, is_given in given.items() if is_given]

    @property
    def comparing(self) -> list[str]:
        """The options given that are about comparing."""
        given = {"--channels": self.channels != "rgb", "--border": self.border is not None}
        return [name for name, is_given in given.items() if is_given]

    def protocol(self, extra: "Sequence[Metric]") -> "Protocol":
        """What they stand for, with what else is to be measured.

        Raises:
            OptionError: the kernel is not understood.
        """
        from upscale_cli.evaluation.reference import Protocol
        from upscale_cli.inference.blur_kernels import parse_kernel

        return Protocol(
            channels=self.channels, shrinking=self.lr_kernel, noise=self.lr_noise, exact=self.lr_float,
            blur=None if self.lr_blur is None else parse_kernel(self.lr_blur, "blur"),
            jpeg=self.lr_jpeg, border=self.border, metrics=tuple(extra),
        )  # fmt: skip

    def described(self, *, lr_is_given: bool) -> str:
        """How the figures came about, for who reads them."""
        colours = {
            "rgb": "luma of BT.601, 16..235, gray as it is", "luma": "luma alone was upscaled, rounded",
            "luma-full": "luma alone of 0..255 was upscaled, rounded",
        }[self.channels]  # fmt: skip
        if self.lr_float:
            colours = colours.removesuffix(", rounded")
        blur = "" if self.lr_blur is None else f"{self.lr_blur} and "
        noise = f" and noise {self.lr_noise:g}" if self.lr_noise else ""
        jpeg = f" and JPEG {self.lr_jpeg}" if self.lr_jpeg is not None else ""
        made = "LR as given" if lr_is_given else f"LR by {blur}{self.lr_kernel}{noise}{jpeg}"
        if self.lr_float:
            made += ", nothing rounded"
        border = "the scale" if self.border is None else f"{self.border} pixels"
        speed = "seconds and SR megapixels of upscaling alone"
        return f"PSNR in dB, {colours}; {made}; border cut by {border}; {speed}"
