"""What an ONNX net is tried with: an engine that takes any size, and pictures that show something of it."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.inference.cgroups import cores
from upscale_cli.inference.engines_here import ONNXRUNTIME, OPENVINO, is_installed, told
from upscale_cli.models.interface import InputSpec
from upscale_cli.models.onnx_graph import INPUT

Batch = NDArray[np.float32]
Runner = Callable[[Batch], Batch]
Infer = Callable[[Mapping[str, Batch]], Batch]

SAMPLE_SIDE: Final = 15
"""Of arrays whose sides are free, such as blur kernels."""


def runner(model: bytes, conditions: Sequence[InputSpec] = ()) -> Runner:
    """Runs a net in fp32 on the processor, whatever size comes.

    Args:
        conditions: what it takes beside the picture; it gets zeros.

    Raises:
        RuntimeError: no engine that is installed takes it; in the words of the last one.
    """
    why = ""
    for load in (_openvino, _onnxruntime):
        try:
            infer = load(model)
        except (RuntimeError, ValueError, MemoryError) as error:
            why = told(error)
            continue
        if infer is not None:
            return functools.partial(_run, infer, tuple(conditions))
    raise RuntimeError(why)


def _run(infer: Infer, conditions: Sequence[InputSpec], lr: Batch) -> Batch:
    return infer({INPUT: lr, **_blank(conditions, lr)})


def _blank(conditions: Sequence[InputSpec], lr: Batch) -> dict[str, Batch]:
    values = {}
    for spec in conditions:
        own = (spec.shape[0], *lr.shape[2:]) if spec.tiled else spec.shape
        values[spec.name] = np.zeros((len(lr), *(SAMPLE_SIDE if side is None else side for side in own)), np.float32)
    return values


def _openvino(model: bytes) -> Infer | None:
    if not is_installed(OPENVINO):
        return None
    from upscale_cli.inference.backends.openvino import core, read

    compiled = core().compile_model(read(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda inputs: np.array(compiled(dict(inputs))[0])


def _onnxruntime(model: bytes) -> Infer | None:
    if not is_installed(ONNXRUNTIME):
        return None
    from upscale_cli.inference.backends.onnxruntime import OnnxRuntimeSession

    return OnnxRuntimeSession(model, "cpu", "fp32", 1, cores()).infer


def smooth(channels: int, height: int, width: int) -> Batch:
    """(1, C, height, width) of slopes and soft waves: every net of pictures gives them back as they are."""
    y, x = np.mgrid[:height, :width]
    planes = [0.5 + 0.3 * np.sin(x / 9 + at) * np.cos(y / 11 + at / 2) for at in range(channels)]
    return np.asarray(planes, np.float32)[None]


def textured(channels: int, height: int, width: int) -> Batch:
    """(1, C, height, width) of edges, waves and grain, as photos have them, and bright in the middle: there a part is
    not on average what the whole is, which nets see that look at it."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:height, :width]
    waves = np.sin(x / 3.0 + np.sin(y / 5.0)) + np.sign(np.sin(x / 13.0) * np.cos(y / 9.0))
    grain = rng.normal(0, 0.06, (channels, height, width))
    spot = np.exp(-8 * ((2 * y / height - 1) ** 2 + (2 * x / width - 1) ** 2))
    return np.asarray(np.clip(0.3 + 0.4 * spot + 0.13 * waves + grain, 0, 1), np.float32)[None]


def contents(channels: int, height: int, width: int, *, few: bool) -> Iterator[Batch]:
    """What a pixel is changed in: a layer that is silent at one may speak at another."""
    rng = np.random.default_rng(11)
    yield rng.random((1, channels, height, width), dtype=np.float32)
    if not few:
        yield np.clip(0.5 + rng.normal(0, 0.02, (1, channels, height, width)), 0, 1).astype(np.float32)
        yield textured(channels, height, width)


def shrunk(sr: NDArray[Any], sides: tuple[int, int], scale: Fraction, margin: int) -> NDArray[Any]:
    """An answer at its input's size, by the nearest pixel; where it lacks a margin, that repeated."""
    rows, columns = (
        np.clip(((np.arange(side) - margin + 0.5) * float(scale)).astype(int), 0, length - 1)
        for side, length in zip(sides, sr.shape[2:], strict=True)
    )
    return np.asarray(sr[:, :, rows][:, :, :, columns])
