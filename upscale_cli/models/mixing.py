"""Nets between nets: the weights of several checkpoints, mixed. Of one architecture and one shape only."""

from collections.abc import Sequence
from dataclasses import replace

from upscale_cli.errors import CheckpointError
from upscale_cli.models.interface import LoadedNet, scales_named


def interpolate(a: LoadedNet, b: LoadedNet, weight: float) -> LoadedNet:
    """weight * a + (1 - weight) * b: `mixed`, of two."""
    return mixed((a, b), (weight, 1 - weight))


def mixed(nets: Sequence[LoadedNet], weights: Sequence[float], names: Sequence[str] = ()) -> LoadedNet:
    """The weighted sum of nets that differ in nothing but their weights, tensor by tensor.

    Wang et al., "Deep Network Interpolation for Continuous Imagery Effect Transition", CVPR 2019,
    https://arxiv.org/abs/1811.10515

    Args:
        weights: of each; they add up to 1.
        names: of each, for messages; (): what they are.

    Raises:
        CheckpointError: they differ in more than their weights, or one is an ONNX graph.
    """
    first = nets[0]
    for number, net in enumerate(nets):
        if not _fits(first, net):
            kinds = [f"{one.descriptor.name} {scales_named(one.descriptor.scales)}" for one in (first, net)]
            one, other = (f"{names[at]} ({kind})" if names else f"a {kind}"
                          for at, kind in zip((0, number), kinds, strict=True))  # fmt: skip
            hidden = "; an ONNX file does not show its own" if net.graph is not None else ""
            raise CheckpointError(
                f"{one} and {other} cannot be blended: only nets that differ in nothing but their weights can{hidden}"
            )
    total = {
        key: weights[0] * tensor if tensor.is_floating_point() else tensor for key, tensor in first.state_dict.items()
    }
    for net, weight in zip(nets[1:], weights[1:], strict=True):
        for key, tensor in net.state_dict.items():
            if tensor.is_floating_point():  # indices and counters are no weights
                total[key] = total[key] + weight * tensor
    return replace(first, state_dict=total, identity="", int8=None)


def _fits(first: LoadedNet, other: LoadedNet) -> bool:
    if other.graph is not None or first.descriptor != other.descriptor:
        return False
    ours, theirs = ({key: tuple(value.shape) for key, value in net.state_dict.items()} for net in (first, other))
    return ours == theirs
