"""What `-m` names: one model, checkpoints that are mixed, or a chain of either; see `models.asked`.

-m a+b:0.7,c:0.3  ->  ChainedModel(Model(a), MixedModel(Model(b), Model(c)))
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final, Protocol

from upscale_cli.errors import CheckpointError, OptionError
from upscale_cli.events import Listener
from upscale_cli.inference.conditions import Condition, check_names, resolve
from upscale_cli.inference.degradation import UNKNOWN, Degradation
from upscale_cli.inference.device import Device
from upscale_cli.inference.model import DEFAULT_SCALE, Model, check_denoise
from upscale_cli.inference.options import Wanted
from upscale_cli.inference.plan_notes import shrinking
from upscale_cli.inference.sizing import MAX_SCALE, cheapest_chain
from upscale_cli.messages import option
from upscale_cli.models.asked import JOINS, Part, asked
from upscale_cli.models.chain import chained
from upscale_cli.models.interface import LoadedNet, Precision, Scale, as_scale
from upscale_cli.models.mixing import mixed
from upscale_cli.models.registry import Kernel

Route = tuple[Scale, ...]
"""The scales of a chain's parts, in order; those of the last that enlarges may come again."""

_REACHED: Final = 1 - 1e-9
"""As a float, 5/3 is a little more than 5/3."""


class AnyModel(Protocol):
    """What `-m` may name, on no device yet; see `Model` for what each of these is."""

    given: str
    name: str
    kernel: Kernel | None
    only_scale: float | None
    default_scale: float

    @property
    def makes_any_scale(self) -> bool: ...
    def passes(self, needed: float) -> tuple[Scale, ...]: ...
    def plan_note(self, passes: Sequence[Scale], needed: float) -> str: ...
    def check_scale(self, scale: float) -> None:
        """
        Raises:
            OptionError: it makes no sense for that model.
        """

    def pass_name(self, scale: Scale) -> str: ...
    def device_for(self, asked: str) -> str: ...
    def checksums(self) -> dict[str, str]: ...
    def checksums_of(self, passes: Sequence[Scale]) -> dict[str, str]: ...
    def halo_identity(self, asked_for: int | None) -> dict[str, int | str]: ...
    def release(self) -> None: ...
    def net(self, scale: Scale) -> LoadedNet: ...


class OneNet(AnyModel, Protocol):
    """One model, or several that are mixed: one net for each scale."""

    def costs(self, needed: float) -> dict[Scale, float]: ...
    def precision(
        self, wanted: Wanted, device: Device, scale: Scale, bits: int, engine: str = "torch"
    ) -> Precision: ...


def model_of(
    given: str,
    *,
    chosen_for_user: bool,
    denoise: float,
    conditions: Mapping[str, Condition],
    listener: Listener,
    degradation: Degradation = UNKNOWN,
) -> "AnyModel":
    """What a name means, a chain or a mix of several, too; the arguments are those of `Model`.

    Raises:
        OptionError, UnknownModelError, CheckpointError: see `upscale_cli.errors`.
    """
    parts = asked(given)
    names = [name for part in parts for name in part.names]
    made = iter([
        Model(
            name, chosen_for_user=chosen_for_user, denoise=denoise, conditions=conditions, listener=listener,
            degradation=degradation, is_part=len(names) > 1,
        )
        for name in names
    ])  # fmt: skip
    if len(names) == 1:
        return next(made)
    models = list(made)
    for model in models:
        if model.kernel is not None:
            raise OptionError(
                f"{option('model', given)}: {model.kernel} is no net, and only nets make a chain or are mixed. "
                "Leave it out."
            )
    check_denoise(models, denoise, given)
    degradation.check(given, [spec for model in models for spec in model.inputs])
    one_each = list(_mixed(parts, models))
    return one_each[0] if len(one_each) == 1 else ChainedModel(one_each, conditions, degradation)


def _mixed(parts: Sequence[Part], models: Sequence[Model]) -> "Iterator[OneNet]":
    left = iter(models)
    for part in parts:
        own = list(itertools.islice(left, len(part.names)))
        yield own[0] if len(own) == 1 else MixedModel(own, part.weights)


