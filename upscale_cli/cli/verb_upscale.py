"""The main verb: `upscale INPUT...`; the input's kind decides, photo or clip. Imports neither torch nor numpy."""

import sys
from functools import partial
from typing import TYPE_CHECKING

import typer

from upscale_cli.cli.batch_options import Batch
from upscale_cli.cli.better_model import BetterModelHint
from upscale_cli.cli.grouped import grouped
from upscale_cli.cli.licences import ask_for_licences
from upscale_cli.cli.standard_streams import can_be_written
from upscale_cli.cli.unknown_words import check_words
from upscale_cli.cli.upscale_options import (
    ComputeGroup,
    FolderGroup,
    Inputs,
    MessageGroup,
    ModelGroup,
    OutputGroup,
    SizeGroup,
    photo_options,
    upscaler_options,
)
from upscale_cli.cli.verb_compare import show as show_compared
from upscale_cli.cli.video_options import VideoGroup
from upscale_cli.errors import OptionError, OutputError

if TYPE_CHECKING:
    from upscale_cli.jobs.inputs import Input
    from upscale_cli.jobs.naming import Naming


@grouped
def upscale(
    inputs: Inputs = None,
    *,
    output: OutputGroup,
    size: SizeGroup,
    model: ModelGroup,
    folders: FolderGroup,
    compute: ComputeGroup,
    clips: VideoGroup,
    messages: MessageGroup,
) -> None:
    """Upscale photos and clips: sharp, colour-true, every frame, every stream.

    [bold]upscale photo.jpg -s 4 -m realesrgan[/bold], [bold]upscale clip.mp4 -m espcn --realtime[/bold],
    [bold]upscale photos/ -o large/ -r[/bold]
    """
    from upscale_cli.cli.console import listening
    from upscale_cli.jobs.inputs import Input, is_clip_output
    from upscale_cli.jobs.naming import Naming
    from upscale_cli.jobs.outputs import single_output

    check_words(inputs or ())
    options = folders.batch_options(overwrite=output.overwrite, is_bounded=compute.max_memory is not None)
    batch = Batch(tuple(inputs or ()), tuple(folders.from_list or ()), options, folders.ray)
    place = batch.checked_output(output.output, is_stream=clips.play or clips.live)
    as_clip = is_clip_output(place, output.format)
    sources = [Input(name, may_be_live=clips.live, as_clip=as_clip) for name in batch.inputs]
    to_stdout = _goes_to_stdout(place, sources, clips)
    models = model.models
    with listening(
        as_json=messages.as_json, quiet=messages.quiet, verbose=messages.verbose, stdout_is_taken=to_stdout
    ) as listener:
        naming = Naming(place, output.format, size.target(), several_models=len(models) > 1)
        if not batch.has_many:
            single_output(naming, sources, len(models))
        _check_together(sources, naming, len(models), output, clips)
        if output.compare:
            _check_compare(batch, sources, clips, to_stdout=to_stdout)
        if to_stdout:
            _check_stdout()
        ask_for_licences(models, listener)
        net = upscaler_options(model, compute)
        clip_options = partial(
            clips.options, overwrite=output.overwrite, max_pixels=compute.max_pixels, yes=output.yes,
            only_below=size.only_below,
        )  # fmt: skip
        photos = photo_options(output, compute, resume=clips.resume, only_below=size.only_below)

        from upscale_cli.batch.run import Run  # torch comes with it: nothing is left that could be refused
        from upscale_cli.jobs.plan import Planner

        show = partial(show_compared, as_json=messages.as_json, quiet=messages.quiet) if output.compare else None
        hint = BetterModelHint(listener)
        planner = Planner(naming, photos, clip_options, net, hint, for_clips=clips.given)
        is_one_run = batch.is_one_run or (show is None and not to_stdout and batch.is_several(sources, len(models)))
        failed = batch.run(planner, models) if is_one_run else Run(planner, show_comparison=show).all(sources, models)
        if not (messages.as_json or messages.quiet):
            hint.show()
    if failed:
        raise typer.Exit(1)


def _check_stdout() -> None:
    """Refuses to compute what could not be sent.

    Raises:
        OptionError: it would fill a terminal.
        OutputError: standard output is closed.
    """
    if sys.stdout.isatty():
        raise OptionError("the result would go to the terminal. Send it on (`> out.png`), or give -o FILE.")
    if not can_be_written(sys.stdout):
        raise OutputError("standard output is closed, and the result would go there. Open it, or give -o FILE.")


def _goes_to_stdout(place: str | None, sources: "list[Input]", clips: VideoGroup) -> bool:
    """Whether the result itself goes to standard output."""
    from upscale_cli.jobs.inputs import STDIO

    return not clips.play and (place == STDIO or (place is None and any(source.is_stdin for source in sources)))


def _check_together(
    sources: "list[Input]", naming: "Naming", models: int, output: OutputGroup, clips: VideoGroup
) -> None:
    """Refuses what cannot be played, received, or done with objects."""
    from upscale_cli.jobs.checks import check_live, check_objects

    check_live(sources, naming.output, len(sources) * models, play=clips.play, live=clips.live)
    check_objects(sources, naming, play=clips.play, live=clips.live, resume=clips.resume, compare=output.compare)


def _check_compare(batch: Batch, sources: "list[Input]", clips: VideoGroup, *, to_stdout: bool) -> None:
    """Refuses to compare where there will be no two files."""
    if batch.is_one_run:
        raise OptionError("--compare is for files named one by one. For folders: `upscale compare FOLDER OUTPUT`.")
    if to_stdout or clips.play or clips.preview is not None or any(source.is_live for source in sources):
        raise OptionError("--compare needs two files to compare. Give -o FILE, or leave --compare out.")
