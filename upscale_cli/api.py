"""From file to file, for Python users."""

import os
from pathlib import Path
from typing import Any

from upscale_cli.batch import Input, Naming, Outputs
from upscale_cli.chain import Target
from upscale_cli.events import Listener, ignore
from upscale_cli.media.formats import MAX_PIXELS
from upscale_cli.media.image import ImageReader
from upscale_cli.pipeline import FileOptions, Job, run
from upscale_cli.upscaler import Upscaler


def upscale_file(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    scale: float | None = None,
    *,
    target: Target | None = None,
    model: str | os.PathLike[str] | Upscaler | None = None,
    format: str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
    salvage: bool = False,
    listener: Listener = ignore,
    **options: Any,
) -> Path:
    """Upscales a picture file; metadata, profile, depth, alpha, frames and pages are kept as on the command line.

    Args:
        source: the LR picture.
        output: a file, a folder, or a template such as "{stem}_{scale}x{ext}"; None: that name beside the source.
        scale: SR pixels per LR pixel; None: 4, or the model's own.
        target: instead of `scale`, a size.
        model: a name, a checkpoint file, or an `Upscaler` to use again; None: the best on this machine.
        format: such as "png"; None: by the output's name, else the source's.
        quality: 0..100 for lossy formats; None: the format's default.
        overwrite: replace an output that exists; the source is never overwritten.
        max_pixels: refuse larger sources before decoding them.
        salvage: take what decodes of a damaged file.
        listener: receives every event (see `upscale_cli.events`).
        options: of `Upscaler`: device, precision, tile, ...

    Returns:
        The path of the output, which is whole.

    Raises:
        UpscaleError: with one line for the user; nothing is left of an output that failed.
    """
    if isinstance(model, Upscaler) and options:
        raise TypeError(f"{', '.join(options)}: say this to the Upscaler that is given as model")
    upscaler = model if isinstance(model, Upscaler) else Upscaler(model, listener=listener, **options)
    wanted = upscaler.target(scale, target)
    given = Input(os.fspath(source))
    naming = Naming(os.fspath(output) if output is not None else None, format, wanted)
    files = FileOptions(quality=quality, overwrite=overwrite, max_pixels=max_pixels, salvage=salvage)
    job = prepare(given, upscaler, naming, Outputs([given], overwrite=overwrite), files)
    return Path(run(job, upscaler, listener).output)


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
    outputs.promise(given, place)
    return Job(opened, given.name, place.target(), place.name, place.format, target, options)
