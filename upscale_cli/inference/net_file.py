"""The net in a file that a user names: a checkpoint, which an architecture knows, or an ONNX file, which is tried."""

from pathlib import Path
from typing import Final

from upscale_cli.events import Say
from upscale_cli.inference.onnx_probe import Measured, measured
from upscale_cli.models.interface import Colour, Descriptor, LoadedNet, LumaRange, OnnxNet, SidecarMetadata
from upscale_cli.models.loading import load_net, stated_facts
from upscale_cli.models.onnx_adapted import adapted
from upscale_cli.models.onnx_facts import StatedFacts
from upscale_cli.models.onnx_file import OnnxFile, read_onnx

ONNX_ENDING: Final = ".onnx"


def load_net_file(path: Path, *, say: Say) -> LoadedNet:
    """The net in a file. What had to be assumed about it is reported.

    Raises:
        CheckpointError: it cannot be used; see `load_net` and `load_onnx`.
    """
    return load_onnx(path, say=say) if path.suffix.lower() == ONNX_ENDING else load_net(path, say=say)


def load_onnx(path: Path, *, say: Say) -> LoadedNet:
    """The net in an ONNX file: from what it says of itself, and from trying it, once for each file.

    Raises:
        CheckpointError: see `read_onnx`; or no engine here runs it, or it is no net that enlarges pictures.
    """
    file = read_onnx(path)
    stated = StatedFacts.read(file.stated)
    its = measured(file, stated, say)
    colour, luma_range, assumed = _colours(file, stated, SidecarMetadata.read(stated_facts(path)))
    if not its.is_range_known:
        assumed.append("values in 0..1 (what it makes of a plain picture fits no range)")
    if assumed:
        say(f"{path}: assumed, not shown by the file: {', '.join(assumed)}")
    if its.given != "unit" or its.made != "unit":
        say(f"{path}: takes values in {_range(its.given)} and gives {_range(its.made)}, as trying it has shown")
    model = adapted(file, its.given, its.made, its.margin)
    return LoadedNet(_descriptor(file, its, stated.arch, colour, luma_range), {}, OnnxNet(
        model, file.sha256, file.parameters, file.stated
    ))  # fmt: skip


def _descriptor(file: OnnxFile, its: Measured, arch: str | None, colour: Colour, luma_range: LumaRange) -> Descriptor:
    height, width = file.picture.height, file.picture.width
    return Descriptor(
        arch="onnx", variant=arch or "", scales=(its.factor,), channels=file.picture.channels, colour=colour,
        luma_range=luma_range, halo=its.halo, exact=its.exact, multiple_of=its.multiple_of, least_side=its.least_side,
        sees_whole=its.sees_whole, fixed_sides=None if height is None or width is None else (height, width),
        one_at_a_time=its.one_at_a_time, inputs=file.conditions,
    )  # fmt: skip


def _colours(file: OnnxFile, stated: StatedFacts, beside: SidecarMetadata) -> tuple[Colour, LumaRange, list[str]]:
    """(colour, range of luma, what of them was assumed); NAME.json can correct a file."""
    assumed = []
    colour = beside.colour or stated.colour
    if file.picture.channels == 1:
        colour = "luma"
    elif colour not in ("rgb", "ycbcr"):
        colour = "rgb"
        assumed.append("RGB, in this order")
    luma_range = beside.luma_range or stated.luma_range
    if luma_range is None:
        luma_range = "full"
        if colour != "rgb":
            assumed.append("luma of the full range")
    return colour, luma_range, assumed


def _range(name: str) -> str:
    return {"unit": "0..1", "levels": "0..255", "signed": "-1..1"}[name]
