"""A plan for one input and one model: the header decides the size, the size the name, the name its reservation."""

import sys
from typing import TYPE_CHECKING, NamedTuple

from upscale_cli.errors import OptionError
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.inputs import STDIO, Input
from upscale_cli.jobs.job import FileOptions, Job
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.media.image.reader_writer import ImageReader, frames_kept

if TYPE_CHECKING:
    from upscale_cli.jobs.video_job import ClipJob, ClipOptions
    from upscale_cli.media.video.streams import Clip
    from upscale_cli.media.video.tee import Once


PLAYER = "player"
"""What the output is called where a player shows it."""


def prepare(given: Input, upscaler: Upscaler, naming: Naming, outputs: Outputs, options: FileOptions) -> Job:
    """What is to be done with one input by one model: the header decides the size, and the size the name.

    Args:
        naming: where outputs go; its target, or else the model's own scale, decides the size.
        outputs: where the output's place is booked.

    Raises:
        InputError: the input cannot be read. OutputError: its place is taken.
    """
    target = upscaler.target(target=naming.target)
    opened = given.open()
    with ImageReader(opened, max_pixels=options.max_pixels, salvage=options.salvage) as reader:
        info = reader.info
    place = naming.place(given, info, target.size_for(info.width, info.height), upscaler.name)
    outputs.promise(given, place.path)
    return Job(
        opened, given.name, place.target(), place.name, place.format, target, options,
        lr_size=(info.width, info.height), frames=frames_kept(place.format, info),
    )  # fmt: skip


class OpenedClip(NamedTuple):
    """What is in a clip, and its bytes where they come once only."""

    clip: "Clip"
    once: "Once | None" = None


def prepare_clip(
    given: Input,
    opened: OpenedClip,
    upscaler: Upscaler,
    naming: Naming,
    outputs: Outputs,
    options: "ClipOptions",
) -> "ClipJob":
    """What is to be done with one clip by one model; see `prepare`. Scale 2, where nothing else is asked for.

    Raises:
        OptionError: output and format contradict each other.
        InputError: the clip cannot be read.
        OutputError: its place is taken, or its ending names no container.
    """
    from upscale_cli.jobs.video_job import DEFAULT_CLIP_SCALE, ClipJob
    from upscale_cli.jobs.video_plan import chosen_streams
    from upscale_cli.media.video.container import CONTAINERS, container_like, container_named
    from upscale_cli.media.video.live import container_of, is_address

    target = naming.target or Target(scale=upscaler.only_scale or DEFAULT_CLIP_SCALE)
    clip, once = opened
    if options.live and naming.output is not None and is_address(naming.output):
        sent = container_of(naming.output)
        return ClipJob(clip, naming.output, naming.output, sent, target, options, once=once)
    if options.play:
        return ClipJob(clip, None, PLAYER, CONTAINERS["Matroska"], target, options, once=once)
    stream = chosen_streams(clip, options.video_stream)[0]
    size = target.size_for(stream.width, stream.height)
    own, note = (CONTAINERS["Matroska"], None) if given.is_live else container_like(clip)
    ending = given.path.suffix if given.path.suffix.lower() in own.extensions else own.extensions[0]
    if naming.format is not None:
        ending, note = f".{naming.format.lower().removeprefix('.')}", None
    label = "" if options.preview is None else "_preview"
    path = naming.place_clip(given, (stream.width, stream.height), size, upscaler.name, ending, label)
    outputs.promise(given, path, may_exist=options.resume)
    if path is None:
        if naming.format is not None and container_named(naming.format).name != "Matroska":
            raise OptionError(
                f"--format {naming.format}: standard output gets Matroska. Leave it out, or give -o FILE."
            )
        return ClipJob(clip, sys.stdout.buffer, STDIO, CONTAINERS["Matroska"], target, options, once=once)
    container = container_named(path.suffix)
    if naming.format is not None and container_named(naming.format) != container:
        raise OptionError(f"output {path} and --format {naming.format} contradict each other. Leave one of them out.")
    return ClipJob(clip, path, str(path), container, target, options, note if container == own else None, once)


def open_source(given: Input, options: "ClipOptions") -> OpenedClip:
    """Looks into a clip.

    Raises:
        InputError: the clip cannot be read.
    """
    from upscale_cli.media.video.live import open_live, open_stdin
    from upscale_cli.media.video.probe import probe

    if given.is_live:
        return OpenedClip(*open_live(given.name, options.max_pixels))
    if given.is_stdin:
        return OpenedClip(*open_stdin(options.max_pixels))
    return OpenedClip(probe(given.path, max_pixels=options.max_pixels))
