"""A job of one clip and one model: as `prepare`, and apart from it because only clips need PyAV."""

import sys
from dataclasses import replace
from pathlib import PurePath
from typing import NamedTuple

from upscale_cli.errors import OptionError
from upscale_cli.files.object_names import is_object
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.checks import check_only_below
from upscale_cli.jobs.inputs import STDIO, Input
from upscale_cli.jobs.naming import Naming, is_folder_name
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.jobs.picture_notes import check_free
from upscale_cli.jobs.video import VideoJob
from upscale_cli.jobs.video_facts import DEFAULT_CLIP_SCALE, ClipOptions, chosen_streams
from upscale_cli.media.image.formats import as_ending, format_named, is_picture_ending
from upscale_cli.media.video.addresses import is_address
from upscale_cli.media.video.codecs import PIXEL_FORMATS
from upscale_cli.media.video.container import CONTAINERS, Container, container_like, container_named
from upscale_cli.media.video.live import container_of, open_live, open_stdin
from upscale_cli.media.video.picture_container import picture_container
from upscale_cli.media.video.picture_source import open_pictures
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.streams import Clip
from upscale_cli.media.video.tee import Tee
from upscale_cli.messages import option

PLAYER = "player"
"""What the output is called where a player shows it."""


class OpenedClip(NamedTuple):
    """What is in a clip, and its bytes where they come once only."""

    clip: Clip
    tee: Tee | None = None


def open_clip(given: Input, options: ClipOptions) -> OpenedClip:
    """Looks into a clip.

    Raises:
        InputError: the clip cannot be read.
    """
    if given.is_live:
        return OpenedClip(*open_live(given.name, options.max_pixels))
    if given.is_stdin:
        return OpenedClip(*open_stdin(options.max_pixels))
    if given.is_numbered or (is_picture_ending(given.path.suffix.lower()) and given.path.is_file()):
        asked = PIXEL_FORMATS.get(options.encode.pix_fmt or "")
        alpha = asked is not None and asked.alpha
        fps = options.decode.fps
        return OpenedClip(open_pictures(given.name, fps=fps, max_pixels=options.max_pixels, alpha=alpha))
    return OpenedClip(probe(given.path, max_pixels=options.max_pixels))


def video_target(upscaler: Upscaler, naming: Naming) -> Target:
    """How large the result shall be; scale 2, where nothing else is asked for and the model has it."""
    return naming.target or Target(scale=upscaler.only_scale or DEFAULT_CLIP_SCALE)


def prepare_video(
    given: Input, opened: OpenedClip, upscaler: Upscaler, naming: Naming, outputs: Outputs, options: ClipOptions
) -> VideoJob:
    """What is to be done with one clip by one model; see `prepare_photo`.

    Raises:
        OptionError: output and format contradict each other.
        InputError: the clip cannot be read.
        OutputError: its place is taken, or its ending names no container.
        LeftAlone: it is large enough.
    """
    if upscaler.degradation.is_open:
        raise OptionError(
            f"{given.name}: {option('kernel', 'auto')} and {option('noise', 'auto')} are for pictures. Find them in a "
            "frame of the clip, and give what is found."
        )
    target = video_target(upscaler, naming)
    naming = replace(naming, target=target)  # a name tells the scale that was asked for, not what rounding made of it
    clip, tee = opened
    stream = chosen_streams(clip, options.video_stream)[0]
    lr_size = stream.width, stream.height
    check_only_below(given.name, *lr_size, options.only_below)
    if options.live and naming.output is not None and is_address(naming.output):
        sent = container_of(naming.output)
        return VideoJob(clip, naming.output, naming.output, sent, target, options, tee=tee)
    if options.play:
        return VideoJob(clip, None, PLAYER, CONTAINERS["Matroska"], target, options, tee=tee)
    is_no_clip = given.is_live or clip.pictures is not None
    own, note = (CONTAINERS["Matroska"], None) if is_no_clip else container_like(clip)
    if given.is_numbered and (naming.output is None or is_folder_name(naming.output)):
        raise OptionError(
            f"{given.name}: stands for many pictures. Give {option('output')} a file, or a numbered name."
        )
    ending = given.path.suffix if given.path.suffix.lower() in own.extensions else own.extensions[0]
    if naming.format is not None:
        ending, note = as_ending(naming.format), None
    size, label = target.size_for(*lr_size), preview_label(options)
    path = naming.place_clip(given, lr_size, size, upscaler.name, ending, label)
    outputs.reserve(given, path, may_exist=options.resume)
    if path is None:
        if naming.format is not None and container_named(naming.format).name != "Matroska":
            raise OptionError(
                f"{option('format', naming.format)}: standard output gets Matroska. "
                f"Leave it out, or give {option('output')} a file."
            )
        return VideoJob(clip, sys.stdout.buffer, STDIO, CONTAINERS["Matroska"], target, options, tee=tee)
    container = container_of_output(path, naming)
    if container.frames and len(chosen_streams(clip, options.video_stream)) > 1:
        raise OptionError(
            f"{option('video_stream', 'all')}: {container.name} hold one stream. Choose one by its number."
        )
    if container.frames == "sequence":
        check_free(path, overwrite=options.overwrite)
    if given.is_numbered and options.decode.fps is None and container.frames != "sequence":
        raise OptionError(f"{given.name}: pictures have no frame rate. Give {option('fps', 25)}, or another one.")
    return VideoJob(clip, path, str(path), container, target, options, note if container == own else None, tee)


def _is_format_of(format: str, container: Container) -> bool:
    if container.frames:
        return format_named(format).name == container.picture
    return container_named(format) == container


def preview_label(options: ClipOptions) -> str:
    """What tells a preview from the whole clip, in a name that is not the user's own."""
    return "" if options.preview is None else "_preview"


def container_of_output(place: PurePath | str, naming: Naming) -> Container:
    """What is written there, by its ending.

    Raises:
        OptionError: the ending and --format contradict each other.
        OutputError: the ending names no container.
    """
    container = picture_container(place) or container_named(PurePath(place).suffix)
    if container.frames == "sequence" and is_object(str(place)):
        raise OptionError(
            f"{option('output', str(place))}: pictures of a clip are not put into a store one by one. Choose a folder."
        )
    if naming.format is not None and not _is_format_of(naming.format, container):
        raise OptionError(
            f"output {place} and {option('format', naming.format)} contradict each other. Leave one of them out."
        )
    return container
