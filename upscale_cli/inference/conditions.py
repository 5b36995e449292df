"""What a net needs in addition to the picture (`InputSpec`): given, checked, cut with the tiles, put on a device.

    given by the user  ->  resolved (complete, of the right shapes)  ->  cut with each window  ->  tensors of a batch

Pure functions, but for `read_condition`.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import InputError, OptionError
from upscale_cli.inference.tiling import Span
from upscale_cli.messages import option
from upscale_cli.models.interface import SCALE_INPUT, Descriptor, InputSpec, Scale

if TYPE_CHECKING:
    from torch import Tensor

    from upscale_cli.inference.device import Device

Array = TypeVar("Array", bound=Any)
"""numpy's or torch's."""

Condition = float | NDArray[Any]
"""A number, or an array of float32: (n,), (k, k), (C, H, W), ... by the `InputSpec`."""

Conditions = Mapping[str, Condition]

SAMPLE_SIDE: Final = 15
"""Of made-up arrays whose sides are free, such as blur kernels."""

WORDS: Final = "gauss:1.6, aniso:SX,SY,ANGLE, motion:LENGTH,ANGLE, FILE or auto"
"""What a kernel may be given as (`blur_kernels`)."""

REFERENCE: Final = "reference"
"""The name of the input that is a second picture of the scene."""

ASPECT: Final = 0.03
"""Logarithm of the ratio by which aspects may differ: rounded sides of small pictures do."""

LARGEST_ARRAY: Final = 2**28
"""Bytes of an array in a file, at most."""


def read_condition(value: "float | str | Path | NDArray[Any]", name: str) -> Condition:
    """What a user gave for an input: a number, an array, or a file that holds one.

    Args:
        value: a number (also as text); an array; the path of a .npy file, or of a picture, which becomes
            (C, H, W) float32 in [0, 1].

    Raises:
        OptionError: neither a number nor a file. InputError: a file that holds no array.
    """
    if isinstance(value, np.ndarray):
        return value.astype(np.float32)
    if not isinstance(value, Path):
        try:
            return float(value)
        except ValueError:
            pass
    path = Path(str(value))
    if not path.is_file():
        raise OptionError(
            f"{option('conditions', {name: str(value)})}: that is neither a number nor a file. Give one of them."
        )
    if path.suffix.lower() != ".npy":
        return read_picture(path)
    try:
        if path.stat().st_size > LARGEST_ARRAY:
            raise InputError(f"{path}: is larger than {LARGEST_ARRAY / 1e6:.0f} MB, which no {name} is. Give another.")
        array = np.load(path, allow_pickle=False)
        return np.asarray(array, dtype=np.float32)
    except (OSError, ValueError, TypeError, EOFError) as error:  # an empty file has no beginning
        raise InputError(f"{path}: holds no array of numbers. Give a file that numpy.save wrote.") from error


def read_picture(path: Path) -> NDArray[np.float32]:
    """(C, H, W) in [0, 1] of a file.

    Raises:
        InputError: it cannot be read.
    """
    from upscale_cli.frames.pixels import white_of
    from upscale_cli.media.image.reader_writer import ImageReader

    with ImageReader(path) as reader:
        pixels = next(iter(reader)).without_extra().pixels
    unit = pixels.astype(np.float32) / white_of(pixels)
    return np.ascontiguousarray(np.moveaxis(unit, 2, 0))


def _asked_by(spec: InputSpec) -> str:
    """The option of its own that an input has, marked; "" where it has none."""
    if spec.kind in ("kernel", "kernel_codes"):
        return option("kernel", WORDS)
    return option("reference", "PICTURE") if spec.kind == "reference" else ""


def read_reference(value: "str | Path | NDArray[np.float32]") -> NDArray[np.float32]:
    """(3, H, W) float32 in [0, 1] of a second picture of the scene; a gray one has three equal channels.

    Raises:
        OptionError: an array of another shape. InputError: the file cannot be read.
    """
    picture = np.asarray(value, np.float32) if isinstance(value, np.ndarray) else read_picture(Path(value).expanduser())
    if picture.ndim != 3 or picture.shape[0] not in (1, 2, 3, 4) or not picture.size:
        raise OptionError(
            f"{option('reference')}: an array of shape {_shape(picture.shape)} is no picture. Give (3, H, W) in [0, 1]."
        )
    colours = picture[:3] if picture.shape[0] >= 3 else np.repeat(picture[:1], 3, axis=0)
    return np.ascontiguousarray(colours)


def check_reference(given: Conditions, height: int, width: int) -> None:
    """Refuses a reference of another aspect than that of a picture of that size.

    Raises:
        OptionError: so it is.
    """
    if REFERENCE not in given:
        return
    own_height, own_width = np.shape(given[REFERENCE])[-2:]
    if abs(math.log(own_width * height / (own_height * width))) > ASPECT:
        raise OptionError(
            f"{option('reference')}: {own_width} x {own_height} is of another aspect than the picture, "
            f"{width} x {height}. Give one that shows the same part of the scene."
        )


def resolve(net: Descriptor, given: Conditions) -> Conditions:
    """The inputs of a net, each with its value; those of no use to it are not there.

    Raises:
        OptionError: one is missing, out of range or of the wrong shape.
    """
    values: dict[str, Condition] = {}
    for spec in net.inputs:
        if spec.name == SCALE_INPUT:
            continue
        value = given.get(spec.name, spec.default)
        if value is None:
            wanted = {spec.name: "NUMBER" if not spec.shape else "FILE"}
            raise OptionError(
                f"{net.name} needs {_described(spec)}, which is not given. "
                f"Give {_asked_by(spec) or option('conditions', wanted)}."
            )
        _check(net, spec, value)
        values[spec.name] = value
    return values


def check_names(nets: Sequence[Descriptor], given: Conditions, model: str) -> None:
    """Refuses what no net of a model takes.

    Raises:
        OptionError: there is such a thing.
    """
    known = [spec.name for net in nets for spec in net.inputs if spec.name != SCALE_INPUT]
    for name in given:
        if name not in known:
            takes = f"takes {', '.join(dict.fromkeys(known))}" if known else "takes nothing but the picture"
            raise OptionError(
                f"{option('reference' if name == REFERENCE else 'conditions')}: {model} {takes}, and {name} is given. "
                "Leave it out, or choose another model."
            )


def _described(spec: InputSpec) -> str:
    kind = "a number" if not spec.shape else f"an array of shape {_shape(spec.shape)}"
    bounds = ""
    if spec.least is not None and spec.most is not None:
        bounds = f" from {spec.least:g} to {spec.most:g}"
    return f"{spec.name} ({spec.about or kind}{bounds})"


def _shape(shape: Sequence[int | None]) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"


def _check(net: Descriptor, spec: InputSpec, value: Condition) -> None:
    shape = np.shape(value)
    fits = len(shape) == len(spec.shape) and all(
        wanted in (None, side) for wanted, side in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        raise OptionError(
            f"{option('conditions')}: {spec.name} has the shape {_shape(shape)}, but {net.name} takes "
            f"{_described(spec)} of shape {_shape(spec.shape)}. Give another."
        )
    low, high = float(np.min(value, initial=np.inf)), float(np.max(value, initial=-np.inf))
    least, most = spec.least, spec.most
    if not np.isfinite([low, high]).all() or (least is not None and low < least) or (most is not None and high > most):
        worst = low if least is not None and low < least else high
        raise OptionError(
            f"{option('conditions')}: {spec.name} {worst:g} is out of range for {net.name}, which takes "
            f"{_described(spec)}. Give another."
        )


def spread(net: Descriptor, values: Conditions, height: int, width: int) -> Conditions:
    """With maps of one pixel, which are meant for all, as large as the LR picture."""
    single = {spec.name for spec in net.inputs if spec.tiled and np.shape(values[spec.name])[1:] == (1, 1)}
    return {
        name: np.broadcast_to(value, (len(np.asarray(value)), height, width)) if name in single else value
        for name, value in values.items()
    }


def check_maps(net: Descriptor, values: Conditions, height: int, width: int) -> None:
    """Refuses a map that is not as large as the LR picture.

    Raises:
        OptionError: so it is.
    """
    for spec in net.inputs:
        if spec.tiled and (size := np.shape(values[spec.name])[1:]) != (height, width):
            raise OptionError(
                f"{option('conditions')}: {spec.name} is {size[1]} x {size[0]}, but the picture is {width} x {height}. "
                "Give one of that size."
            )


def enlarged(net: Descriptor, values: Conditions, height: int, width: int) -> Conditions:
    """Maps of the LR picture for a later pass, whose picture is larger: by the nearest value."""
    out = dict(values)
    for spec in net.inputs:
        if spec.tiled:
            out[spec.name] = nearest(np.asarray(values[spec.name]), height, width)
    return out


def nearest(maps: Any, height: int, width: int) -> Any:
    """(..., h, w), numpy's or torch's, of another size, by the nearest value."""
    rows, columns = (
        [at * old // new for at in range(new)] for old, new in zip(maps.shape[-2:], (height, width), strict=True)
    )
    return maps[..., rows, :][..., columns]


def padded(net: Descriptor, values: Conditions, margins: tuple[int, int, int, int], how: str) -> Conditions:
    """Maps with the margins that the picture gets; `how` is a mode of `numpy.pad`."""
    top, bottom, left, right = margins
    tiled = {spec.name for spec in net.inputs if spec.tiled}
    sides: Any = ((0, 0), (top, bottom), (left, right))
    mode: Any = how
    return {name: np.pad(value, sides, mode) if name in tiled else value for name, value in values.items()}


def cut(net: Descriptor, values: Conditions, rows: Span, columns: Span) -> Conditions:
    """What belongs to one window."""
    if not values:
        return values
    y, x = slice(rows.window_start, rows.window_stop), slice(columns.window_start, columns.window_stop)
    tiled = {spec.name for spec in net.inputs if spec.tiled}
    return {name: np.asarray(value)[:, y, x] if name in tiled else value for name, value in values.items()}


def kind_of(values: Conditions) -> tuple[Any, ...]:
    """Equal for conditions that can share a batch."""
    return tuple((name, np.shape(value)) for name, value in values.items())


def stacked(net: Descriptor, values: Sequence[Conditions], scale: Scale) -> dict[str, NDArray[np.float32]]:
    """The conditions of some windows as a session takes them: (n,) float32 of numbers, (n, ...) of arrays.

    Args:
        scale: of the pass, for a net that wants to know.
    """
    return {
        spec.name: np.full(len(values), float(scale), np.float32)
        if spec.name == SCALE_INPUT
        else np.stack([np.asarray(one[spec.name], dtype=np.float32) for one in values])
        for spec in net.inputs
    }


def blank(net: Descriptor, side: int, scale: Scale) -> dict[str, NDArray[np.float32]]:
    """A net's further inputs for a picture of side x side LR pixels: of the right shapes, in a batch of 1, all zero."""
    return {
        spec.name: np.full(
            (1, *((side if spec.tiled else SAMPLE_SIDE) if length is None else length for length in spec.shape)),
            float(scale) if spec.name == SCALE_INPUT else 0.0,
            np.float32,
        )
        for spec in net.inputs
    }


