"""Options in, exit code out. `upscale INPUT...` is the main verb; beside it: models, doctor.

Imports neither torch nor numpy: a verb imports what it calls, so that `--help` is instant.
"""

import itertools
import operator
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from typer.core import TyperCommand, TyperGroup

from upscale_cli import __version__
from upscale_cli.errors import InterruptedRun, OptionError, UpscaleError, printable
from upscale_cli.media.formats import FORMATS, MAX_PIXELS

if TYPE_CHECKING:
    from upscale_cli.batch import Input, Naming, Outputs
    from upscale_cli.chain import Target
    from upscale_cli.clip import ClipOptions
    from upscale_cli.events import Listener
    from upscale_cli.pipeline import FileOptions
    from upscale_cli.upscaler import Upscaler

MAIN_VERB: Final = "(input)"
"""The verb that is meant where none is named; nobody types it, and no message shows it."""

GROUP_OPTIONS: Final = ("--install-completion", "--show-completion")


class PathDecides(TyperGroup):
    """A group in which everything that is not a verb belongs to the main verb: `upscale photo.jpg -s 4`."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        names = args.index("--") if "--" in args else len(args)  # what follows is a file, whatever it looks like
        args = ["--realtime=file" if at < names and word == "--realtime" else word for at, word in enumerate(args)]
        if not args and not ctx.resilient_parsing:
            args = ["--help"]
        if args and args[0] not in GROUP_OPTIONS and args[0] not in self.commands:
            args = [MAIN_VERB, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise InterruptedRun from error


class NamelessContext(typer.Context):
    """Keeps the main verb's name out of usage lines: `upscale [OPTIONS] INPUT...`."""

    @property
    def command_path(self) -> str:
        return self.parent.command_path if self.parent else ""


class MainVerb(TyperCommand):
    """The verb without a name."""

    context_class = NamelessContext


app = typer.Typer(cls=PathDecides, rich_markup_mode="rich", pretty_exceptions_enable=False)
models_app = typer.Typer(help="List, inspect, fetch and verify the models' checkpoints.", no_args_is_help=True)
app.add_typer(models_app, name="models")


def main() -> None:
    """The console script: runs the command line and ends the process with its exit code."""
    _make_termination_clean()
    _make_streams_safe()
    _make_threads_polite()
    called = PurePath(sys.argv[0]).stem
    try:
        _check_current_folder()
        app(prog_name=called if called == "upscale-cli" else "upscale")
    except UpscaleError as error:
        print(f"error: {error}", file=sys.stderr)
        if "-v" in sys.argv or "--verbose" in sys.argv:
            _print_causes(error)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is not None:
            raise  # a file's troubles are told where they arise: this is a bug
        with suppress(OSError):
            print(f"error: standard output cannot be written ({error.strerror}).", file=sys.stderr)
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # or Python tries to flush it again at exit
        sys.exit(1)


