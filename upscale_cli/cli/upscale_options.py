"""The main verb's options, one group for each panel of the help, and the core's options that they stand for.

Imports neither torch nor numpy.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upscale_cli._version import __version__
from upscale_cli.cli.option_values import band_numbers, conditions, gpus, memory_bound
from upscale_cli.cli.options import (
    Denoise,
    Device,
    Engine,
    Halo,
    Json,
    Overlap,
    Precision,
    Quiet,
    Strength,
    Tile,
    Tta,
    complete_format,
    complete_model,
    in_compute,
    in_folders,
    in_messages,
    in_model,
    in_output,
    in_size,
)
from upscale_cli.errors import OptionError
from upscale_cli.inference.options import Alpha, UpscalerOptions
from upscale_cli.media.image.formats import MAX_PIXELS
from upscale_cli.models.input_spec import Sampling

if TYPE_CHECKING:
    from upscale_cli.batch.options import BatchOptions
    from upscale_cli.inference.sizing import Target
    from upscale_cli.jobs.job import PhotoOptions


def _show_help(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        command: Any = ctx.command
        command.print_all(ctx)
        raise typer.Exit


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"upscale-cli {__version__}")
        raise typer.Exit


Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT", show_default=False,
        help="Photos, clips, folders, and lists of them (.txt), also as s3:// and gs://; - reads a photo or a clip "
        "from standard input.",
    ),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class OutputGroup:
    output: Annotated[
        str | None,
        in_output(
            "-o",
            "--output",
            show_default=False,
            help="File, folder (existing, or with a trailing /), - for standard output, or a template of {stem} {ext} "
            "{scale} {width} {height} {model} {name} {folder}. Default: {stem}_{scale}x{ext} next to the input.",
        ),
    ] = None
    format: Annotated[
        str | None,
        in_output(
            "-f",
            "--format",
            show_default=False,
            autocompletion=complete_format,
            help="jpg, png, webp, tiff, avif, mkv, mp4, webm, ... Default: that of the output name, or of the input.",
        ),
    ] = None
    quality: Annotated[
        int | None,
        in_output(
            "--quality",
            min=0,
            max=100,
            show_default=False,
            help="0 to 100, for lossy formats. Default: JPEG 95 (4:4:4); others by format.",
        ),
    ] = None
    pyramid: Annotated[bool, in_output("--pyramid", help="Add smaller versions to a TIFF, for viewers.")] = False
    bands: Annotated[
        str | None,
        in_output("--bands", metavar="N,N", show_default=False,
                  help="Bands of a TIFF to take, from 1; three make a colour picture. Default: all."),
    ] = None  # fmt: skip
    overwrite: Annotated[bool, in_output("--overwrite", help="Replace outputs that exist; never inputs.")] = False
    yes: Annotated[
        bool,
        in_output(
            "--yes",
            help="Begin a photo that will take more than 8 hours, or be of more than 20 gigapixels; a clip that will "
            "take more than 48 hours.",
        ),
    ] = False
    compare: Annotated[
        bool,
        in_output(
            "--compare",
            help="Also write a page (of a clip: a clip) that compares before and after: {stem}_compare.html.",
        ),
    ] = False  # fmt: skip


@dataclass(frozen=True, slots=True)
class SizeGroup:
    scale: Annotated[
        float | None,
        in_size(
            "-s",
            "--scale",
            show_default=False,
            help="Output pixels per input pixel, above 0. Default: 4 for photos, 2 for clips, or the model's own.",
        ),
    ] = None
    size: Annotated[
        str | None,
        in_size(
            "--size",
            metavar="WxH|WxH!|W|xH",
            show_default=False,
            help="Pixels to fit inside (W: width, xH: height); ! stretches.",
        ),
    ] = None
    long_side: Annotated[int | None, in_size("--long-side", show_default=False, help="Pixels of the longer side.")] = (
        None
    )
    megapixels: Annotated[float | None, in_size("--megapixels", show_default=False, help="Million pixels in all.")] = (
        None
    )

    only_below: Annotated[
        int | None,
        in_size("--only-below", metavar="PIXELS", min=1, show_default=False,
                help="Leave alone what has a shorter side of that many pixels or more."),
    ] = None  # fmt: skip

    def target(self) -> "Target | None":
        """The one size option that was given; None for the default."""
        from upscale_cli.inference.sizing import Target, parse_size

        if [self.scale, self.size, self.long_side, self.megapixels].count(None) < 3:
            raise OptionError("--scale, --size, --long-side and --megapixels exclude each other. Give one of them.")
        if self.size is not None:
            return parse_size(self.size)
        if (self.scale, self.long_side, self.megapixels) == (None, None, None):
            return None
        return Target(scale=self.scale, long_side=self.long_side, megapixels=self.megapixels)


@dataclass(frozen=True, slots=True)
class ModelGroup:
    model: Annotated[
        list[str] | None,
        in_model(
            "-m",
            "-n",
            "--model",
            show_default=False,
            autocompletion=complete_model,
            help="A name (`upscale models list`), omdb:ID of OpenModelDB, or a checkpoint: its path or stem. A+B: one "
            "after the other; A:0.7,B:0.3: their weights mixed. Repeat it for one output per model. "
            "Default: what suits the file: how it was compressed, its noise, photograph or drawing.",
        ),
    ] = None
    denoise: Denoise = 1.0
    strength: Strength = None
    tta: Tta = False
    alpha: Annotated[Alpha, in_model("--alpha", help="How transparency is upscaled.")] = "net"
    blend: Annotated[
        float, in_model("--blend", help="How much of the net counts, 0 to 1; the rest is the input, enlarged.")
    ] = 1.0  # fmt: skip
    match_colour: Annotated[
        bool, in_model("--match-colour", help="Pull colours and brightness back to the input's.")
    ] = False  # fmt: skip
    mask: Annotated[
        str | None,
        in_model("--mask", metavar="PICTURE", show_default=False,
                 help="Where this is black the input is enlarged, where it is white the net counts."),
    ] = None  # fmt: skip
    condition: Annotated[
        list[str] | None,
        in_model("--condition", metavar="NAME=VALUE", show_default=False,
                 help="What a model needs besides the picture: a number, or a file; repeatable. See `models info`."),
    ] = None  # fmt: skip
    reference: Annotated[
        str | None,
        in_model("--reference", metavar="PICTURE", show_default=False,
                 help="A sharper picture of the same scene, for crossnet and srntt, which copy from it."),
    ] = None  # fmt: skip
    kernel: Annotated[
        str | None,
        in_model("--kernel", metavar="KIND|FILE|auto", show_default=False,
                 help="What blurred the picture, in output pixels, for srmd, udvd, usrnet: gauss:SIGMA, "
                 "aniso:SX,SY,ANGLE, motion:LENGTH,ANGLE, a picture or .npy; auto finds it, kernelgan\\[:MINUTES] "
                 "trains on the picture."),
    ] = None  # fmt: skip
    noise: Annotated[
        str | None,
        in_model("--noise", metavar="SIGMA|auto", show_default=False,
                 help="Standard deviation of the noise, 0 to 255, for nets that know. Default: 0."),
    ] = None  # fmt: skip
    kernel_sampling: Annotated[
        Sampling,
        in_model("--kernel-sampling", help="How the picture was shrunk after the blur; every: every n-th pixel."),
    ] = "bicubic"
    wrap: Annotated[bool, in_model("--wrap", help="Tileable texture: edges continue on the other side.")] = False

    @property
    def models(self) -> list[str | None]:
        """As given; None for what suits each file."""
        return [*self.model] if self.model else [None]


@dataclass(frozen=True, slots=True)
class FolderGroup:
    recursive: Annotated[bool, in_folders("-r", "--recursive", help="The folders in a folder, too.")] = False
    include: Annotated[
        list[str] | None,
        in_folders(
            "--include",
            metavar="GLOB",
            show_default=False,
            help="Take only what matches, such as '*.jpg' or '2024/**'; repeatable.",
        ),
    ] = None
    exclude: Annotated[
        list[str] | None,
        in_folders(
            "--exclude", metavar="GLOB", show_default=False, help="Leave out files and folders that match; repeatable."
        ),
    ] = None
    from_list: Annotated[
        list[str] | None,
        in_folders(
            "--from-list",
            metavar="FILE|-",
            show_default=False,
            help="Take the paths in a file or on standard input, one per line or NUL-separated; repeatable.",
        ),
    ] = None
    skip_existing: Annotated[
        bool,
        in_folders(
            "--skip-existing",
            help="Skip what is done, unless input, model or options have changed. Default for folders and lists.",
        ),
    ] = False
    no_skip_existing: Annotated[bool, in_folders("--no-skip-existing", help="Refuse what exists instead.")] = False
    dry_run: Annotated[bool, in_folders("--dry-run", help="Show what would be done; do nothing.")] = False
    fail_fast: Annotated[bool, in_folders("--fail-fast", help="Stop at the first file that fails.")] = False
    watch: Annotated[bool, in_folders("--watch", help="Go on with files that come into the folder, until Ctrl-C.")] = (
        False
    )
    jobs: Annotated[
        int | None,
        in_folders(
            "-j",
            "--jobs",
            metavar="N",
            min=1,
            max=64,
            show_default=False,
            help="Pictures in progress at a time. Default: by the machine.",
        ),
    ] = None
    ray: Annotated[
        str | None,
        in_folders("--ray", metavar="auto|HOST:PORT", show_default=False,
                   help="Let the workers of a Ray cluster do it; files have the same paths there."),
    ] = None  # fmt: skip

    @property
    def skips(self) -> bool | None:
        """As `BatchOptions.skip_existing`.

        Raises:
            OptionError: both are given.
        """
        if self.skip_existing and self.no_skip_existing:
            raise OptionError("--skip-existing and --no-skip-existing exclude each other. Give one of them.")
        return True if self.skip_existing else False if self.no_skip_existing else None

    def batch_options(self, *, overwrite: bool, is_bounded: bool) -> "BatchOptions":
        """As the core takes them."""
        from upscale_cli.batch.options import BatchOptions, jobs_within

        return BatchOptions(
            recursive=self.recursive, include=tuple(self.include or ()), exclude=tuple(self.exclude or ()),
            skip_existing=self.skips, overwrite=overwrite, dry_run=self.dry_run, fail_fast=self.fail_fast,
            watch=self.watch, jobs=self.jobs if self.ray is not None else jobs_within(self.jobs, is_bounded=is_bounded),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ComputeGroup:
    tile: Tile = 0
    overlap: Overlap = None
    halo: Halo = None
    device: Device = "auto"
    gpu: Annotated[
        str | None,
        in_compute("-g", show_default=False, metavar="N|N,N|all", help="Short for --device cuda:N; -1: cpu."),
    ] = None
    engine: Engine = "auto"
    precision: Precision = "auto"
    max_pixels: Annotated[int, in_compute("--max-pixels", min=1, help="Largest input that is trusted.")] = MAX_PIXELS
    max_memory: Annotated[
        str | None,
        in_compute(
            "--max-memory",
            metavar="BYTES",
            show_default=False,
            help="Memory the process may take, such as 2G or 1500M. A photo that needs more goes through in bands. "
            "Default: what is free.",
        ),
    ] = None
    salvage: Annotated[bool, in_compute("--salvage", help="Take what decodes of a damaged file.")] = False

    @property
    def devices(self) -> str:
        """As `UpscalerOptions.device`.

        Raises:
            OptionError: it is given twice.
        """
        if self.gpu is None:
            return self.device
        if self.device != "auto":
            raise OptionError(f"-g {self.gpu} and --device {self.device} exclude each other. Give one of them.")
        return gpus(self.gpu)

    @property
    def memory(self) -> int | None:
        """Bytes."""
        return memory_bound(self.max_memory)


@dataclass(frozen=True, slots=True)
class MessageGroup:
    as_json: Json = False
    quiet: Quiet = False
    verbose: Annotated[bool, in_messages("-v", "--verbose", help="Show the causes of errors.")] = False
    version: Annotated[
        bool, in_messages("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False
    help_all: Annotated[
        bool, in_messages("--help-all", is_eager=True, callback=_show_help, help="Show every option and exit.")
    ] = False


def upscaler_options(model: ModelGroup, compute: ComputeGroup) -> UpscalerOptions:
    """What decides about pixels, and what computes them."""
    return UpscalerOptions(
        device=compute.devices, engine=compute.engine, precision=compute.precision, tile=compute.tile,
        overlap=compute.overlap, halo=compute.halo,
        denoise=model.denoise, strength=model.strength, tta=model.tta, alpha=model.alpha, wrap=model.wrap,
        blend=model.blend, match_colour=model.match_colour, mask=model.mask,
        reference=model.reference,
        conditions=conditions(model.condition or []), kernel=model.kernel, noise=model.noise,
        kernel_sampling=model.kernel_sampling,
    )  # fmt: skip


def photo_options(
    output: OutputGroup, compute: ComputeGroup, *, resume: bool, only_below: int | None
) -> "PhotoOptions":
    """How photos are read and written."""
    from upscale_cli.jobs.job import PhotoOptions

    return PhotoOptions(
        quality=output.quality, overwrite=output.overwrite, max_pixels=compute.max_pixels, salvage=compute.salvage,
        max_memory=compute.memory, resume=resume, pyramid=output.pyramid,
        bands=band_numbers(output.bands), yes=output.yes, only_below=only_below,
    )  # fmt: skip
