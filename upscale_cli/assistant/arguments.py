"""What tools take: each argument once, with what an assistant reads of it; and messages in the words of arguments."""

import json
from collections.abc import Set
from typing import Annotated, Final, Literal

from pydantic import Field

from upscale_cli.inference.options import Alpha, Wanted
from upscale_cli.messages import Command, Message, Option

Source = Annotated[str, Field(description="A photo, a clip, a comic book (.cbz) or a folder, in an allowed folder.")]
Output = Annotated[
    str | None,
    Field(
        description="A file, or a folder (ending in /), in an allowed folder. Default: NAME_4x.EXT next to the source."
    ),
]
Scale = Annotated[
    float | None,
    Field(description="Output pixels per input pixel, any number above 0. Default: 4 for photos, 2 for clips."),
]
Width = Annotated[int | None, Field(description="Instead of scale: pixels that the output is at most wide.")]
Height = Annotated[int | None, Field(description="Instead of scale: pixels that the output is at most high.")]
LongSide = Annotated[int | None, Field(description="Instead of scale: pixels of the output's longer side.")]
Megapixels = Annotated[float | None, Field(description="Instead of scale: million pixels of the output.")]
ModelName = Annotated[
    str | None,
    Field(description="A name that list_models shows, or a checkpoint in an allowed folder; A+B runs B on what A "
          "made. Default: what suits the file."),
]  # fmt: skip
Format = Annotated[
    str | None,
    Field(description="Such as png, jpg, webp, tiff or mkv. Default: by the output's name, else as the source."),
]
Quality = Annotated[int | None, Field(description="0 to 100, of lossy picture formats.")]
Overwrite = Annotated[bool, Field(description="Replace an output that exists. A source is never replaced.")]
Recursive = Annotated[bool, Field(description="Of a folder: the folders in it, too.")]
OnlyBelow = Annotated[
    int | None, Field(description="Leave alone what has a shorter side of so many pixels or more, such as 1080.")
]
Denoise = Annotated[float, Field(description="0 keeps grain and noise, 1 removes them; realesr-general only.")]
Strength = Annotated[
    float | None, Field(description="0 is faithful, 1 draws detail that nobody can know; photo-lite only.")
]
Blend = Annotated[float, Field(description="How much of the net's result counts; the rest is bicubic. 0 to 1.")]
MatchColour = Annotated[bool, Field(description="Give the result the source's colours, where a net tints or darkens.")]
Tta = Annotated[
    bool, Field(description="Average over eight flips and rotations: eight times slower, a little cleaner.")
]
AlphaKind = Annotated[Alpha, Field(description="How transparency is upscaled.")]
Precision = Annotated[Wanted, Field(description="What the net computes in.")]
Noise = Annotated[
    float | Literal["auto"] | None,
    Field(description="Standard deviation of the noise, 0 to 255, for nets that want to know it."),
]
Codec = Annotated[str, Field(description="Of a clip: ffmpeg's name of an encoder, such as libx264, or auto.")]
Crf = Annotated[float | None, Field(description="Of a clip: quality on the encoder's own scale; lower is better.")]
Start = Annotated[float | None, Field(description="Of a clip: seconds at which the part that is taken begins.")]
End = Annotated[float | None, Field(description="Of a clip: seconds at which it ends.")]
Steady = Annotated[bool, Field(description="Of a clip: flicker less, averaged along the motion; slower.")]
Preview = Annotated[
    float | None, Field(description="Of a clip: only so many seconds, before and after side by side in one clip.")
]
Yes = Annotated[bool, Field(description="Begin what is expected to take many hours, too. Ask the user first.")]
Files = Annotated[
    list[str],
    Field(description="Before and after, or more: pictures, or folders of them; or two clips.", min_length=1),
]
Page = Annotated[
    str | None,
    Field(description="The page (.html) or, of clips, the clip; or a folder. Default: next to the last of the files."),
]
Reference = Annotated[
    str | None, Field(description="The true high-resolution picture, or a folder of them, to measure by.")
]
Hr = Annotated[list[str], Field(description="Folders of high-resolution pictures, or pictures.", min_length=1)]
Lr = Annotated[
    str | None,
    Field(description="Of one folder or picture in hr: the low-resolution ones. Default: hr is shrunk by bicubic."),
]
Models = Annotated[
    list[str] | None,
    Field(description="Names that list_models shows, or checkpoints in an allowed folder. Bicubic is always measured "
          "too. Default: the best on this machine."),
]  # fmt: skip
Scales = Annotated[list[int] | None, Field(description="High-resolution pixels per low-resolution pixel. Default: 4.")]
Search = Annotated[
    str | None, Field(description="Only models that have this word in their name, architecture or description.")
]
Pictures = Annotated[bool, Field(description="Show small versions of the results.")]

NAMES: Final = {
    "box": "width, height",
    "target": "width, height, long_side or megapixels",
    "hr": "reference",
    "verbose": "the server's standard error",
}
"""Of options that tools take by another name."""

TOOLS: Final = {"models list": "list_models"}
"""Tools that do what a command does."""


def in_arguments(text: str, known: Set[str]) -> str:
    """A text for users, as an assistant reads it: an option is an argument of a tool.

    Args:
        known: names of arguments; what is not among them is said to be of the command line.

    >>> from upscale_cli.messages import option
    >>> in_arguments(f"Choose {option('scale', 4)} or a larger {option('max_pixels')}.", {"scale"})
    'Choose scale: 4 or a larger max_pixels of the command line.'
    >>> from upscale_cli.messages import command
    >>> in_arguments(f"{command('models list', python='model_names()')} shows all.", set())
    'list_models shows all.'
    """

    def written(part: Option | Command) -> str:
        if isinstance(part, Command):
            return TOOLS.get(part.verb, f"`upscale {part.verb}`")
        if part.name in NAMES:
            return NAMES[part.name]
        value = "" if part.value is None else f": {json.dumps(part.value, ensure_ascii=False)}"
        return f"{part.name}{value}{'' if part.name in known else ' of the command line'}"

    return Message(text).written(written)