def _check_current_folder() -> None:
    """Libraries that look for their own files do not survive a deleted current folder."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise OptionError("the current folder is gone. Change to one that exists.") from error


def _make_termination_clean() -> None:
    """A polite kill and a closed terminal unwind like Ctrl-C, so that temporary files go."""

    def terminate(signum: int, _frame: object) -> None:
        sys.exit(128 + signum)

    for name in ("SIGTERM", "SIGHUP"):
        with suppress(ValueError, AttributeError):  # not the main thread, or no such signal here
            number = getattr(signal, name)
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
                signal.signal(number, terminate)


def _make_threads_polite() -> None:
    """Waiting threads of torch sleep. By default they spin, and while an encoder wants the same cores, a frame of ESPCN
    was measured to take seven times as long. It has to be said before torch is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _make_streams_safe() -> None:
    """Closed streams become empty ones; what the terminal's encoding lacks is shown escaped and ends no run."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _print_causes(error: BaseException) -> None:
    cause = error.__cause__
    while cause is not None:
        first_line = str(cause).partition("\n")[0]
        print(f"  because of {type(cause).__name__}: {printable(first_line)}", file=sys.stderr)
        cause = cause.__cause__


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"upscale-cli {__version__}")
        raise typer.Exit


def _complete_model(incomplete: str) -> list[str]:
    from upscale_cli.models.registry import model_names

    return [name for name in model_names() if name.startswith(incomplete)]


def _complete_format(incomplete: str) -> list[str]:
    endings = [row.extensions[0].removeprefix(".") for row in FORMATS.values()]
    return [ending for ending in endings if ending.startswith(incomplete)]


SIZE = "Size of the result"
MODEL = "Model"
OUTPUT = "Output"
COMPUTE = "Computation"
VIDEO = "Clips"
MESSAGES = "Messages"

Json = Annotated[
    bool, typer.Option("--json", help="One JSON object per line: events and results.", rich_help_panel=MESSAGES)
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Show errors only.", rich_help_panel=MESSAGES)]


@app.command(
    MAIN_VERB,
    cls=MainVerb,
    hidden=True,
    epilog="Other verbs: [bold]upscale models[/bold] list|info|fetch|verify|path, [bold]upscale doctor[/bold]. "
    "Tab completion: upscale --install-completion. A file named like a verb: ./doctor.",
)
def upscale(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Photos and clips; - reads one from standard input.", show_default=False),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", show_default=False, rich_help_panel=OUTPUT,
            help="File, folder (existing, or with a trailing /), - for standard output, or a template of {stem} {ext} "
            "{scale} {width} {height} {model}. Default: {stem}_{scale}x{ext} beside the input.",
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
            "-m", "-n", "--model", show_default=False, rich_help_panel=MODEL, autocompletion=_complete_model,
            help="A name (see `upscale models list`) or a checkpoint file. Repeat it for one output per model. "
            "Default: the best on this machine for photos, espcn for clips.",
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
    wrap: Annotated[
        bool, typer.Option("--wrap", rich_help_panel=MODEL, help="Tileable texture: edges continue on the other side.")
    ] = False,
    format: Annotated[
        str | None,
        typer.Option(
            "-f", "--format", show_default=False, rich_help_panel=OUTPUT, autocompletion=_complete_format,
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
    overwrite: Annotated[
        bool, typer.Option("--overwrite", rich_help_panel=OUTPUT, help="Replace outputs that exist; never inputs.")
    ] = False,
    tile: Annotated[
        int,
        typer.Option("-t", "--tile", rich_help_panel=COMPUTE, help="Side of a tile in LR pixels; 0: by free memory."),
    ] = 0,
    overlap: Annotated[
        int | None,
        typer.Option(
            "--overlap", show_default=False, rich_help_panel=COMPUTE,
            help="LR pixels over which tiles blend. Default: by the model.",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", rich_help_panel=COMPUTE, help="auto, cuda, cuda:N, mps or cpu.")
    ] = "auto",
    gpu: Annotated[
        int | None,
        typer.Option(
            "-g", show_default=False, metavar="N", rich_help_panel=COMPUTE, help="Short for --device cuda:N; -1: cpu."
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
                           "with nothing to go on with, begin.")
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

    [bold]upscale photo.jpg -s 4 -m realesrgan[/bold], [bold]upscale clip.mp4 -m espcn --realtime[/bold]
    """
    from upscale_cli.batch import STDIO, Input, Naming, single_output
    from upscale_cli.console import listening

    del version  # acted upon by its callback
    sources = [Input(name, may_be_live=live) for name in inputs]
    to_stdout = not play and (output == STDIO or (output is None and any(source.is_stdin for source in sources)))
    with listening(as_json=as_json, quiet=quiet, stdout_is_taken=to_stdout) as listener:
        target = _target(scale, size, long_side, megapixels)
        models: list[str | None] = [*model] if model else [None]
        naming = Naming(output, format, target, several_models=len(models) > 1)
        single_output(naming, sources, len(models))
        _check_live(sources, output, len(models), play=play, live=live)
        if to_stdout and sys.stdout.isatty():
            raise OptionError("the result would go to the terminal. Send it on (`> out.png`), or give -o FILE.")
        if gpu is not None:
            if device != "auto":
                raise OptionError(f"-g {gpu} and --device {device} exclude each other. Give one of them.")
            device = "cpu" if gpu < 0 else f"cuda:{gpu}"
        clip_options = partial(
            _clip_options, codec=codec, crf=crf, preset=preset, pix_fmt=pix_fmt, encoder_arg=encoder_arg or [],
            hwaccel=hwaccel, start=start, end=end, frames=frames, fps=fps, video_stream=video_stream,
            deinterlace=deinterlace, no_dedup=no_dedup, realtime=realtime, play=play, live=live, resume=resume,
            preview=preview, overwrite=overwrite, max_pixels=max_pixels,
        )  # fmt: skip
        upscaler_options = {
            "device": device, "precision": precision, "tile": tile, "overlap": overlap, "denoise": denoise, "tta": tta,
            "alpha": alpha, "wrap": wrap, "listener": listener,
        }  # fmt: skip

        from upscale_cli.pipeline import FileOptions  # torch comes with these: nothing is left that could be refused

        photos = FileOptions(quality=quality, overwrite=overwrite, max_pixels=max_pixels, salvage=salvage)
        run = Run(naming, photos, clip_options, upscaler_options, listener, verbose=verbose)
        failed = run.all(sources, models)
    if failed:
        raise typer.Exit(1)


