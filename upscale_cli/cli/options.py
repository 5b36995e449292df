"""What several verbs share: the help's panels, options and their types, completion. Imports neither torch nor numpy."""

from functools import partial
from typing import Annotated, Final

import typer

from upscale_cli.inference.options import Wanted
from upscale_cli.media.image.formats import FORMATS

SIZE: Final = "Size of the result"
MODEL: Final = "Model"
OUTPUT: Final = "Output"
FOLDERS: Final = "Folders"
COMPUTE: Final = "Computation"
VIDEO: Final = "Clips"
MESSAGES: Final = "Messages"

in_size = partial(typer.Option, rich_help_panel=SIZE)
in_model = partial(typer.Option, rich_help_panel=MODEL)
in_output = partial(typer.Option, rich_help_panel=OUTPUT)
in_folders = partial(typer.Option, rich_help_panel=FOLDERS)
in_compute = partial(typer.Option, rich_help_panel=COMPUTE)
in_video = partial(typer.Option, rich_help_panel=VIDEO)
in_messages = partial(typer.Option, rich_help_panel=MESSAGES)
"""An option, in its panel."""


def complete_model(incomplete: str) -> list[str]:
    """Of the registry, of the user's own checkpoints, and, after omdb:, of OpenModelDB where its index is here."""
    from upscale_cli.models.registry import model_names
    from upscale_cli.models.resolve import other_names_here
    from upscale_cli.models.zoo import zoo_id

    others = [name for name in other_names_here() if (zoo_id(name) is None) == (zoo_id(incomplete) is None)]
    return [name for name in (*model_names(), *others) if name.startswith(incomplete)]


def complete_format(incomplete: str) -> list[str]:
    """What the shell may put after `--format`: the formats that are written, by their first extension."""
    endings = [row.extensions[0].removeprefix(".") for row in FORMATS.values() if row.written]
    return [ending for ending in endings if ending.startswith(incomplete)]


Json = Annotated[bool, in_messages("--json", help="One JSON object per line: events and results.")]
Quiet = Annotated[bool, in_messages("-q", "--quiet", help="Show errors only.")]

Denoise = Annotated[float, in_model("--denoise", help="0 keeps grain and noise, 1 removes them (realesr-general).")]
Strength = Annotated[
    float | None,
    in_model("--strength", show_default=False, help="0 is faithful, 1 crisp: detail is drawn (photo-lite)."),
]
Tta = Annotated[bool, in_model("-x", "--tta", help="Average over 8 flips and rotations: 8x slower.")]

Tile = Annotated[int, in_compute("-t", "--tile", help="Side of a tile in input pixels; 0: by free memory.")]
Overlap = Annotated[
    int | None,
    in_compute("--overlap", show_default=False, help="Input pixels over which tiles blend. Default: by the model."),
]
Halo = Annotated[
    int | None,
    in_compute(
        "--halo",
        show_default=False,
        help="Input pixels read around a tile and thrown away: few show edges, many take time. Default: by the model.",
    ),
]
Device = Annotated[
    str,
    in_compute(
        "--device",
        help="auto, cuda, cuda:N, mps or cpu; several GPUs: cuda:0,cuda:1 or all; by OpenVINO: intel-gpu, npu.",
    ),
]
Engine = Annotated[
    str,
    in_compute(
        "--engine",
        metavar="NAME",
        help="What runs the net on a CPU: torch, openvino, onnxruntime, or auto, the fastest. onnxruntime:NAME: on its "
        "cuda, directml, coreml, ...",
    ),
]
Precision = Annotated[
    Wanted,
    in_compute(
        "--precision",
        metavar="NAME",
        help="fp32, fp16, bf16; int8: espcn, swift, sharp on a CPU; auto: fp16 on CUDA, fp32 for pictures of more than "
        "8 bits.",
    ),
]
