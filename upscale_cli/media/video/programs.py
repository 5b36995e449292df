"""The programs of a transport stream: kept with number and name in another one, and told where there are none. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from upscale_cli.media.video.carried_streams import Slot
from upscale_cli.media.video.container import Container
from upscale_cli.media.video.streams import Clip

_USUAL: Final = (1, "Service01", "FFmpeg")
"""Number, name and provider of the one program that ffmpeg writes where nothing is said."""

_HOLDER: Final = "MPEG-TS"
"""M2TS, as on Blu-ray discs, holds one program: ffmpeg's muxer refuses more."""

_NAMING: Final = ("Matroska", "WebM", "M2TS", "NUT")
"""Containers that take any tag, or this one."""


def program_arguments(clip: Clip, slots: Sequence[Slot], container: Container) -> list[str]:
    """ffmpeg's output options that make the same programs of the output's streams."""
    if not _is_unusual(clip):
        return []
    if container.name != _HOLDER:
        return _as_tags(clip, container)
    places = {slot.index: place for place, slot in enumerate(slots)}
    programs = [program for program in clip.programs if any(index in places for index in program.streams)]
    arguments = []
    for number, program in enumerate(programs):
        members = [f"st={places[index]}" for index in program.streams if index in places]
        arguments += ["-program", ":".join((f"program_num={program.number}", *members))]
        for key, value in (("service_name", program.name), ("service_provider", program.provider)):
            arguments += [f"-metadata:p:{number}", f"{key}={value}"] if value else []
    return arguments


def _as_tags(clip: Clip, container: Container) -> list[str]:
    """The name of the only program, as tags of the file: Matroska and M2TS take them."""
    if len(clip.programs) != 1 or container.name not in _NAMING:
        return []
    (program,) = clip.programs
    tags = (("service_name", program.name), ("service_provider", program.provider))
    return [part for key, value in tags if value for part in ("-metadata", f"{key}={value}")]


def _is_unusual(clip: Clip) -> bool:
    return any((program.number, program.name, program.provider) != _USUAL for program in clip.programs)


def program_notes(clip: Clip, container: Container) -> Iterator[str]:
    """That several programs become one, or one loses its name."""
    if len(clip.programs) > 1 and container.name != _HOLDER:
        names = ", ".join(program.name or str(program.number) for program in clip.programs)
        yield f"its {len(clip.programs)} programs ({names}) become one: {container.name} does not hold several"
    elif _is_unusual(clip) and clip.programs[0].name and container.name not in (_HOLDER, *_NAMING):
        yield f"the name of its program ({clip.programs[0].name}) is left out: {container.name} has no place for it"