def batch_of(net: Descriptor, values: Sequence[Conditions], scale: Scale, device: "Device") -> "dict[str, Tensor]":
    """`stacked`, on a device."""
    arrays = stacked(net, values, scale)
    if not arrays:
        return {}
    import torch

    return {name: torch.from_numpy(value).to(device) for name, value in arrays.items()}


def cut_batch(net: Descriptor, batch: Mapping[str, Array], rows: Span, columns: Span) -> dict[str, Array]:
    """`cut`, for what is stacked already."""
    y, x = slice(rows.window_start, rows.window_stop), slice(columns.window_start, columns.window_stop)
    tiled = {spec.name for spec in net.inputs if spec.tiled}
    return {name: value[..., y, x] if name in tiled else value for name, value in batch.items()}


def turned(net: Descriptor, batch: Mapping[str, Array], turn: Callable[[Array], Array]) -> dict[str, Array]:
    """What goes with a picture that is mirrored and turned, by what does that to an array's last two axes."""
    spatial = {spec.name for spec in net.inputs if len(spec.shape) >= 2}
    return {name: turn(value) if name in spatial else value for name, value in batch.items()}


def identity_of(given: Conditions) -> dict[str, float | str]:
    """What tells two sets of conditions apart, for fingerprints: numbers as they are, arrays by their sha256."""
    return {
        name: value if isinstance(value, float) else hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        for name, value in sorted(given.items())
    }
