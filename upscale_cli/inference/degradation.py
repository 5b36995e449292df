"""What degraded a picture, as the user says it, and as each net wants to know it.

    options kernel, noise  ->  Degradation  ->  (what is to be found in the picture)  ->  inputs of a net

Pure.
"""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np

from upscale_cli.errors import OptionError
from upscale_cli.inference.blur_kernels import (
    Kernel,
    checked,
    nothing,
    parse_kernel,
    resized,
    share_beyond_gaussian,
    with_bicubic,
)
from upscale_cli.inference.conditions import Condition, Conditions
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.messages import option
from upscale_cli.models.input_spec import InputKind, Sampling
from upscale_cli.models.interface import Descriptor, InputSpec, Scale, scaled

KERNEL_KINDS: Final[tuple[InputKind, ...]] = ("kernel", "kernel_codes")

MOST_CUT: Final = 0.05
"""What part of a kernel may lie outside of the pixels that a net knows."""

AUTO: Final = "auto"
KERNELGAN: Final = "kernelgan"
MINUTES: Final = 5.0
"""That the training on a picture may take, where the user says nothing else."""

BORNE: Final = 0.1
PER_SHARE: Final = 30.0
"""What a kernel is no Gaussian by, as a share of it, is noise to nets that know Gaussians only: so many levels for what
is beyond the share that they bear (benchmarks/degradation.py)."""

