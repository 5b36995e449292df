"""One LR frame -> one SR frame: the planes of the picture, through the passes, to the exact size.

`Upscaler` is also what Python users hold: `Upscaler("realesrgan")(image, scale=4)`.
"""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar, Unpack, cast

import numpy as np

from upscale_cli.errors import printable
from upscale_cli.events import Listener, Note, ignore
from upscale_cli.frames.image import Frame, Layout, Pixels, channels_of
from upscale_cli.frames.rows import Constant, Held, RowReader, Rows, Shared
from upscale_cli.inference.backends.base import Backend
from upscale_cli.inference.color import bleed
from upscale_cli.inference.conditions import (
    REFERENCE,
    Conditions,
    check_reference,
    identity_of,
    read_condition,
    read_reference,
    resolve,
)
from upscale_cli.inference.degradation import NONE, degradation_of
from upscale_cli.inference.device import Device, choose_devices, picture_done, release_memory
from upscale_cli.inference.engine_chain import engines_for
from upscale_cli.inference.engines_here import TORCH
from upscale_cli.inference.finish import Finish, Mask
from upscale_cli.inference.holes import Filled, WithHoles, has_holes
from upscale_cli.inference.model_parts import model_of
from upscale_cli.inference.options import UpscalerKeywords, UpscalerOptions
from upscale_cli.inference.passes import OnTile, Passes
from upscale_cli.inference.planes import (
    OPAQUE,
    Joined,
    Planes,
    inverted,
    is_constant,
    planes_of,
)
from upscale_cli.inference.sizing import Plan, Target, chosen_target
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.inference.value_range import ValueRange, told, value_range
from upscale_cli.models.interface import Scale, scaled
from upscale_cli.models.resolve import best_clip_model, best_model, is_checkpoint_path
from upscale_cli.models.strength import with_strength

