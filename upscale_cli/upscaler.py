"""One LR frame -> one SR frame: the planes of the picture, through the passes, to the exact size.

`Upscaler` is also what Python users hold: `Upscaler("realesrgan")(image, scale=4)`.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast, get_args

import numpy as np

from upscale_cli.chain import Target, cheapest_chain
from upscale_cli.color import bleed
from upscale_cli.device import Precision, Wanted, choose_device, choose_precision, release_memory
from upscale_cli.engine import Engine
from upscale_cli.errors import OptionError
from upscale_cli.events import Listener, Note, ignore
from upscale_cli.media.frame import Frame, Layout, Pixels, channels_of
from upscale_cli.models.checkpoint import LoadedNet, interpolate, load_net, load_spec, net_digest
from upscale_cli.models.obtain import obtain_telling
from upscale_cli.models.picture import PictureNet
from upscale_cli.models.registry import MODELS, Kernel, Spec, kernel_named, rows_of
from upscale_cli.models.select import best_clip_model, best_model, is_checkpoint_path, rows_at_hand
from upscale_cli.planes import (
    OPAQUE,
    Levels,
    Planes,
    inverted,
    is_constant,
    nearest,
    planes_of,
    without_holes,
)
from upscale_cli.resample import resample
from upscale_cli.tiling import check_tile

Alpha = Literal["net", "lanczos", "drop"]

DEFAULT_SCALE: Final = 4
"""For photos, unless the model has one scale only."""

Image = TypeVar("Image")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a picture of one size becomes one of another.

    Attributes:
        passes: scales of the net passes, in order; none for a kernel.
        width, height: SR pixels, exactly.
        kernel: what resamples what the passes made to that size.
    """

    passes: tuple[int, ...]
    width: int
    height: int
    kernel: Kernel


