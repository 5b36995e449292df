"""The main verb: `upscale INPUT...`; the input's kind decides, photo or clip."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from upscale_cli._version import __version__
from upscale_cli.cli.batch_options import ManyOptions
from upscale_cli.cli.options import (
    COMPUTE,
    FOLDERS,
    MESSAGES,
    MODEL,
    OUTPUT,
    SIZE,
    VIDEO,
    Device,
    Json,
    Overlap,
    Quiet,
    Tile,
    complete_format,
    complete_model,
)
from upscale_cli.cli.verb_compare import show as show_compared
from upscale_cli.errors import OptionError
from upscale_cli.media.image.formats import MAX_PIXELS

if TYPE_CHECKING:
    from upscale_cli.inference.sizing import Target
    from upscale_cli.jobs.inputs import Input
    from upscale_cli.jobs.naming import Naming
    from upscale_cli.jobs.video_job import ClipOptions


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"upscale-cli {__version__}")
        raise typer.Exit


def upscale(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT", show_default=False,
            help="Photos, clips, folders, and lists of them (.txt), also as s3:// and gs://; - reads a photo or a clip "
            "from standard input.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", show_default=False, rich_help_panel=OUTPUT,
            help="File, folder (existing, or with a trailing /), - for standard output, or a template of {stem} {ext} "
            "{scale} {width} {height} {model} {name} {folder}. Default: {stem}_{scale}x{ext} beside the input.",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            "-s", "--scale", show_default=False, rich_help_panel=SIZE,
            help="SR pixels per LR pixel, any number above 0. Default: 4 for photos, 2 for clips, or the model's own.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size", metavar="WxH|WxH!|W|xH", show_default=False, rich_help_panel=SIZE,
            help="Pixels to fit inside (W: width, xH: height); ! stretches.",
        ),
    ] = None,
    long_side: Annotated[
        int | None,
        typer.Option("--long-side", show_default=False, rich_help_panel=SIZE, help="Pixels of the longer side."),
    ] = None,
    megapixels: Annotated[
        float | None,
        typer.Option("--megapixels", show_default=False, rich_help_panel=SIZE, help="Million pixels in all."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m", "-n", "--model", show_default=False, rich_help_panel=MODEL, autocompletion=complete_model,
            help="A name (see `upscale models list`) or a checkpoint file. Repeat it for one output per model. "
            "Default: the best on this machine for photos; for clips espcn-robust, or espcn where hardly compressed.",
        ),
    ] = None,
    denoise: Annotated[
        float,
        typer.Option(
            "--denoise", rich_help_panel=MODEL,
            help="0 keeps grain and noise, 1 removes them (realesr-general).",
        ),
    ] = 1.0,
    tta: Annotated[
        bool, typer.Option("-x", "--tta", rich_help_panel=MODEL, help="Average over 8 flips and rotations: 8x slower.")
    ] = False,
    alpha: Annotated[
        Literal["net", "lanczos", "drop"],
        typer.Option("--alpha", rich_help_panel=MODEL, help="How transparency is upscaled."),
    ] = "net",
    condition: Annotated[
        list[str] | None,
        typer.Option("--condition", metavar="NAME=VALUE", show_default=False, rich_help_panel=MODEL,
                     help="What a net wants beside the picture: a number, or a file; repeatable. See `models info`."),
    ] = None,
    wrap: Annotated[
        bool, typer.Option("--wrap", rich_help_panel=MODEL, help="Tileable texture: edges continue on the other side.")
    ] = False,
    format: Annotated[
        str | None,
        typer.Option(
            "-f", "--format", show_default=False, rich_help_panel=OUTPUT, autocompletion=complete_format,
            help="jpg, png, webp, tiff, avif, mkv, mp4, webm, ... Default: that of the output name, or of the input.",
        ),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(
            "--quality", min=0, max=100, show_default=False, rich_help_panel=OUTPUT,
            help="0 to 100, for lossy formats. Default: JPEG 95 (4:4:4); others by format.",
        ),
    ] = None,
    pyramid: Annotated[
        bool, typer.Option("--pyramid", rich_help_panel=OUTPUT, help="Add smaller versions to a TIFF, for viewers.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", rich_help_panel=OUTPUT, help="Replace outputs that exist; never inputs.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", rich_help_panel=OUTPUT,
            help="Also write a page (of a clip: a clip) that compares before and after: {stem}_compare.html.",
        ),
    ] = False,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", rich_help_panel=FOLDERS, help="The folders in a folder, too.")
    ] = False,
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="GLOB", show_default=False, rich_help_panel=FOLDERS,
                     help="Take only what matches, such as '*.jpg' or '2024/**'; repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="GLOB", show_default=False, rich_help_panel=FOLDERS,
                     help="Leave out files and folders that match; repeatable."),
    ] = None,
    from_list: Annotated[
        list[str] | None,
        typer.Option("--from-list", metavar="FILE|-", show_default=False, rich_help_panel=FOLDERS,
                     help="Take the paths in a file or on standard input, one per line or NUL-separated; repeatable."),
    ] = None,
    skip_existing: Annotated[
        bool | None,
        typer.Option("--skip-existing/--no-skip-existing", show_default=False, rich_help_panel=FOLDERS,
                     help="Pass over what is done, unless input, model or options have changed. Default for folders "
                     "and lists."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", rich_help_panel=FOLDERS, help="Show what would be done; do nothing.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", rich_help_panel=FOLDERS, help="Stop at the first file that fails.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", rich_help_panel=FOLDERS,
                           help="Go on with whatever comes into the folder, until Ctrl-C.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", metavar="N", min=1, max=64, show_default=False,
                                 rich_help_panel=FOLDERS, help="Pictures in hand at a time. Default: by the machine.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="auto|HOST:PORT", show_default=False, rich_help_panel=FOLDERS,
                                 help="Let the workers of a Ray cluster do it; files have the same paths there.")
    ] = None,
    tile: Tile = 0,
    overlap: Overlap = None,
    device: Device = "auto",
    gpu: Annotated[
        str | None,
        typer.Option(
            "-g", show_default=False, metavar="N|N,N|all", rich_help_panel=COMPUTE,
            help="Short for --device cuda:N; -1: cpu.",
        ),
    ] = None,
    precision: Annotated[
        Literal["auto", "fp16", "bf16", "fp32"],
        typer.Option(
            "--precision", rich_help_panel=COMPUTE,
            help="auto: fp16 on CUDA, fp32 for pictures of more than 8 bits.",
        ),
    ] = "auto",
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", min=1, rich_help_panel=COMPUTE, help="Largest input that is trusted.")
    ] = MAX_PIXELS,
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory", metavar="BYTES", show_default=False, rich_help_panel=COMPUTE,
            help="Memory the process may take, such as 2G or 1500M. A photo that needs more goes through in bands. "
            "Default: what is free.",
        ),
    ] = None,
    salvage: Annotated[
        bool, typer.Option("--salvage", rich_help_panel=COMPUTE, help="Take what decodes of a damaged file.")
    ] = False,
    codec: Annotated[
        str,
        typer.Option(
            "--codec", metavar="NAME", rich_help_panel=VIDEO,
            help="libx264, libx265, libsvtav1, libvpx-vp9, prores_ks, ffv1, or a hardware encoder such as hevc_nvenc. "
            "auto: libx264, libx265 for 10 bits and HDR, libvpx-vp9 for WebM.",
        ),
    ] = "auto",
    crf: Annotated[
        float | None,
        typer.Option("--crf", metavar="NUMBER", show_default=False, rich_help_panel=VIDEO,
                     help="Quality, lower is better. Default: 18, or what comes near it in the codec."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME", show_default=False, rich_help_panel=VIDEO,
                     help="The encoder's speed, such as ultrafast or slow."),
    ] = None,
    pix_fmt: Annotated[
        str | None,
        typer.Option("--pix-fmt", metavar="NAME", show_default=False, rich_help_panel=VIDEO,
                     help="Pixel format to encode, such as yuv420p. Default: the clip's."),
    ] = None,
    encoder_arg: Annotated[
        list[str] | None,
        typer.Option("--encoder-arg", metavar="K=V", show_default=False, rich_help_panel=VIDEO,
                     help="Anything else for the encoder; repeatable."),
    ] = None,
    hwaccel: Annotated[
        str | None,
        typer.Option("--hwaccel", metavar="NAME", show_default=False, rich_help_panel=VIDEO,
                     help="Decode in hardware: cuda, qsv, vaapi, videotoolbox, ... or auto."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="TIME", show_default=False, rich_help_panel=VIDEO,
                                 help="Take frames from this time on: seconds or [H:]M:S.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", metavar="TIME", show_default=False, rich_help_panel=VIDEO,
                                 help="Take frames before this time.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", metavar="N", min=1, show_default=False, rich_help_panel=VIDEO,
                                 help="Take at most N frames.")
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option("--fps", metavar="RATE", show_default=False, rich_help_panel=VIDEO,
                     help="Frame rate of raw streams, which have no timestamps: 25, 24000/1001."),
    ] = None,
    video_stream: Annotated[
        str | None,
        typer.Option("--video-stream", metavar="N|all", show_default=False, rich_help_panel=VIDEO,
                     help="Which video stream to upscale. Default: the one that players show."),
    ] = None,
    deinterlace: Annotated[
        Literal["auto", "off", "frame", "field"],
        typer.Option("--deinterlace", metavar="HOW", rich_help_panel=VIDEO,
                     help="auto: where a stream is flagged interlaced; off; frame: always, one frame for one; "
                     "field: always, two frames of each."),
    ] = "auto",
    no_dedup: Annotated[
        bool,
        typer.Option("--no-dedup", rich_help_panel=VIDEO, help="Compute a frame again that equals the one before."),
    ] = False,
    realtime: Annotated[
        str | None,
        typer.Option("--realtime", metavar="[=strict]", show_default=False, rich_help_panel=VIDEO,
                     help="Keep up with the clock: fastest settings. =strict: bicubic for frames that come too late."),
    ] = None,
    play: Annotated[
        bool, typer.Option("--play", rich_help_panel=VIDEO, help="Watch it, in ffplay or mpv.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", rich_help_panel=VIDEO, help="INPUT is an address or a camera: rtsp, udp, v4l2.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", rich_help_panel=VIDEO, help="Go on where a killed run with --resume stopped; "
                           "with nothing to go on with, begin. Photos larger than memory too.")
    ] = False,
    preview: Annotated[
        float | None,
        typer.Option("--preview", metavar="SECONDS", show_default=False, rich_help_panel=VIDEO,
                     help="Write a short clip of before and after, side by side."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", rich_help_panel=MESSAGES, help="Show the causes of errors.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.",
                           rich_help_panel=MESSAGES),
    ] = False,
) -> None:  # fmt: skip
    """Upscale photos and clips: sharp, colour-true, every frame, every stream.

    [bold]upscale photo.jpg -s 4 -m realesrgan[/bold], [bold]upscale clip.mp4 -m espcn --realtime[/bold],
    [bold]upscale photos/ -o large/ -r[/bold]
    """
    from upscale_cli.cli.console import listening
    from upscale_cli.cli.option_values import conditions, gpus, memory_bound
    from upscale_cli.jobs.inputs import STDIO, Input
    from upscale_cli.jobs.naming import Naming
    from upscale_cli.jobs.outputs import single_output

    del version  # acted upon by its callback
    many = ManyOptions(
        tuple(inputs or ()), tuple(from_list or ()), recursive=recursive, include=tuple(include or ()),
        exclude=tuple(exclude or ()), skip_existing=skip_existing, overwrite=overwrite, dry_run=dry_run,
        fail_fast=fail_fast, watch=watch, jobs=_jobs(jobs, max_memory, ray), ray=ray,
    )  # fmt: skip
    output = many.checked_output(output, is_stream=play or live)
    sources = [Input(name, may_be_live=live) for name in inputs or ()]
    to_stdout = not play and (output == STDIO or (output is None and any(source.is_stdin for source in sources)))
    with listening(as_json=as_json, quiet=quiet, verbose=verbose, stdout_is_taken=to_stdout) as listener:
        target = _target(scale, size, long_side, megapixels)
        models: list[str | None] = [*model] if model else [None]
        naming = Naming(output, format, target, several_models=len(models) > 1)
        if not many.has_many:
            single_output(naming, sources, len(models))
        _check_live(sources, output, len(models), play=play, live=live)
        _check_objects(sources, naming, {"--play": play, "--live": live, "--resume": resume, "--compare": compare})
        if to_stdout and sys.stdout.isatty():
            raise OptionError("the result would go to the terminal. Send it on (`> out.png`), or give -o FILE.")
        if compare and many.is_one_run:
            raise OptionError("--compare is for files named one by one. For folders: `upscale compare FOLDER OUTPUT`.")
        if compare and (to_stdout or play or preview is not None or any(source.is_live for source in sources)):
            raise OptionError("--compare needs two files to compare. Give -o FILE, or leave --compare out.")
        if gpu is not None:
            if device != "auto":
                raise OptionError(f"-g {gpu} and --device {device} exclude each other. Give one of them.")
            device = gpus(gpu)
        clip_options = partial(
            _clip_options, codec=codec, crf=crf, preset=preset, pix_fmt=pix_fmt, encoder_arg=encoder_arg or [],
            hwaccel=hwaccel, start=start, end=end, frames=frames, fps=fps, video_stream=video_stream,
            deinterlace=deinterlace, no_dedup=no_dedup, realtime=realtime, play=play, live=live, resume=resume,
            preview=preview, overwrite=overwrite, max_pixels=max_pixels,
        )  # fmt: skip
        upscaler_options = {
            "device": device, "precision": precision, "tile": tile, "overlap": overlap, "denoise": denoise, "tta": tta,
            "alpha": alpha, "wrap": wrap, "conditions": conditions(condition or []), "listener": listener,
        }  # fmt: skip

        bound = memory_bound(max_memory)

        from upscale_cli.batch.run import Run  # torch comes with these: nothing is left that could be refused
        from upscale_cli.jobs.job import FileOptions
        from upscale_cli.jobs.plan import Planner

        photos = FileOptions(
            quality=quality, overwrite=overwrite, max_pixels=max_pixels, salvage=salvage, max_memory=bound,
            resume=resume, pyramid=pyramid,
        )  # fmt: skip
        show = partial(show_compared, as_json=as_json, quiet=quiet) if compare else None
        planner = Planner(naming, photos, clip_options, upscaler_options, listener)
        is_one_run = many.is_one_run or (not (to_stdout or compare) and many.is_several(sources, len(models)))
        run = Run(planner, show_comparison=show)
        failed = many.run(planner, models) if is_one_run else run.all(sources, models)
    if failed:
        raise typer.Exit(1)


def _target(scale: float | None, size: str | None, long_side: int | None, megapixels: float | None) -> "Target | None":
    """The one size option that was given; None for the default."""
    from upscale_cli.inference.sizing import Target, parse_size

    if [scale, size, long_side, megapixels].count(None) < 3:
        raise OptionError("--scale, --size, --long-side and --megapixels exclude each other. Give one of them.")
    if size is not None:
        return parse_size(size)
    if (scale, long_side, megapixels) == (None, None, None):
        return None
    return Target(scale=scale, long_side=long_side, megapixels=megapixels)


def _jobs(jobs: int | None, max_memory: str | None, ray: str | None) -> int | None:
    """Pictures in hand at a time; one, where memory is bounded for the picture in hand."""
    if max_memory is None or ray is not None:
        return jobs
    if jobs is not None and jobs > 1:
        raise OptionError(f"--max-memory is for one picture at a time, and -j {jobs} is more. Leave one of them out.")
    return 1


def _check_live(sources: "list[Input]", output: str | None, models: int, *, play: bool, live: bool) -> None:
    """Refuses what cannot be played or received."""
    from upscale_cli.media.video.live import is_address

    if play and output is not None:
        raise OptionError(f"--play and -o {output} exclude each other. Give one of them.")
    addresses = [name for name in (*(source.name for source in sources), output or "") if is_address(name)]
    if addresses and not live:
        raise OptionError(f"{addresses[0]}: is an address or a device. Give --live to let it in.")
    if live and not addresses:
        raise OptionError("--live: neither INPUT nor -o is an address or a device. Name one, or leave it out.")
    if any(source.is_live for source in sources):
        if output is None and not play:
            raise OptionError("--live needs a place for what comes. Give -o FILE, -o - or --play.")
        if len(sources) * models > 1:
            raise OptionError("--live takes one INPUT and one --model. Leave the others out.")


def _check_objects(sources: "list[Input]", naming: "Naming", options: dict[str, bool]) -> None:
    """Refuses what cannot be done with objects.

    Args:
        options: those that do not go with them, and whether they are given.
    """
    from upscale_cli.files.object_names import is_object
    from upscale_cli.jobs.inputs import STDIO

    output = naming.output or ""
    url = next(filter(is_object, (*(source.name for source in sources), output)), None)
    if url is None:
        return
    for option in (name for name, is_given in options.items() if is_given):
        raise OptionError(f"{option} does not go with {url}: an object comes and goes as a whole. Leave it out.")
    if output == STDIO or any(source.is_stdin for source in sources):
        raise OptionError(f"{url} and standard input or output do not go together. Name a file or an object instead.")
    naming.check_unseen()


def _clip_options(
    *,
    codec: str,
    crf: float | None,
    preset: str | None,
    pix_fmt: str | None,
    encoder_arg: list[str],
    hwaccel: str | None,
    start: str | None,
    end: str | None,
    frames: int | None,
    fps: str | None,
    video_stream: str | None,
    deinterlace: Literal["auto", "off", "frame", "field"],
    no_dedup: bool,
    realtime: str | None,
    play: bool,
    live: bool,
    resume: bool,
    preview: float | None,
    overwrite: bool,
    max_pixels: int,
) -> "ClipOptions":
    """The options for clips, checked and put together."""
    from upscale_cli.cli.option_values import encoder_arguments, frame_rate, preview_seconds, seconds_of
    from upscale_cli.jobs.video_job import ClipOptions
    from upscale_cli.media.video.encoding import EncodeOptions
    from upscale_cli.media.video.reader import DecodeOptions

    pace: Literal["file", "strict"] | None = None
    if realtime is not None:
        if realtime not in ("file", "strict"):
            raise OptionError(f"--realtime={realtime} is not known. Write --realtime or --realtime=strict.")
        pace = "strict" if realtime == "strict" else "file"
    begin, until = seconds_of("--start", start), seconds_of("--end", end)
    if until is not None and until <= (begin or 0.0):
        raise OptionError(f"--end {end} is not after --start {start or 0}. Choose a later --end.")
    return ClipOptions(
        decode=DecodeOptions(
            start=begin, end=until, frames=frames, fps=frame_rate(fps), deinterlace=deinterlace, hwaccel=hwaccel
        ),
        encode=EncodeOptions(
            codec=codec, crf=crf, preset=preset, pix_fmt=pix_fmt, extra=encoder_arguments(encoder_arg)
        ),
        video_stream=video_stream, overwrite=overwrite, dedup=not no_dedup, max_pixels=max_pixels,
        realtime=pace, resume=resume, preview=preview_seconds(preview), play=play, live=live,
    )  # fmt: skip