Image = TypeVar("Image")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How another process makes the same `Upscaler`; it can be pickled.

    Attributes:
        model: a name, or the path of a checkpoint; None for the best there is.
    """

    model: str | None
    options: UpscalerOptions
    backend: Backend | None = None

    def make(self, listener: Listener, **changed: Unpack[UpscalerKeywords]) -> "Upscaler":
        """The upscaler.

        Args:
            changed: options that differ there, such as the device.
        """
        options = replace(self.options, **changed)
        return Upscaler(self.model, listener=listener, backend=self.backend, **options.keywords)


class Upscaler:
    """Upscales pictures with one model. Owns its nets on the devices; loads them when first needed.

    Threads may share it: their tiles then go through the net together.

    Args:
        model: as `-m` takes it: a name, omdb:ID, the path or stem of a checkpoint; None for the best on this machine.
        progress: show a tqdm bar (for notebooks and scripts).
        backend: runs the nets, whatever `engine` says.
        listener: receives every event instead; see `upscale_cli.events`.
        keywords: the fields of `UpscalerOptions`: device, engine, precision, tile, denoise, conditions, kernel, ...

    Raises:
        OptionError, UnknownModelError, CheckpointError, FetchError, DeviceError: see `upscale_cli.errors`.

    Example:
        >>> from PIL import Image
        >>> Upscaler("bicubic")(Image.new("RGB", (20, 10)), scale=2.5).size
        (50, 25)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        progress: bool = False,
        backend: Backend | None = None,
        listener: Listener = ignore,
        **keywords: Unpack[UpscalerKeywords],
    ) -> None:
        options = self._options = UpscalerOptions(**keywords)
        self._conditions = {name: read_condition(value, name) for name, value in (options.conditions or {}).items()}
        if options.reference is not None:
            self._conditions[REFERENCE] = read_reference(options.reference)
        self.degradation = degradation_of(options)
        self._backend = backend
        self._listener, self._bar = listener, progress
        self.alpha, self.wrap = options.alpha, options.wrap
        self._nets: dict[tuple[Scale, str], TiledNet] = {}
        self._noted = set[tuple[Scale, ...]]()
        self._memory: int | None = None
        self._sharing = 1
        self.why = "asked for"
        if model is None:
            codec = options.clip_codec
            name, self.why = (
                best_model(say=self._say) if codec is None else best_clip_model(codec, hurries=options.hurry)
            )
        else:
            name = os.fspath(model)
        self._model = model_of(
            with_strength(name, options.strength), chosen_for_user=model is None, denoise=options.denoise,
            conditions=self._conditions, listener=listener, degradation=self.degradation,
        )  # fmt: skip
        # What is given in another process has the strength in it.
        self.recipe = Recipe(None, options, backend) if model is None else Recipe(
            self._model.given, replace(options, strength=None), backend
        )  # fmt: skip
        self.name, self.kernel = self._model.name, self._model.kernel
        self.only_scale, self.default_scale = self._model.only_scale, self._model.default_scale
        if model is not None and not is_checkpoint_path(name) and name.lower() != self.name:
            self.why = f"asked for as {printable(name)}"
        self.why += "" if options.strength is None else f", strength {options.strength:g}"
        self.devices = choose_devices(self._model.device_for(options.device))
        self.engines = engines_for(
            self._model, self.devices[0], options.device, options.engine, options.precision, backend, self._say,
            hurry=options.hurry,
        )  # fmt: skip
        mask = None if options.mask is None else Mask.read(options.mask)
        self.finish = Finish(options.blend, options.match_colour, mask)
        self._passes = Passes(self.net, self.finish, self.inputs_for, wrap=self.wrap, say=self._say)
        self._loading = threading.RLock()  # several threads may share an upscaler

    @property
    def device(self) -> Device:
        """The first of `devices`, which are all of one kind."""
        return self.devices[0]

    @property
    def device_names(self) -> str:
        """All of them, for people."""
        return self.engines.device_name or ", ".join(map(str, self.devices))

    def __call__(self, image: Image, scale: float | None = None, *, target: Target | None = None) -> Image:
        """Upscales an image and gives back one of the same kind.

        Args:
            image: a PIL image (any mode), or an array of shape (H, W) or (H, W, C): C of 1 gray, 2 gray and alpha,
                3 RGB, 4 RGBA; uint8, uint16 (0..65535), float32 or float64 (0..1).
            scale: SR pixels per LR pixel, any real number above 0; None: 4, or the model's own.
            target: instead of `scale`, a size: `Target(box=(800, 600))`, `Target(long_side=4000)`.

        Raises:
            OptionError: scale out of range, or both scale and target.
            TypeError, ValueError: something that is no image.
        """
        from upscale_cli.media.image.memory import to_frame

        target = self.target(scale, target)
        frame, back = to_frame(image)
        plan = self.plan(frame.width, frame.height, target)
        used = self.value_range(frame, plan)
        if used.is_own:
            self._say(f"the picture: {told(used)}")
        if not self._bar:
            return cast(Image, back(self.upscale(frame, plan, used=used)))
        from tqdm.auto import tqdm

        with tqdm(total=self.tile_count(frame, plan), unit="tile", desc=self.name) as bar:
            return cast(Image, back(self.upscale(frame, plan, on_tile=bar.update, used=used)))

    def target(self, scale: float | None = None, target: Target | None = None) -> Target:
        """How large a result shall be: as given, or else by the default scale.

        Raises:
            OptionError: scale out of range, or both scale and target.
        """
        return chosen_target(scale, target, self.default_scale)

    def plan(self, width: int, height: int, target: Target) -> Plan:
        """The passes and the exact size for an LR picture of that size.

        Raises:
            OptionError: the scale is out of reach, or mask or reference are of another aspect.
        """
        if self.finish.mask is not None:
            self.finish.mask.check(height, width)
        check_reference(self._conditions, height, width)
        return self.plan_of_any(width, height, target)

    def plan_of_any(self, width: int, height: int, target: Target) -> Plan:
        """`plan` of no picture in particular: one of that size, whatever mask and reference are."""
        sr_width, sr_height = target.size_for(width, height)
        if self.kernel is not None:
            return Plan((), sr_width, sr_height, self.kernel)
        needed = max(sr_width / width, sr_height / height)
        if target.scale is not None:
            # 3/2 of an odd side is rounded up, by a pass too.
            needed = target.scale if self._model.makes_any_scale else min(needed, target.scale)
            self._model.check_scale(needed)
        return Plan(self._model.passes(needed), sr_width, sr_height, "lanczos")

    def pass_names(self, plan: Plan) -> tuple[str, ...]:
        """What each pass runs, for people: the checkpoint's name, or what a file's net is."""
        return tuple(map(self._model.pass_name, plan.passes))

    def plan_note(self, plan: Plan, width: int, height: int) -> str:
        """What a plan does that the user may not expect, once for the same passes; "" for nothing.

        Args:
            width, height: of the LR picture.
        """
        if not plan.passes or plan.passes in self._noted:
            return ""
        self._noted.add(plan.passes)
        return self._model.plan_note(plan.passes, max(plan.width / width, plan.height / height))

    def checksums_of(self, plan: Plan) -> dict[str, str]:
        """sha256 of the checkpoints that a plan takes, by the scale of the pass."""
        return self._model.checksums_of(plan.passes)

    def value_range(self, lr: Frame | RowReader, plan: Plan) -> ValueRange:
        """Which values the net will get as 0 and 1; see `inference.value_range`. Interpolation needs no such thing."""
        if plan.passes:
            return value_range(lr)
        return ValueRange.full(lr.dtype if isinstance(lr, RowReader) else lr.pixels.dtype)

    def upscale(
        self, frame: Frame, plan: Plan, on_tile: OnTile | None = None, *, used: ValueRange | None = None
    ) -> Frame:
        """One LR frame to one SR frame of the same layout and depth, rounded once.

        Args:
            frame: (H, W, C) uint8, uint16 or float32; NaN and Inf in it stay holes (NaN).
            plan: from `plan(frame.width, frame.height, ...)`.
            on_tile: called after each of `tile_count(frame, plan)` tiles.
            used: `value_range` of this frame, or of all frames that belong together; None: of this one.
        """
        rows = self.rows(frame, plan, on_tile, used)
        pixels = rows.pixels if isinstance(rows, Held) else rows.whole()
        picture_done()
        return Frame(pixels, self.layout(frame), frame.transfer, frame.duration_ms, frame.extra, frame.nodata)

    def rows(
        self, lr: Frame | RowReader, plan: Plan, on_tile: OnTile | None = None, used: ValueRange | None = None
    ) -> Rows:
        """The SR picture, computed as its rows are asked for; `upscale` asks for all of them, with these arguments.

        Of the SR picture, and of what lies between two passes, no more is held than is still needed. A picture that
        wraps is held between the passes.
        """
        layout, plan = self.layout(lr), self.found(lr, plan)
        if not plan.passes and (plan.width, plan.height) == (lr.width, lr.height):
            return lr.rows() if isinstance(lr, RowReader) else Held(self._kept(lr))
        if isinstance(lr, RowReader):
            return self._streamed(lr, plan, on_tile, used)
        used = self.value_range(lr, plan) if used is None else used
        kept = Held(self._kept(lr))
        holed = has_holes(kept, lr.nodata)
        pixels = Filled(lambda: kept, lr.nodata).whole() if holed else kept.pixels
        parts = []
        for planes in planes_of(layout, lr.extra):
            part = pixels[:, :, planes.channels]
            if planes.kind == "colour" and layout in OPAQUE:
                alpha = channels_of(layout) - 1
                part = bleed(part, pixels[:, :, alpha : alpha + 1])
            part = inverted(part) if planes.ink else part
            own = self._range_of(planes, lr, plan, used)
            parts.append((planes, self._planes(part, planes, plan, lr, on_tile, own)))
        sr = parts[0][1] if len(parts) == 1 else Joined(parts)
        return WithHoles(sr, kept, lr.nodata) if holed or lr.nodata is not None else sr

    def _streamed(self, lr: RowReader, plan: Plan, on_tile: OnTile | None, used: ValueRange | None) -> Rows:
        """As `rows`, of a picture that is decoded band by band."""
        if lr.constant is not None:
            return Constant(plan.height, plan.width, lr.channels, lr.constant)
        used = self.value_range(lr, plan) if used is None else used
        holed = has_holes(lr.rows(), lr.nodata)

        def opened() -> Rows:
            return Filled(lr.rows, lr.nodata) if holed else lr.rows()

        groups = planes_of(lr.layout, lr.extra)
        shared = Shared(opened, [planes.channels for planes in groups]) if len(groups) > 1 else None
        parts = []
        for number, planes in enumerate(groups):
            picture = opened if shared is None else shared.view(number)
            own = self._range_of(planes, lr, plan, used)
            parts.append((planes, self._passes.rows(picture, planes, plan, lr, on_tile, own)))
        sr = parts[0][1] if len(parts) == 1 else Joined(parts)
        return sr if lr.nodata is None else WithHoles(sr, lr.rows(), lr.nodata)

    def _range_of(self, planes: Planes, lr: Frame | RowReader, plan: Plan, used: ValueRange) -> ValueRange:
        """What the net gets as 0 and 1: `used` for colour, its own for each further channel."""
        first = channels_of(self.layout(lr))
        if planes.channels.start < first or not plan.passes:
            return used
        at = planes.channels.start - first + channels_of(lr.layout)  # an alpha that is dropped is in LR yet
        return value_range(lr, slice(at, at + 1))

    def _kept(self, lr: Frame) -> Pixels:
        """The channels of an LR frame that SR has too: all but an alpha that is dropped."""
        if self.alpha != "drop" or not lr.has_alpha:
            return lr.pixels
        alpha = channels_of(lr.layout) - 1
        if not lr.extra:
            return lr.pixels[:, :, :alpha]
        return np.delete(lr.pixels, alpha, axis=2)

    def tile_count(self, lr: Frame | RowReader, plan: Plan) -> int:
        """How often `upscale` will call `on_tile`."""
        return sum(net.tile_count(height, width) for net, height, width in self._steps(lr, plan))

    def expected_seconds(self, lr: Frame | RowReader, plan: Plan) -> float:
        """How long `upscale` is likely to take on this device; 0 where that is too little to be worth knowing."""
        return sum(net.expected_seconds(height, width) for net, height, width in self._steps(lr, plan))

    def layout(self, lr: Frame | RowReader) -> Layout:
        """Of the SR picture."""
        return OPAQUE.get(lr.layout, lr.layout) if self.alpha == "drop" else lr.layout

    def _steps(self, lr: Frame | RowReader, plan: Plan) -> Iterator[tuple[TiledNet, int, int]]:
        """Every run of a net over some planes of a frame: (net, height, width of what goes in)."""
        for planes in planes_of(self.layout(lr), lr.extra):
            if self._is_interpolated(planes):
                continue
            if (
                lr.constant is not None
                if isinstance(lr, RowReader)
                else is_constant(self._kept(lr)[:, :, planes.channels])
            ):
                continue
            height, width = lr.height, lr.width
            for scale in plan.passes:
                yield self._net_for(scale, lr), height, width
                height, width = scaled(height, scale), scaled(width, scale)

    def _is_interpolated(self, planes: Planes) -> bool:
        return planes.kind == "smooth" or (planes.kind == "alpha" and self.alpha == "lanczos")

    def _planes(
        self, part: Pixels, planes: Planes, plan: Plan, frame: Frame, on_tile: OnTile | None, used: ValueRange
    ) -> Rows:
        """Some channels of a frame, all the way: (H, W, c) to (plan.height, plan.width, c) of that dtype."""
        if is_constant(part):  # an opaque alpha, an ink that is not used: nothing to compute
            return Constant(plan.height, plan.width, part.shape[2], part.flat[0])
        if self._is_interpolated(planes):
            return self._passes.resampled(Held(part), plan, part.dtype, "lanczos")
        return self._passes.rows(lambda: Held(part), planes, plan, frame, on_tile, used)

    def precision_for(self, plan: Plan, bits: int) -> str:
        """What the passes compute in, for people."""
        return ", ".join(dict.fromkeys(self.engines.choice(scale, bits).precision for scale in plan.passes)) or "fp32"

    def engine_for(self, plan: Plan, bits: int) -> str:
        """What runs the passes, for people."""
        return ", ".join(dict.fromkeys(self.engines.choice(scale, bits).engine for scale in plan.passes)) or "torch"

    def identity(self) -> dict[str, Any]:
        """What decides about a pixel: the model, its checkpoints' sha256, and the options; for comparing two runs."""
        its, rest = self._options, self.finish.identity() | self.degradation.identity()
        if self._conditions:
            rest["condition"] = identity_of(self._conditions)
        if self._backend is not None and self._backend.name != TORCH:
            rest["backend"] = self._backend.name
        return {
            "model": self.name, "checkpoints": self._model.checksums(), "denoise": its.denoise, "alpha": self.alpha,
            "wrap": self.wrap, "precision": its.precision, "tile": its.tile, "overlap": its.overlap,
            "tta": its.tta, "device": self.device.type, **self._model.halo_identity(its.halo), **rest,
        }  # fmt: skip

    def share(self, threads: int) -> None:
        """So many threads will use it at a time, each on its share of the processor and of the memory."""
        with self._loading:
            self._sharing = threads
            for net in self._nets.values():
                net.share(threads)

    def limit_memory(self, memory: int | None) -> None:
        """Bounds what a row of tiles may take, in bytes, and on a CPU a window too; None: by what is free."""
        self._memory = memory
        for net in self._nets.values():
            net.limit_memory(memory)

    def close(self) -> None:
        """Releases the nets and the device's memory."""
        self._nets.clear()
        self._model.release()
        for device in self.devices:
            release_memory(device)

    def _net_for(self, scale: Scale, lr: Frame | RowReader) -> TiledNet:
        return self.net(scale, 8 * (lr.dtype if isinstance(lr, RowReader) else lr.pixels.dtype).itemsize)

    def net(self, scale: Scale, bits: int) -> TiledNet:
        """The net of that scale at work on the devices, in the precision that pictures of `bits` a channel need.

        Raises:
            OptionError: it needs something in addition to the picture that was not given, or cannot take what was.
        """
        with self._loading:
            loaded = self._model.net(scale)
            choice = self.engines.choice(scale, bits)
            key, its, facts = (scale, choice.label), self._options, loaded.descriptor
            if key not in self._nets:
                self._nets[key] = TiledNet(
                    loaded, self.devices, choice.precision, tile=its.tile, overlap=its.overlap, halo=its.halo,
                    wrap=self.wrap, tta=its.tta, memory=self._memory, scale=scale,
                    given=self.degradation.inputs(facts, scale, self._conditions),
                    later=NONE.inputs(facts, scale, self._conditions),
                    backend=self.engines.backend_for(scale, bits), say=self._say,
                )  # fmt: skip
                self._nets[key].share(self._sharing)
            return self._nets[key]

    def found(self, lr: Frame | RowReader, plan: Plan) -> Plan:
        """The plan with what degraded the picture, where that is to be found in it and was not yet."""
        if plan.degradation is not None or not self.degradation.is_open:
            return plan
        from upscale_cli.inference.degradation_search import searched

        return replace(plan, degradation=searched(self.degradation, lr, float(plan.passes[0]), self._say))

    def inputs_for(self, net: TiledNet, plan: Plan, width: int, height: int) -> Conditions:
        """What the first pass of a plan gets beside an LR picture of that size."""
        known = plan.degradation or self.degradation
        known.check_size(width, height, net.scale)
        if known is self.degradation:
            return net.conditions
        return resolve(net.descriptor, known.inputs(net.descriptor, net.scale, self._conditions))

    def _say(self, text: str) -> None:
        self._listener(Note(text))
