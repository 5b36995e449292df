"""A job of one picture and one model: the header decides the size, the size the name, the name its reservation."""

from dataclasses import replace

from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.checks import check_only_below
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.jobs.photo import PhotoJob
from upscale_cli.media.image.formats import check_source
from upscale_cli.media.image.reader_writer import ImageReader, frames_kept


def prepare_photo(
    given: Input, upscaler: Upscaler, naming: Naming, outputs: Outputs, options: PhotoOptions, why: str = ""
) -> PhotoJob:
    """What is to be done with one picture by one model.

    Args:
        naming: where outputs go; its target, or else the model's own scale, decides the size.
        outputs: where the output's place is reserved.
        why: the model was chosen for this very picture; "" where the upscaler knows.

    Raises:
        InputError: the input cannot be read. OutputError: its place is taken, or it cannot be of that format.
        LeftAlone: it is large enough.
    """
    target = upscaler.target(target=naming.target)
    opened = given.open()
    with ImageReader(opened, max_pixels=options.max_pixels, salvage=options.salvage, bands=options.bands) as reader:
        info = reader.info
    check_only_below(given.name, info.width, info.height, options.only_below)
    naming = replace(naming, target=target)  # a name tells the scale that was asked for, not what rounding made of it
    place = naming.place(given, info, target.size_for(info.width, info.height), upscaler.name)
    check_source(place.format, place.name, given.name, info.format)
    outputs.reserve(given, place.path, may_exist=options.resume)
    return PhotoJob(
        opened, given.name, place.target(), place.name, place.format, target, options,
        lr_size=(info.width, info.height), frames=frames_kept(place.format, info), why=why,
    )  # fmt: skip