def _target(scale: float | None, size: str | None, long_side: int | None, megapixels: float | None) -> "Target | None":
    """The one size option that was given; None for the default."""
    from upscale_cli.chain import Target, parse_size

    if [scale, size, long_side, megapixels].count(None) < 3:
        raise OptionError("--scale, --size, --long-side and --megapixels exclude each other. Give one of them.")
    if size is not None:
        return parse_size(size)
    if (scale, long_side, megapixels) == (None, None, None):
        return None
    return Target(scale=scale, long_side=long_side, megapixels=megapixels)


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
    from upscale_cli.clip import ClipOptions
    from upscale_cli.media.video.encoder import EncodeOptions
    from upscale_cli.media.video.reader import DecodeOptions
    from upscale_cli.options import encoder_arguments, frame_rate, preview_seconds, seconds_of

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


class Run:
    """Every source by every model: all are prepared before the first is computed; a failure is told, the rest goes on.

    Args:
        naming: where outputs go.
        photos: how pictures are read and written.
        clip_options: makes the options for clips, once a clip is among the sources.
        upscaler_options: of every `Upscaler`.
    """

    def __init__(
        self,
        naming: "Naming",
        photos: "FileOptions",
        clip_options: "Callable[[], ClipOptions]",
        upscaler_options: dict[str, Any],
        listener: "Listener",
        *,
        verbose: bool,
    ) -> None:
        self._naming, self._photos, self._clip_options = naming, photos, clip_options
        self._upscaler_options, self._listener, self._verbose = upscaler_options, listener, verbose
        self._failed = 0

    def all(self, sources: "list[Input]", models: list[str | None]) -> int:
        """Runs everything; gives how many failed."""
        from upscale_cli.batch import Outputs
        from upscale_cli.events import Note

        outputs = Outputs(sources, overwrite=self._photos.overwrite)
        clip_options = self._clip_options() if any(source.is_clip for source in sources) else None
        if clip_options is not None and self._photos.quality is not None:
            self._listener(Note("--quality is for photos; clips take --crf."))
        ready: list[tuple[Upscaler, str, Callable[[], bool]]] = []
        for name in models:
            for clips, group in _by_kind(sources):
                upscaler = self._upscaler(name, for_clips=clips)
                for source in group:
                    with self._telling(source.name):
                        work = self._prepared(source, upscaler, outputs, clip_options if clips else None)
                        ready.append((upscaler, source.name, work))
        for upscaler, works in itertools.groupby(ready, key=operator.itemgetter(0)):
            for _, source_name, work in works:
                with self._telling(source_name):
                    self._failed += not work()
            upscaler.close()  # the next model needs the device
        return self._failed

    def _upscaler(self, name: str | None, *, for_clips: bool) -> "Upscaler":
        from upscale_cli.upscaler import Upscaler

        return Upscaler(name, for_clips=for_clips, **self._upscaler_options)

    def _prepared(
        self, source: "Input", upscaler: "Upscaler", outputs: "Outputs", clip_options: "ClipOptions | None"
    ) -> "Callable[[], bool]":
        """What is left to do for one source: a call that says whether the result is undamaged."""
        from upscale_cli.api import prepare, prepare_clip

        if clip_options is None:
            from upscale_cli.pipeline import run

            photo = prepare(source, upscaler, self._naming, outputs, self._photos)
            return lambda: bool(run(photo, upscaler, self._listener))
        from upscale_cli.video import run_clip

        clip = prepare_clip(source, upscaler, self._naming, outputs, clip_options)
        return lambda: not run_clip(clip, upscaler, self._listener).damage

    @contextmanager
    def _telling(self, source: str) -> Iterator[None]:
        from upscale_cli.events import Failed

        try:
            yield
        except (OptionError, InterruptedRun):
            raise
        except UpscaleError as error:
            self._failed += 1
            self._listener(Failed(source, str(error)))
            if self._verbose:
                _print_causes(error)


