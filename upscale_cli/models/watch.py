"""A net watched at work on a very small picture: what it computes, what it holds, how far one value reaches.

Every operation is seen, whoever wrote the net: torch calls the watch for each (`TorchDispatchMode`).
"""

import math
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from upscale_cli.models.interface import SCALE_INPUT, Descriptor, Scale

SAMPLE_SIDE: Final = 15
"""Of arrays whose sides are free, such as blur kernels."""

SIDES: Final = (16, 32, 64, 128)
"""LR pixels; the larger ones for nets that pad what is smaller, or refuse it."""

MOST_MACS: Final = 10**11
"""Multiply-adds of a picture that is still worth watching: some seconds."""

PADDING: Final = ("constant_pad_nd", "reflection_pad2d", "replication_pad2d")
PRODUCTS: Final = ("mm", "bmm", "addmm", "baddbmm")
ATTENTION: Final = "scaled_dot_product"
SPREADING: Final = ("_softmax", "_log_softmax", "cumsum", "sort", "topk")
GATHERING: Final = (
    "mean", "sum", "amax", "amin", "max", "min", "var", "var_mean", "std", "std_mean", "linalg_vector_norm", "norm",
    "_adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d", "max_pool2d_with_indices", "logsumexp", "prod",
)  # fmt: skip
NORMALISING: Final = ("native_group_norm", "native_batch_norm", "_native_batch_norm_legit", "native_layer_norm")
"""Of ATen's operations (https://docs.pytorch.org/docs/stable/torch.compiler_ir.html): those that pad a picture,
multiply matrices, and let many values have a part in one."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One run.

    Attributes:
        side: LR pixels of the picture's.
        macs: multiply-adds of its convolutions and matrix products.
        elements: of the tensors that were alive at the worst moment, weights apart.
        gathered: by operation, how many values at most had a part in one. It grows with the picture where a net looks
            at the whole of it, or at whole lines.
        pads: it added pixels around the picture, or around what it made of it.
    """

    side: int
    macs: int
    elements: int
    gathered: Mapping[str, int]
    pads: bool


def blank_conditions(net: Descriptor, side: int, scale: Scale, device: torch.device | str) -> dict[str, Tensor]:
    """A net's further inputs for a picture of side x side LR pixels: of the right shapes, in a batch of 1, all zero."""
    given = {}
    for spec in net.inputs:
        free = side if spec.tiled else SAMPLE_SIDE
        shape = (1, *(free if length is None else length for length in spec.shape))
        given[spec.name] = torch.full(shape, float(scale) if spec.name == SCALE_INPUT else 0.0, device=device)
    return given


def watched(module: nn.Module, net: Descriptor, scale: Scale, *, least: int = 1) -> Iterator[Watched]:
    """Runs a net, on the CPU in fp32, on blank pictures of growing size, for as long as more is asked for.

    Sizes that the net refuses are left out; there is an end to them where they take too long.

    Args:
        least: LR pixels of the smallest picture.
    """
    multiple_of = net.side_multiple(scale)
    macs = 0
    for side in dict.fromkeys(
        math.ceil(max(side, net.least_side, least) / multiple_of) * multiple_of for side in SIDES
    ):
        if macs * 4 > MOST_MACS:
            return
        watch = _Watch(module)
        try:
            with torch.no_grad(), watch:
                module(torch.zeros(1, net.channels, side, side), **blank_conditions(net, side, scale, _CPU))
        except (RuntimeError, ValueError, AssertionError, IndexError):  # a least size, known to the net alone
            continue
        macs = watch.macs
        yield Watched(side, watch.macs, watch.worst, dict(watch.gathered), watch.pads)


def looks_at_the_whole(module: nn.Module, net: Descriptor, scale: Scale) -> bool:
    """Whether more values have a part in one, in any operation of a net, the larger the picture is.

    So it is with global pooling, squeeze-and-excitation, normalisation by the picture's own mean, attention over all
    pixels or between channels. Attention within windows and convolutions gather the same number from any picture.
    """
    before: Watched | None = None
    for run in watched(module, net, scale):
        if before is not None:
            if any(count > before.gathered.get(name, count) for name, count in run.gathered.items()):
                return True
            if run.macs > before.macs:  # it has had a larger picture indeed, not the same one padded
                return False
        before = run
    return False


class _Watch(TorchDispatchMode):
    """Sees every operation.

    A tensor counts for as long as its memory is not freed; views of it, and weights, count nothing.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = self.worst = self._alive = 0
        self.gathered: dict[str, int] = {}
        self.pads = False
        self._known: set[int] = {
            tensor.untyped_storage()._cdata for tensor in (*module.parameters(), *module.buffers())
        }  # fmt: skip

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Else torch imports its compiler with the first operation, for more than a second."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func._can_decompose():  # so it comes from a net that runs itself in torch.inference_mode
            with self:
                out = func.decompose(*args, **(kwargs or {}))
            if out is not NotImplemented:
                return out
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        tensors = [one for one in (out if isinstance(out, tuple | list) else (out,)) if isinstance(one, Tensor)]
        for tensor in tensors:
            self._hold(tensor)
        self.worst = max(self.worst, self._alive)
        if tensors:
            self._count(name, args, tensors[0])
        return out

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place, elements = storage._cdata, storage.nbytes() // max(tensor.element_size(), 1)
        if place in self._known:
            return
        self._known.add(place)
        self._alive += elements

        def freed() -> None:
            self._known.discard(place)
            self._alive -= elements

        weakref.finalize(storage, freed)

    def _count(self, name: str, args: tuple[Any, ...], out: Tensor) -> None:
        given = [one for one in args if isinstance(one, Tensor)]
        self.pads = self.pads or name in PADDING
        if name == "convolution":
            data, weight, transposed = given[0], given[1], bool(args[6])
            self.macs += (data if transposed else out).numel() * weight[0].numel()
        elif name in PRODUCTS:
            left = given[-2]
            self.macs += out.numel() * left.shape[-1]
            self._gather(name, left.shape[-1])
        elif name.startswith("_" + ATTENTION):
            query, key = given[0], given[1]
            self.macs += 2 * query.numel() * key.shape[-2]
            self._gather(name, key.shape[-2])
        elif name in SPREADING and given:
            axis = next((one for one in args[1:] if isinstance(one, int)), -1)
            self._gather(name, given[0].shape[axis] if given[0].ndim else 1)
        elif name in GATHERING and given:
            self._gather(name, given[0].numel() // max(out.numel(), 1))
        elif name in NORMALISING:
            means = _mean_count(name, args, out)
            self._gather(name, means)

    def _gather(self, name: str, count: int) -> None:
        self.gathered[name] = max(self.gathered.get(name, 0), count)


def _mean_count(name: str, args: tuple[Any, ...], out: Tensor) -> int:
    """How many values a normalisation takes one mean of."""
    match name:
        case "native_group_norm":  # input, weight, bias, N, C, HxW, groups, epsilon
            return out.numel() // max(int(args[3]) * int(args[6]), 1)
        case "native_layer_norm":  # input, the shape of what is normalised together
            return math.prod(args[1])
        case _:  # in training, or where nothing was learnt about the data: by the batch itself
            learnt = args[4] if name == "native_batch_norm" else args[3]
            is_training = args[5] if name == "native_batch_norm" else True
            return out.numel() // out.shape[1] if is_training or learnt is None else 1


_CPU: Final = torch.device("cpu")