class MixedModel:
    """Checkpoints of one shape, their weights mixed; see `models.mixing`.

    Args:
        weights: of each; they add up to 1.

    Raises:
        CheckpointError: they do not fit together.
    """

    kernel: Kernel | None = None

    def __init__(self, models: Sequence[Model], weights: Sequence[float]) -> None:
        self.models, self.weights = models, weights
        self.given = ",".join(f"{model.given}:{weight!r}" for model, weight in zip(models, weights, strict=True))
        self.name = "_".join(f"{model.name}-{weight:g}" for model, weight in zip(models, weights, strict=True))
        shared = [scale for scale in models[0].costs(1) if all(scale in model.costs(1) for model in models)]
        if not shared:
            raise CheckpointError(
                f"{models[0].name} and {models[1].name} cannot be blended: they have no scale in common"
            )
        self.only_scale = float(shared[0]) if len(shared) == 1 else None
        self.default_scale = self.only_scale or DEFAULT_SCALE
        self._nets: dict[Scale, LoadedNet] = {}
        self._scales = shared
        if self.only_scale is not None:
            self.net(shared[0])  # what does not fit is said before anything is read

    @property
    def makes_any_scale(self) -> bool:
        return False

    def costs(self, needed: float) -> dict[Scale, float]:
        return {scale: cost for scale, cost in self.models[0].costs(needed).items() if scale in self._scales}

    def passes(self, needed: float) -> tuple[Scale, ...]:
        return cheapest_chain(self.costs(needed), needed)

    def plan_note(self, passes: Sequence[Scale], needed: float) -> str:
        return shrinking(self.name, passes, needed)

    def check_scale(self, scale: float) -> None:
        pass

    def pass_name(self, scale: Scale) -> str:
        return " and ".join(dict.fromkeys(model.pass_name(scale) for model in self.models))  # files of one kind: once

    def device_for(self, asked: str) -> str:
        return self.models[0].device_for(asked)

    def precision(self, wanted: Wanted, device: Device, scale: Scale, bits: int, engine: str = "torch") -> Precision:
        return self.models[0].precision(wanted, device, scale, bits, engine, is_mixed=True)

    def checksums(self) -> dict[str, str]:
        return self.checksums_of(self._scales)

    def checksums_of(self, passes: Sequence[Scale]) -> dict[str, str]:
        sums = [model.checksums() for model in self.models]
        return {
            str(scale): " + ".join(
                f"{weight:g} * {one[str(scale)]}" for one, weight in zip(sums, self.weights, strict=True)
            )
            for scale in sorted(set(passes))
        }

    def halo_identity(self, asked_for: int | None) -> dict[str, int | str]:
        return self.models[0].halo_identity(asked_for)

    def release(self) -> None:
        self._nets.clear()
        for model in self.models:
            model.release()

    def net(self, scale: Scale) -> LoadedNet:
        if scale not in self._nets:
            names = [model.name for model in self.models]
            self._nets[scale] = mixed([model.net(scale) for model in self.models], self.weights, names)
        return self._nets[scale]