class Upscaler:
    """Upscales pictures with one model. Owns its nets on the device; loads them when first needed.

    Args:
        model: a name of the registry, the path of any checkpoint, or None for the best model on this machine.
        device: "auto", "cuda", "cuda:N", "mps" or "cpu".
        precision: "auto" is fp16 on CUDA, fp32 elsewhere (bf16 on CPUs that are fast at it, for nets that bear
            it), and always fp32 for pictures of more than 8 bits.
        tile: side in LR pixels of the square a tile keeps; 0 chooses by the free memory.
        overlap: LR pixels over which neighbouring tiles blend; None chooses by the net.
        denoise: 0 to 1, for models with a weak-denoise twin: weights are denoise * model + (1 - denoise) * twin.
        tta: average over eight flips and rotations; eight times slower, a little cleaner.
        alpha: how transparency is upscaled: by the net, by Lanczos, or not at all (dropped).
        wrap: the picture continues on its opposite side (tileable textures).
        progress: show a tqdm bar (for notebooks and scripts).
        clip_codec: without `model`, take the one that suits moving pictures of this codec (ffmpeg's name).
        listener: receives every event instead; see `upscale_cli.events`.

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
        device: str = "auto",
        precision: Wanted = "auto",
        tile: int = 0,
        overlap: int | None = None,
        denoise: float = 1.0,
        tta: bool = False,
        alpha: Alpha = "net",
        wrap: bool = False,
        progress: bool = False,
        clip_codec: str | None = None,
        listener: Listener = ignore,
    ) -> None:
        if not 0 <= denoise <= 1:
            raise OptionError(f"denoise {denoise:g} is out of range. Choose --denoise from 0 (keeps grain) to 1.")
        for given, allowed in ((precision, get_args(Wanted)), (alpha, get_args(Alpha))):
            if given not in allowed:
                raise OptionError(f"{given!r} is not known. Choose one of {', '.join(allowed)}.")
        if tile or overlap:
            check_tile(tile or (overlap or 0) + 1, overlap or 0)
        self._listener, self._bar = listener, progress
        self._denoise, self.alpha, self.wrap = denoise, alpha, wrap
        self._wanted_precision: Wanted = precision
        self._tile, self._overlap, self._tta = tile, overlap, tta
        self._engines: dict[tuple[int, Precision], Engine] = {}
        self.why = "asked for"
        if model is None:
            name, self.why = best_model(say=self._say) if clip_codec is None else best_clip_model(clip_codec)
            self._set_model(name, chosen_for_user=True)
        else:
            self._set_model(os.fspath(model), chosen_for_user=False)
        self.device = choose_device(device)

    def _set_model(self, model: str, *, chosen_for_user: bool) -> None:
        """Finds out what `model` names; a checkpoint file is loaded at once, a registry row when it is needed."""
        is_file = is_checkpoint_path(model)
        self.name = Path(model).stem if is_file else model.lower()
        self.kernel = None if is_file else kernel_named(self.name)
        self._rows: Mapping[int, Spec] = {}
        self._loaded: dict[int, LoadedNet] = {}
        self.only_scale: int | None = None  # of a model that has no other
        if is_file:
            loaded = load_net(Path(model).expanduser(), say=self._say)
            self._loaded[loaded.scale] = loaded
            self.only_scale = loaded.scale
        elif self.kernel is None:
            scales = [spec.scale for spec in rows_of(self.name)]
            self.only_scale = scales[0] if len(scales) == 1 else None
            self._rows = rows_at_hand(self.name, chosen_for_user=chosen_for_user, say=self._say)
        self.default_scale = self.only_scale or DEFAULT_SCALE
        if self._denoise != 1 and not any(spec.weak_denoise for spec in self._rows.values()):
            able = ", ".join(dict.fromkeys(spec.model for spec in MODELS if spec.weak_denoise))
            raise OptionError(
                f"--denoise does not go with {self.name}, which has no twin to blend in. Choose -m {able}."
            )

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
        from upscale_cli.media.memory import to_frame

        target = self.target(scale, target)
        frame, back = to_frame(image)
        plan = self.plan(frame.width, frame.height, target)
        if not self._bar:
            return cast(Image, back(self.upscale(frame, plan)))
        from tqdm.auto import tqdm

        with tqdm(total=self.tile_count(frame, plan), unit="tile", desc=self.name) as bar:
            return cast(Image, back(self.upscale(frame, plan, on_tile=bar.update)))

    def target(self, scale: float | None = None, target: Target | None = None) -> Target:
        """How large a result shall be: as given, or else by the default scale.

        Raises:
            OptionError: scale out of range, or both scale and target.
        """
        if target is None:
            return Target(scale=self.default_scale if scale is None else scale)
        if scale is not None:
            raise OptionError("give either a scale or a target; they exclude each other.")
        return target

    def plan(self, width: int, height: int, target: Target) -> Plan:
        """The passes and the exact size for an LR picture of that size."""
        sr_width, sr_height = target.size_for(width, height)
        if self.kernel is not None:
            return Plan((), sr_width, sr_height, self.kernel)
        passes = cheapest_chain(self._costs(), max(sr_width / width, sr_height / height))
        return Plan(passes, sr_width, sr_height, "lanczos")

    def pass_names(self, plan: Plan) -> tuple[str, ...]:
        """What each pass runs, for people: the checkpoint's name."""
        return tuple(self._rows[scale].stem if scale in self._rows else self.name for scale in plan.passes)

    def upscale(self, frame: Frame, plan: Plan, on_tile: Callable[[], object] | None = None) -> Frame:
        """One LR frame to one SR frame of the same layout and depth, rounded once.

        Args:
            frame: (H, W, C) uint8, uint16 or float32; NaN and Inf in it stay holes (NaN).
            plan: from `plan(frame.width, frame.height, ...)`.
            on_tile: called after each of `tile_count(frame, plan)` tiles.
        """
        layout = self._layout(frame)
        if not plan.passes and (plan.width, plan.height) == (frame.width, frame.height):
            return Frame(frame.pixels[:, :, : channels_of(layout)], layout, frame.transfer, frame.duration_ms)
        pixels, holes = without_holes(frame.pixels)
        sr = np.empty((plan.height, plan.width, channels_of(layout)), pixels.dtype)
        for planes in planes_of(layout):
            lr = pixels[:, :, planes.channels]
            if planes.kind == "colour" and layout in OPAQUE:
                lr = bleed(lr, pixels[:, :, -1:])
            out = sr[:, :, planes.channels]
            self._planes(inverted(lr) if planes.ink else lr, out, planes, plan, frame, on_tile)
            if planes.ink:
                out[:] = inverted(out)
        if holes is not None:
            sr[nearest(holes, plan.width, plan.height)] = np.nan
        return Frame(sr, layout, frame.transfer, frame.duration_ms)

    def tile_count(self, frame: Frame, plan: Plan) -> int:
        """How often `upscale` will call `on_tile`."""
        return sum(engine.tile_count(height, width) for engine, height, width in self._steps(frame, plan))

    def expected_seconds(self, frame: Frame, plan: Plan) -> float:
        """How long `upscale` is likely to take on this device; 0 where that is too little to be worth knowing."""
        return sum(engine.expected_seconds(height, width) for engine, height, width in self._steps(frame, plan))

    def _steps(self, frame: Frame, plan: Plan) -> Iterator[tuple[Engine, int, int]]:
        """Every run of a net over some planes of a frame: (engine, height, width of what goes in)."""
        for planes in planes_of(self._layout(frame)):
            if self._is_interpolated(planes) or is_constant(frame.pixels[:, :, planes.channels]):
                continue
            height, width = frame.height, frame.width
            for scale in plan.passes:
                yield self._engine_for(scale, frame), height, width
                height, width = height * scale, width * scale

    def _layout(self, frame: Frame) -> Layout:
        return OPAQUE.get(frame.layout, frame.layout) if self.alpha == "drop" else frame.layout

    def _is_interpolated(self, planes: Planes) -> bool:
        return planes.kind == "smooth" or (planes.kind == "alpha" and self.alpha == "lanczos")

    def _planes(
        self, lr: Pixels, out: Pixels, planes: Planes, plan: Plan, frame: Frame, on_tile: Callable[[], object] | None
    ) -> None:
        """Some channels of a frame, all the way: (H, W, c) into `out`, (plan.height, plan.width, c) of that dtype."""
        if is_constant(lr):  # an opaque alpha, an ink that is not used: nothing to compute
            out[:] = lr.flat[0]
            return
        if self._is_interpolated(planes):
            resample(lr, out, "lanczos", wrap=self.wrap)
            return
        if plan.passes and lr.dtype == np.float32 and planes.kind == "colour":
            self._float_planes(Levels.of(lr), out, planes, plan, frame, on_tile)
        else:
            self._passes(lr, out, planes, plan, frame, on_tile)

    def _float_planes(
        self,
        levels: Levels,
        out: Pixels,
        planes: Planes,
        plan: Plan,
        frame: Frame,
        on_tile: Callable[[], object] | None,
    ) -> None:
        """Float colour: what lies within the net's range by the net, what lies beyond it by Lanczos."""
        self._passes(levels.unit, out, planes, plan, frame, on_tile)
        out *= levels.white - levels.black
        out += levels.black
        if levels.beyond is not None and levels.beyond.any():
            beyond = np.empty_like(out)
            resample(levels.beyond, beyond, "lanczos", wrap=self.wrap)
            out += beyond

    def _passes(
        self, lr: Pixels, out: Pixels, planes: Planes, plan: Plan, frame: Frame, on_tile: Callable[[], object] | None
    ) -> None:
        """The passes of a plan and the final resampling, from `lr` into `out` of the same dtype."""
        picture = lr
        for number, scale in enumerate(plan.passes, start=1):
            height, width = picture.shape[0] * scale, picture.shape[1] * scale
            is_final = number == len(plan.passes) and (width, height) == (plan.width, plan.height)
            picture = self._engine_for(scale, frame).upscale(
                picture,
                lr.dtype if is_final else np.float32,
                out=out if is_final else None,
                transfer="display" if planes.kind == "alpha" else frame.transfer,
                clip=lr.dtype != np.float32,
                on_tile=on_tile,
            )
        if picture is not out:
            resample(picture, out, plan.kernel, wrap=self.wrap)

    def precision_for(self, plan: Plan, bits: int) -> str:
        """What the passes compute in, for people."""
        return ", ".join(dict.fromkeys(self._precision(scale, bits) for scale in plan.passes)) or "fp32"

    def identity(self) -> dict[str, Any]:
        """What decides about a pixel: the model, its checkpoints' sha256, and the options; for comparing two runs."""
        if self._rows:
            sums = {str(scale): spec.sha256 for scale, spec in self._rows.items()}
        else:
            sums = {str(scale): net_digest(loaded.net) for scale, loaded in self._loaded.items()}
        return {
            "model": self.name, "checkpoints": sums, "denoise": self._denoise, "alpha": self.alpha, "wrap": self.wrap,
            "precision": self._wanted_precision, "tile": self._tile, "overlap": self._overlap, "tta": self._tta,
            "device": self.device.type,
        }  # fmt: skip

    def close(self) -> None:
        """Lets go of the nets and of the device's memory."""
        self._engines.clear()
        self._loaded = {} if self._rows else self._loaded  # a file given by path is not read twice
        release_memory(self.device)

    # Nets

    def _costs(self) -> dict[int, float]:
        if self._rows:
            return {scale: float(spec.macs) for scale, spec in self._rows.items()}
        return dict.fromkeys(self._loaded, 1.0)

    def _precision(self, scale: int, bits: int) -> Precision:
        spec = self._rows.get(scale)
        loaded = self._loaded.get(scale)
        wanted = self._wanted_precision
        if wanted == "auto" and loaded is not None and not loaded.fp16 and self.device.type == "cuda":
            return "fp32"
        blended = self._denoise != 1 and spec is not None and spec.weak_denoise is not None
        bf16_is_close = spec is not None and spec.bf16 and not blended  # measured for the row's own weights only
        return choose_precision(wanted, self.device, bits=bits, bf16_is_close=bf16_is_close)

    def _engine_for(self, scale: int, frame: Frame) -> Engine:
        return self.engine(scale, 8 * frame.pixels.dtype.itemsize)

    def engine(self, scale: int, bits: int) -> Engine:
        """The net of that scale at work on the device, in the precision that pictures of `bits` a channel need."""
        loaded = self._net(scale)
        precision = self._precision(scale, bits)
        key = scale, precision
        if key not in self._engines:
            net = PictureNet(loaded.net, loaded.colour, loaded.luma_range)
            self._engines[key] = Engine(
                net, self.device, precision, tile=self._tile, overlap=self._overlap, wrap=self.wrap, tta=self._tta,
                say=self._say,
            )  # fmt: skip
        return self._engines[key]

    def _net(self, scale: int) -> LoadedNet:
        """The net of that scale, loaded (and fetched) the first time."""
        if scale not in self._loaded:
            spec = self._rows[scale]
            loaded = self._load(spec)
            if self._denoise != 1 and spec.weak_denoise:
                (twin,) = rows_of(spec.weak_denoise)
                loaded = interpolate(loaded, self._load(twin), self._denoise)
            self._loaded[scale] = loaded
        return self._loaded[scale]

    def _load(self, spec: Spec) -> LoadedNet:
        return load_spec(spec, obtain_telling(spec, self._listener))

    def _say(self, text: str) -> None:
        self._listener(Note(text))
