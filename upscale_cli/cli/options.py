"""What several verbs share: panels of the help screen, options, completion. Imports neither torch nor numpy."""

from typing import Annotated

import typer

from upscale_cli.media.image.formats import FORMATS

SIZE = "Size of the result"
MODEL = "Model"
OUTPUT = "Output"
FOLDERS = "Folders"
COMPUTE = "Computation"
VIDEO = "Clips"
MESSAGES = "Messages"


def complete_model(incomplete: str) -> list[str]:
    from upscale_cli.models.registry import model_names

    return [name for name in model_names() if name.startswith(incomplete)]


def complete_format(incomplete: str) -> list[str]:
    endings = [row.extensions[0].removeprefix(".") for row in FORMATS.values()]
    return [ending for ending in endings if ending.startswith(incomplete)]


Json = Annotated[
    bool, typer.Option("--json", help="One JSON object per line: events and results.", rich_help_panel=MESSAGES)
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Show errors only.", rich_help_panel=MESSAGES)]

Tile = Annotated[
    int, typer.Option("-t", "--tile", rich_help_panel=COMPUTE, help="Side of a tile in LR pixels; 0: by free memory.")
]
Overlap = Annotated[
    int | None,
    typer.Option(
        "--overlap", show_default=False, rich_help_panel=COMPUTE,
        help="LR pixels over which tiles blend. Default: by the model.",
    ),
]  # fmt: skip
Device = Annotated[
    str,
    typer.Option(
        "--device", rich_help_panel=COMPUTE, help="auto, cuda, cuda:N, mps or cpu; several GPUs: cuda:0,cuda:1 or all."
    ),
]