Search = Literal["auto", "kernelgan"]
"""How a kernel is found in a picture: by its statistics, or by training on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Degradation:
    """What is known of it.

    Attributes:
        kernel: that the SR picture was convolved with, in SR pixels; None: unknown.
        noise: standard deviation in levels of 255 that was added then; None: unknown.
        sampling: how the picture was shrunk between the two.
        search: how the kernel is to be found in each picture; None: it is not.
        minutes: that a search may take.
        finds_noise: the noise is to be found in each picture.
    """

    kernel: Kernel | None = None
    noise: float | None = None
    sampling: Sampling = "bicubic"
    search: Search | None = None
    minutes: float = MINUTES
    finds_noise: bool = False

    @property
    def is_open(self) -> bool:
        """Whether something is to be found in the picture."""
        return self.search is not None or self.finds_noise

    def found(self, kernel: Kernel | None, noise: float | None) -> Self:
        """With what was found; None: it was not looked for."""
        return replace(
            self, kernel=self.kernel if kernel is None else kernel, noise=self.noise if noise is None else noise,
            search=None, finds_noise=False, sampling=self.sampling if kernel is None else "bicubic",
        )  # fmt: skip

    def check(self, model: str, inputs: Iterable[InputSpec]) -> None:
        """Refuses what a model has no use for.

        Raises:
            OptionError: there is such a thing.
        """
        kinds = {spec.kind for spec in inputs}
        wants_noise = self.finds_noise or bool(self.noise)
        if (self.kernel is not None or self.search) and not kinds.intersection(KERNEL_KINDS):
            raise OptionError(
                f"{option('kernel')}: {model} knows nothing of blur kernels. Leave it out, or choose a net that does: "
                "srmd, udvd, usrnet."
            )
        if wants_noise and "noise" not in kinds:
            raise OptionError(
                f"{option('noise')}: {model} knows nothing of noise. Leave it out, or choose a net that does: srmd, "
                "udvd, usrnet."
            )

    def inputs(self, net: Descriptor, scale: Scale, given: Conditions) -> Conditions:
        """A net's inputs: those that are given by name, and those that are known by what they are.

        What is to be found in the picture yet is as if there were none of it.

        Raises:
            OptionError: the net cannot take the kernel.
        """
        values = dict(given)
        for spec in net.inputs:
            if spec.name in values:
                continue
            if spec.kind in KERNEL_KINDS and (self.kernel is not None or self.search):
                values[spec.name] = self._kernel_for(spec, net, int(scale))
            elif spec.kind == "noise":
                values[spec.name] = _noise_for(spec, math.hypot(self.noise or 0.0, self._taken_for_noise(net)))
        return values

    def _kernel_for(self, spec: InputSpec, net: Descriptor, scale: int) -> Condition:
        kernel = nothing() if self.kernel is None else self.kernel
        if spec.sampling == "every" and self.sampling == "bicubic":
            kernel = with_bicubic(kernel, scale)
        elif spec.sampling == "bicubic" and self.sampling == "every" and self.kernel is not None:
            raise OptionError(
                f"{option('kernel_sampling', 'every')}: {net.name} knows pictures that were shrunk by bicubic only. "
                "Leave it out, or choose usrnet."
            )
        if spec.kind == "kernel_codes":
            from upscale_cli.models.kernel_codes import CODED_SIDE, codes_of

            return codes_of(_fitted(kernel, CODED_SIDE, net), net.name)[:, None, None]
        side = spec.shape[-1]
        return (kernel if side is None else _fitted(kernel, side, net)).astype(np.float32)[None]

    def _taken_for_noise(self, net: Descriptor) -> float:
        """Levels of 255."""
        if self.kernel is None or not any(spec.gaussian for spec in net.inputs):
            return 0.0
        return PER_SHARE * max(0.0, share_beyond_gaussian(self.kernel) - BORNE)

    def check_size(self, width: int, height: int, scale: Scale) -> None:
        """Refuses a kernel that is larger than the SR picture of an LR picture of that size.

        Raises:
            OptionError: so it is.
        """
        side = 0 if self.kernel is None else len(self.kernel)
        sr_width, sr_height = scaled(width, scale), scaled(height, scale)
        if side > min(sr_width, sr_height):
            raise OptionError(
                f"{option('kernel')}: {side} x {side} pixels are more than the picture has, of which "
                f"{sr_width} x {sr_height} are made. Give a smaller kernel."
            )

    def identity(self) -> dict[str, Any]:
        """What tells two of them apart, for fingerprints: nothing where nothing is said."""
        known: dict[str, Any] = {}
        if self.search:
            known["kernel"] = self.search if self.search == AUTO else f"{self.search}:{self.minutes:g}"
        elif self.kernel is not None:
            known["kernel"] = hashlib.sha256(np.ascontiguousarray(self.kernel).tobytes()).hexdigest()
            known |= {"kernel_sampling": self.sampling} if self.sampling != "bicubic" else {}
        if self.finds_noise or self.noise is not None:
            known["noise"] = AUTO if self.finds_noise else self.noise
        return known


UNKNOWN: Final = Degradation()
"""Where the user says nothing."""

NONE: Final = Degradation(kernel=nothing(), noise=0.0)
"""Of a picture that a net has made: what follows has nothing to undo."""


def degradation_of(options: UpscalerOptions) -> Degradation:
    """What the options say.

    Raises:
        OptionError: it makes no sense. InputError: a file holds no kernel.
    """
    noise, finds_noise = _noise(options.noise)
    given = Degradation(noise=noise, finds_noise=finds_noise, sampling=options.kernel_sampling)
    match options.kernel:
        case None:
            if options.kernel_sampling != "bicubic":
                raise OptionError(
                    f"{option('kernel_sampling', options.kernel_sampling)}: is about the blur before it, and none is "
                    f"given. Add {option('kernel', 'KIND')}, or leave it out."
                )
            return given
        case str() as words if words.partition(":")[0].strip().lower() in (AUTO, KERNELGAN):
            return _searching(given, words)
        case str() | Path() as words:
            return replace(given, kernel=parse_kernel(words))
        case array:
            return replace(given, kernel=checked(array, option("kernel")))


def _searching(given: Degradation, words: str) -> Degradation:
    kind, colon, rest = words.partition(":")
    search: Search = "auto" if kind.strip().lower() == AUTO else "kernelgan"
    try:
        minutes = float(rest) if colon else MINUTES
    except ValueError:
        minutes = 0.0
    if (search == "auto" and colon) or not 0 < minutes <= 24 * 60:
        raise OptionError(f"{option('kernel', words)} is not understood. Write auto, kernelgan or kernelgan:MINUTES.")
    return replace(given, search=search, minutes=minutes)


def _noise(given: float | str | None) -> tuple[float | None, bool]:
    """(standard deviation, whether it is to be found)."""
    if isinstance(given, str) and given.strip().lower() == AUTO:
        return None, True
    try:
        noise = None if given is None else float(given)
    except ValueError:
        noise = -1.0
    if noise is not None and not 0 <= noise <= 255:
        raise OptionError(
            f"{option('noise', given)} is out of range. Choose a standard deviation from 0 to 255 levels, or auto."
        )
    return noise, False


def _noise_for(spec: InputSpec, noise: float) -> Condition:
    level = noise * spec.level
    if spec.most is not None:
        level = min(level, spec.most)
    return np.full((1, 1, 1), level, np.float32) if spec.tiled else level


def _fitted(kernel: Kernel, side: int, net: Descriptor) -> Kernel:
    cut = resized(kernel, side)
    lost = 1 - np.abs(cut).sum() / np.abs(kernel).sum()
    if lost > MOST_CUT:
        raise OptionError(
            f"{option('kernel')}: {lost:.0%} of it lie outside of the {side} x {side} pixels that {net.name} knows. "
            "Give a smaller kernel, or choose usrnet."
        )
    return np.asarray(cut / cut.sum())
