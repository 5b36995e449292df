"""What is refused, and what is told, where a clip becomes pictures."""

from fractions import Fraction
from pathlib import Path
from typing import Final

from upscale_cli.errors import OutputError
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.jobs.video_facts import VideoFacts
from upscale_cli.media.video.numbered import numbered
from upscale_cli.messages import option


def check_free(place: Path, *, overwrite: bool) -> None:
    """Refuses numbered pictures where there are some already.

    Raises:
        OutputError: so it is.
    """
    pattern = numbered(place)
    there = pattern.found() if pattern is not None and not overwrite else []
    if there and pattern is not None:
        raise OutputError(
            f"{pattern.path(there[0])}: exists already. Give {option('overwrite', True)} to replace it, or another "
            f"{option('output')}."
        )


def notes_on(job: VideoFacts, rate: Fraction, tags: ColourTags) -> list[str]:
    """What pictures cannot say of a clip."""
    encode, name = job.options.encode, job.container.name
    given = {"crf": encode.crf, "preset": encode.preset, "pix_fmt": encode.pix_fmt}
    if encode.codec != "auto":
        given["codec"] = encode.codec
    notes = [f"{option(key, value)} has no effect on {name}." for key, value in given.items() if value is not None]
    if tags.is_hdr or tags.primaries == "bt2020":
        notes.append(f"{name} as written here does not say that colours are {tags.transfer}, {tags.primaries}.")
    if name == "GIF" and rate > 50:
        notes.append("GIF counts in 1/100 s, and many viewers show no more than 50 frames a second.")
    told = [key for key in job.clip.metadata if key.lower() not in _TECHNICAL]
    if told:
        notes.append(f"tags are left out: {', '.join(told[:6])}{' ...' if len(told) > 6 else ''}.")
    return notes


_TECHNICAL: Final = ("encoder", "major_brand", "minor_version", "compatible_brands", "duration")