class ChainedModel:
    """Nets one after the other, as one net; see `models.chain`.

    Its scales are the products of its parts'. What is more than they make is made by the last part that enlarges, as
    often as it takes.

    Args:
        conditions: what the user gives, each to all parts that take it.
        degradation: what the user says of blur and noise.
    """

    kernel: Kernel | None = None

    def __init__(
        self, parts: Sequence[OneNet], conditions: Mapping[str, Condition], degradation: Degradation = UNKNOWN
    ) -> None:
        self.parts, self._conditions, self._degradation = parts, conditions, degradation
        self.given = JOINS.join(part.given for part in parts)
        self.name = "+".join(part.name for part in parts)
        scales = sorted(_product(route) for route in self._routes(1, 0))
        self.only_scale = float(scales[0]) if len(scales) == 1 or scales[0] > DEFAULT_SCALE else None
        if self.only_scale is not None and self.only_scale == int(self.only_scale):
            self.only_scale = int(self.only_scale)
        self.default_scale = self.only_scale or DEFAULT_SCALE
        if self.only_scale is not None and self.only_scale > MAX_SCALE:
            raise OptionError(
                f"{option('model')}: {self.name} makes {self.only_scale:g} times as many pixels a side, and at most "
                f"{MAX_SCALE:g} make sense. Leave parts out."
            )
        self._taken: dict[Scale, Route] = {}
        self._nets: dict[Scale, LoadedNet] = {}

    @property
    def makes_any_scale(self) -> bool:
        return False

    def passes(self, needed: float) -> tuple[Scale, ...]:
        """One: a window goes through all parts at once."""
        route = self._route(needed)
        scale = _product(route)
        self._taken[scale] = route
        return (scale,)

    def plan_note(self, passes: Sequence[Scale], needed: float) -> str:
        return shrinking(self.name, passes, needed)

    def check_scale(self, scale: float) -> None:
        """Refuses a scale for which a part that enlarges computes in vain.

        Raises:
            OptionError: so it is.
        """
        route = self._route(scale)
        enlarging = [at for at, one in enumerate(route) if one > 1]
        if len(enlarging) < 2:
            return
        less = _product(route) / route[enlarging[-1]]
        if less >= scale * _REACHED:
            last = self.parts[min(enlarging[-1], len(self.parts) - 1)].name
            raise OptionError(
                f"{self.name} makes {float(_product(route)):g}x, and without {last} it makes {float(less):g}x already, "
                f"where {option('scale', scale)} is asked for. Leave {last} out, or choose a larger {option('scale')}."
            )

    def route(self, scale: Scale) -> tuple[tuple[OneNet, Scale], ...]:
        """The nets of a pass of that scale: whose, and the scale of each."""
        route = self._taken.get(scale) or self._route(float(scale))
        return tuple((self.parts[at], one) for at, one in zip(self._places(route), route, strict=True))

    def pass_name(self, scale: Scale) -> str:
        return " + ".join(part.pass_name(own) for part, own in self.route(scale))

    def device_for(self, asked: str) -> str:
        for part in self.parts:
            asked = part.device_for(asked)
        return asked

    def checksums(self) -> dict[str, str]:
        """Of every part, by its place and scale."""
        return {
            f"{at} {scale}": sha256
            for at, part in enumerate(self.parts, start=1)
            for scale, sha256 in part.checksums().items()
        }

    def checksums_of(self, passes: Sequence[Scale]) -> dict[str, str]:
        return {
            str(scale): " + ".join(", ".join(part.checksums_of([own]).values()) for part, own in self.route(scale))
            for scale in sorted(set(passes))
        }

    def halo_identity(self, asked_for: int | None) -> dict[str, int | str]:
        found = [str(value) for part in self.parts for value in part.halo_identity(asked_for).values()]
        return {"halo": asked_for} if asked_for is not None else {"halo": ", ".join(found)} if found else {}

    def release(self) -> None:
        self._nets.clear()
        for part in self.parts:
            part.release()

    def net(self, scale: Scale) -> LoadedNet:
        if scale not in self._nets:
            nets = [(part.net(own), own) for part, own in self.route(scale)]
            check_names([net.descriptor for net, _ in nets], self._conditions, self.name)
            for net, own in nets:
                resolve(net.descriptor, self._degradation.inputs(net.descriptor, own, self._conditions))
            self._nets[scale] = chained(nets)
        return self._nets[scale]

    # Which nets make which scale

    def _route(self, needed: float) -> Route:
        """The cheapest way to at least so many SR pixels per LR pixel."""
        again = 0
        while True:
            routes = self._routes(needed, again)
            fitting = [route for route in routes if _product(route) >= needed * _REACHED]
            if fitting:
                return min(fitting, key=lambda route: (self._cost(route, needed), route))
            if max(map(_product, routes)) <= 1:
                raise OptionError(
                    f"{self.name} keeps the size: scale {needed:g} is out of its reach. Choose {option('scale', 1)} or "
                    "less, or add a model that enlarges."
                )
            again += 1

    def _routes(self, needed: float, again: int) -> list[Route]:
        """All ways through the parts; the last that can enlarge comes `again` so many times."""
        choices = [tuple(part.costs(needed)) for part in self.parts]
        at = self._enlarger(choices)
        return list(itertools.product(*choices[:at], *[choices[at]] * (1 + again), *choices[at + 1 :]))

    def _places(self, route: Route) -> list[int]:
        """Which part each scale of a route belongs to."""
        at = self._enlarger([tuple(part.costs(1)) for part in self.parts])
        more = len(route) - len(self.parts)
        return [*range(at + 1), *[at] * more, *range(at + 1, len(self.parts))]

    @staticmethod
    def _enlarger(choices: Sequence[Route]) -> int:
        return max((at for at, scales in enumerate(choices) if max(scales) > 1), default=0)

    def _cost(self, route: Route, needed: float) -> float:
        total, pixels = 0.0, 1.0
        for at, scale in zip(self._places(route), route, strict=True):
            total += self.parts[at].costs(needed)[scale] * pixels
            pixels *= float(scale) ** 2
        return total


def _product(route: Route) -> Scale:
    return as_scale(math.prod(map(Fraction, route)))