def _by_kind(sources: "list[Input]") -> "list[tuple[bool, list[Input]]]":
    """Photos, then clips: (whether clips, the sources of that kind); kinds without a source are left out."""
    kinds = [(clips, [source for source in sources if source.is_clip == clips]) for clips in (False, True)]
    return [(clips, group) for clips, group in kinds if group]


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check this machine: versions, devices, precision, ffmpeg, weights."""
    from upscale_cli.doctor import examine, show

    show(examine(), as_json=as_json)


Names = Annotated[list[str], typer.Argument(metavar="MODEL", autocompletion=_complete_model, show_default=False)]
AnyNames = Annotated[
    list[str] | None, typer.Argument(metavar="[MODEL]", autocompletion=_complete_model, show_default=False)
]


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """Show every model: scales, size, licence, and whether it is on this machine."""
    from upscale_cli.models import catalogue

    catalogue.show_list(as_json=as_json)


@models_app.command("info")
def models_info(name: Annotated[str, typer.Argument(autocompletion=_complete_model)], as_json: Json = False) -> None:
    """Show all that is known of a model (or of a checkpoint file)."""
    from upscale_cli.console import listening
    from upscale_cli.models import catalogue

    with listening(as_json=as_json):
        catalogue.show_info(name, as_json=as_json)


@models_app.command("fetch")
def models_fetch(names: Names, as_json: Json = False, quiet: Quiet = False) -> None:
    """Download the checkpoints of models, verified, ahead of time."""
    from upscale_cli.console import listening
    from upscale_cli.models import catalogue

    with listening(as_json=as_json, quiet=quiet) as listener:
        catalogue.fetch_all(names, listener)


@models_app.command("verify")
def models_verify(names: AnyNames = None, as_json: Json = False) -> None:
    """Compare the checkpoints on this machine with their pinned sha256."""
    from upscale_cli.console import listening
    from upscale_cli.models import catalogue

    with listening(as_json=as_json):
        good = catalogue.verify(names or [], as_json=as_json)
    if not good:
        raise typer.Exit(1)


@models_app.command("path")
def models_path(names: AnyNames = None) -> None:
    """Print where checkpoints are looked for, or where those of a model are."""
    from upscale_cli.models import catalogue

    for path in catalogue.paths(names or []):
        print(path)


if __name__ == "__main__":
    main()
