"""LR frames of a clip to SR frames on one device: a frame goes there once, and it comes back once.

flat samples  ->  planes  ->  luma through the net, chroma by bicubic            ->  planes  ->  flat samples
                          ->  R'G'B' by the stream's matrix through the net, back ->
                          ->  every plane by a kernel                             ->
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli.errors import UpscaleError
from upscale_cli.events import Say, unreported
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.inference.clip_range import UsedLevels
from upscale_cli.inference.cuda_frames import FrameGraph, Stopwatch, Streams, fetched
from upscale_cli.inference.device import memory_explained
from upscale_cli.inference.finish_frames import FrameFinish
from upscale_cli.inference.frame_chroma import ChromaByEngine
from upscale_cli.inference.frame_likeness import FrameLikeness
from upscale_cli.inference.frames_in_flight import DownloadingFrame, SRSamples
from upscale_cli.inference.health import is_sound
from upscale_cli.inference.reuse import PassReuse, Reuse, Turn
from upscale_cli.inference.scheduler import Pending
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.inference.value_range import ValueRange
from upscale_cli.inference.yuv import (
    LUMA_WEIGHTS,
    USUAL_MATRIX,
    Grid,
    Levels,
    Resampler,
    chroma_grid,
    full_levels,
    luma_levels,
    pixel_grid,
    planes_in,
    store,
    to_rgb,
)
from upscale_cli.models.interface import scaled
from upscale_cli.models.registry import Kernel

HALF_IS_ENOUGH: Final = 10
"""Bits a sample up to which the upscaler's own precision will do: near white, fp16 steps by half a code of 10 bits."""

CHROMA: Final[Kernel] = "bicubic"
"""What chroma is resampled by where the net does not make it."""

FALLBACK_KERNEL: Final[Kernel] = "bicubic"
"""Replaces a net in frames that would come too late."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameRequest:
    """An LR frame to be upscaled.

    Attributes:
        samples: (n,) uint8 or uint16, as `PixelFormat.plane_sizes` says; kept until the SR frame is there, should a
            device fail.
        net: False: by bicubic, for frames that would come too late.
    """

    samples: NDArray[Any]
    net: bool = True

    @property
    def kind(self) -> int:
        """Frames go one by one."""
        return id(self)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done with a frame, beyond its size; equal ones launch the same computations.

    Attributes:
        net: by the net, or by bicubic.
        alpha: the one code value of a constant plane of transparency; None where it varies, or there is none.
        judged: wait for the device after each pass and compute again, in fp32, what half precision spoilt.
        turn: in which windows of the frame before are taken over; None: all are computed.
    """

    net: bool
    alpha: int | None = None
    judged: bool = True
    turn: Turn | None = field(default=None, compare=False)


class FrameUpscaler:
    """LR frames of one video stream to SR frames on one device, with the nets of one `Upscaler`. Owns its buffers.

    On a GPU a frame is uploaded, computed and downloaded while its neighbours are. One thread at a time may use it.

    A luma net sees Y (code values below black and above white included), and chroma goes straight to its SR size by
    bicubic; RGB and YCbCr nets see R'G'B' of the stream's own matrix and range. A kernel resamples each plane for
    itself. Chroma keeps its siting. A plane of transparency goes by the upscaler's `alpha` ("drop": opaque), and
    not at all where it is constant. The upscaler's `wrap` and `tta` hold here too.

    Args:
        upscaler: shared with others, if need be.
        format, width, height: of the LR frames, in pixels; SR frames have the same format.
        tags: matrix and range are known by now; a chroma location of None means left.
        target: the size that is wanted.
        graph: on CUDA, replay the computation as one CUDA graph; without effect elsewhere, and for formats with alpha,
            whose work depends on the frame.
        place: of the device that does it among the upscaler's.
        reuse: on a CPU, take over windows of the frame before that are the same; which changes no sample.
        say: takes what the user should know.

    Raises:
        OptionError, CheckpointError, FetchError, DeviceError: see `upscale_cli.errors`.
    """

    def __init__(
        self,
        upscaler: Upscaler,
        format: PixelFormat,
        width: int,
        height: int,
        tags: ColourTags,
        target: Target,
        *,
        graph: bool = False,
        place: int = 0,
        reuse: bool = True,
        say: Say = unreported,
    ) -> None:
        self._upscaler, self._format, self._tags, self._say = upscaler, format, tags, say
        self.plan = upscaler.plan(width, height, target)
        self.width, self.height = width, height
        self.sr_width, self.sr_height = self.plan.width, self.plan.height
        self.out_width, self.out_height = self.sr_width, self.sr_height
        bits = 8 if format.bits <= HALF_IS_ENOUGH else format.bits
        self._nets = [upscaler.net(scale, bits) for scale in self.plan.passes]
        self.precision, self.engine = upscaler.precision_for(self.plan, bits), upscaler.engine_for(self.plan, bits)
        self._sees_colour = format.model == "rgb" or (
            format.model == "yuv" and any(net.colour != "luma" for net in self._nets)
        )
        if self._sees_colour and format.model == "yuv" and tags.matrix not in LUMA_WEIGHTS:
            say(f"the net sees colours of matrix {tags.matrix or 'unknown'} as if they were {USUAL_MATRIX}'s.")
        self._luma = luma_levels(format.bits, tags.range)
        self._to_rgb = to_rgb(format, tags)
        self._lr_grid, self._sr_grid = pixel_grid(height, width), pixel_grid(self.sr_height, self.sr_width)
        self._lr_chroma, self._sr_chroma = (
            chroma_grid(format, grid.y.count, grid.x.count, tags.chroma_location)
            for grid in (self._lr_grid, self._sr_grid)
        )
        self._chroma = ChromaByEngine(self._lr_chroma, self._sr_chroma, CHROMA, wrap=upscaler.wrap)
        self._resamplers: dict[tuple[Grid, Grid, Kernel], Resampler] = {}

        self.device, self._place = upscaler.devices[place], place
        self.seconds = {"upload": 0.0, "net": 0.0, "download": 0.0}
        self._finish = FrameFinish(upscaler.finish, self.device, wrap=upscaler.wrap)
        self._streams = Streams(self.device) if self.device.type == "cuda" else None
        self.reuse = Reuse() if reuse and self.device.type == "cpu" else None
        # On a CPU every one is computed by a thread of its own: as many as the engine is busy with, and one more, whose
        # planes are prepared, or put away, meanwhile (clips were 9 % faster).
        busy = max((net.concurrency for net in self._nets), default=1)
        self.concurrency = 2 if self._streams else busy + 1 if busy > 1 else 1
        self._pool: ThreadPoolExecutor | None = None
        self._counting = threading.Lock()
        self._wants_graph = graph and self._streams is not None and not format.alpha
        self._graph: FrameGraph | None = None  # recorded with the first frame
        self._likeness = FrameLikeness(
            format, (width, height), (self.sr_width, self.sr_height), upscaler.name, say
        )  # fmt: skip

    def pad_to(self, width: int, height: int) -> None:
        """Makes SR frames that large by repeating their last column and row, for encoders that need even sides."""
        assert (width, height) == (max(width, self.sr_width), max(height, self.sr_height)), "SR frames are never cut"
        self.out_width, self.out_height = width, height
        self._graph = None

    def use_range(self, used: ValueRange) -> None:
        """Has gray frames go through the net in the range that their clip uses, as its 0 and 1."""
        self._luma, self._graph = UsedLevels.of(used), None

    def expected_seconds(self) -> float:
        """How long a frame is likely to take on a CPU; 0 where that is too little to be worth knowing, and on a GPU."""
        if self.device.type != "cpu":
            return 0.0
        seconds, height, width = 0.0, self.height, self.width
        for net in self._nets:
            seconds += net.expected_seconds(height, width)
            height, width = scaled(height, net.scale), scaled(width, net.scale)
        return seconds

    @property
    def begins_at_once(self) -> bool:
        """Whether `launch` returns before a frame is done."""
        return self.concurrency > 1

    # A frame's way

    def launch(self, requests: Sequence[FrameRequest]) -> SRSamples | Pending[Tensor] | DownloadingFrame:
        """Begins with a frame; where it is the only one at a time it is done when this returns.

        Args:
            requests: one; its samples are free to be overwritten afterwards.

        Raises:
            CheckpointError: the net gives NaN or Inf in full precision.
            DeviceError: memory is too small.
        """
        (request,) = requests
        samples = request.samples
        work = Work(request.net, alpha=self._constant_alpha(samples), judged=self._streams is None)
        if self._streams is not None:
            with torch.cuda.device(self.device):  # streams and graphs are made on the current one
                return self._launch(self._streams, samples, work)
        begin = time.perf_counter()
        lr = self._on_host(samples).to(self.device)
        self._took(time.perf_counter() - begin, 0.0, 0.0)
        work = replace(work, turn=self.reuse.turn() if self.reuse and work.net else None)
        if self.concurrency == 1:
            return self._computed(lr, work)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="frame")
        return Pending(self._pool.submit(self._computed, lr, work))

    def _computed(self, lr: Tensor, work: Work) -> SRSamples:
        """Flat LR samples on the device to flat SR samples on the host."""
        begin = time.perf_counter()
        with work.turn or nullcontext():
            sr, _ = self._compute(lr, work)
        computed = time.perf_counter()
        done = SRSamples(sr.cpu())
        self._look(lr, done.samples, work)
        self._took(0.0, (computed - begin) / self.concurrency, time.perf_counter() - computed)
        return done

    def _took(self, upload: float, net: float, download: float) -> None:
        with self._counting:
            for stage, seconds in (("upload", upload), ("net", net), ("download", download)):
                self.seconds[stage] += seconds

    def _on_host(self, samples: NDArray[Any]) -> Tensor:
        """A copy that torch may keep, pinned where a GPU fetches it. Up to 12 bits fit int16, 16 take int32."""
        dtype = torch.uint8 if self._format.bits == 8 else torch.int16 if self._format.bits < 16 else torch.int32
        host = torch.empty(samples.size, dtype=dtype, pin_memory=self._streams is not None)
        np.copyto(host.numpy(), samples, casting="unsafe")
        return host

    def _constant_alpha(self, samples: NDArray[Any]) -> int | None:
        """The code value of an alpha plane that has but one: an opaque clip costs nothing more."""
        if not self._format.alpha:
            return None
        if self._upscaler.alpha == "drop":
            return self._format.white
        alpha = samples[-self.width * self.height :]
        low = int(alpha.min())
        return low if low == alpha.max() else None

    def _look(self, lr: Tensor, sr: Tensor, work: Work) -> None:
        if work.net and self._nets:
            self._likeness.look(lr, sr, (self.out_width, self.out_height))

    # On a GPU

    def _launch(self, streams: Streams, samples: NDArray[Any], work: Work) -> DownloadingFrame:
        """Upload, computation and download, each on a stream of its own, without waiting for any of them."""
        upload, net, download = Stopwatch(), Stopwatch(), Stopwatch()
        compute = torch.cuda.current_stream(self.device)
        with memory_explained(self.device), torch.cuda.stream(streams.upload):
            host = self._on_host(samples)
            upload.begin.record()
            lr = host.to(self.device, non_blocking=True)
            upload.end.record()
        compute.wait_event(upload.end)
        lr.record_stream(compute)
        if work.net and self._wants_graph and self._graph is None:
            self._record(lr, work)
        net.begin.record(compute)
        sr, healths = self._graph(lr) if work.net and self._graph else self._compute(lr, work)
        net.end.record(compute)
        streams.download.wait_event(net.end)
        with memory_explained(self.device), torch.cuda.stream(streams.download):
            download.begin.record()
            sr_host, healths_host = fetched(sr), fetched(healths)
            download.end.record()

        def check() -> Tensor:
            self._took(upload.seconds, net.seconds, download.seconds)
            if all(is_sound(health) for health in healths_host):
                self._look(host, sr_host, work)
                return sr_host
            self._wants_graph, self._graph = False, None  # it holds the net in half precision
            return self._compute(lr, replace(work, judged=True))[0].cpu()

        return DownloadingFrame(sr_host, download, check)

    def _record(self, lr: Tensor, work: Work) -> None:
        """Makes the graph, or goes on without."""
        try:
            self._graph = FrameGraph(lambda static: self._compute(static, work), lr)
        except (RuntimeError, UpscaleError) as error:
            self._wants_graph = False
            self._say(f"no CUDA graph for this net ({str(error).splitlines()[0]}): going on without.")

    # On the device

    @torch.no_grad()
    def _compute(self, lr: Tensor, work: Work) -> tuple[Tensor, Tensor]:
        """Flat LR samples to flat SR samples, both on the device; and the healths of the passes, (n, 5).

        Raises:
            CheckpointError, DeviceError: see `WholeFrames.upscale`.
        """
        size = self._format.frame_samples(self.out_width, self.out_height)
        healths: list[Tensor] = []
        with memory_explained(self.device):
            sr = torch.empty(size, dtype=lr.dtype, device=self.device)
            planes = planes_in(lr, self._format, self.width, self.height)
            out = planes_in(sr, self._format, self.out_width, self.out_height)
            if self._format.alpha:
                self._alpha(planes.pop(), out.pop(), work, healths)
            if self._is_interpolated(work):
                self._interpolate(planes, out)
            elif self._sees_colour:
                self._colour(planes, out, work, healths)
            else:
                self._gray(planes, out, work, healths)
        return sr, torch.stack(healths) if healths else torch.empty(0, 5, device=self.device)

    def _is_interpolated(self, work: Work) -> bool:
        return not work.net or not self._nets

    @property
    def _kernel(self) -> Kernel:
        """What frames without a net are interpolated by: the model itself, or the kernel that replaces a net."""
        return FALLBACK_KERNEL if self._nets else self.plan.kernel

    def _interpolate(self, planes: list[Tensor], out: list[Tensor]) -> None:
        """Every plane by itself; code values need not be anything else for that."""
        for number, (plane, sr) in enumerate(zip(planes, out, strict=True)):
            is_chroma = number > 0 and self._format.model == "yuv"
            source, target = (self._lr_chroma, self._sr_chroma) if is_chroma else (self._lr_grid, self._sr_grid)
            store(self._resampled(plane[None], source, target, self._kernel)[0], sr, self._format.white)

    def _gray(self, planes: list[Tensor], out: list[Tensor], work: Work, healths: list[Tensor]) -> None:
        """Y through a net that knows no colour; chroma from its LR size straight to its SR size."""
        codes = coded = self._coded(planes[0], out[0], work)
        if codes is None:
            luma = self._passes(self._luma.values(planes[0])[None, None], work, healths)
            codes = self._luma.codes(self._to_plan(luma[0])[0])
            if (beyond := self._luma.beyond(planes[0])) is not None:
                codes.add_(self._resampled(beyond[None], self._lr_grid, self._sr_grid, CHROMA)[0])
        store(codes, out[0], self._format.white)
        if coded is not None and self._chroma(self._nets[0].frames, self._place, planes[1:], out[1:]):
            return
        if len(planes) > 1:  # U and V together
            chroma = self._resampled(torch.stack(planes[1:]), self._lr_chroma, self._sr_chroma, CHROMA)
            for plane, sr in zip(chroma, out[1:], strict=True):
                store(plane, sr, self._format.white)

    def _coded(self, plane: Tensor, out: Tensor, work: Work) -> Tensor | None:
        """Luma as 8-bit codes through a net whose engine takes and gives them, best to where it is wanted; None where
        that cannot be."""
        if self._format.bits != 8 or not work.judged or not self._takes_codes:
            return None
        reuse = PassReuse(work.turn, "codes") if work.turn else None
        where = out if out.shape == (self.sr_height, self.sr_width) else None
        sr = self._nets[0].frames.codes(plane[None, None], self._luma, self._place, reuse, where)
        return None if sr is None else sr[0, 0]

    @property
    def _takes_codes(self) -> bool:
        """One pass makes the exact size, and codes mean the same for all values."""
        scale = self._nets[0].scale
        is_all = (scaled(self.height, scale), scaled(self.width, scale)) == (self.sr_height, self.sr_width)
        is_plain = len(self._nets) == 1 and not self._upscaler.finish.is_any
        return is_plain and is_all and type(self._luma) is Levels

    def _colour(self, planes: list[Tensor], out: list[Tensor], work: Work, healths: list[Tensor]) -> None:
        """The three colour planes as R'G'B' through the net.

        What lies outside of [0, 1] goes in as it is: nets were seen to carry -0.1 and 1.1 through within 0.03, as they
        do what lies inside. To clip would lose sub-black and super-white, and bend colours at saturated edges, whose
        coarse chroma leaves the cube in nearly every frame.
        """
        luma, chroma = planes[0][None], torch.stack(planes[1:])
        chroma = self._resampled(chroma, self._lr_chroma, self._lr_grid, CHROMA)
        rgb = self._to_rgb.rgb(torch.cat((luma.to(torch.float32), chroma.to(torch.float32))))
        made = self._passes(rgb[None], work, healths)[0]
        codes = self._to_rgb.codes(made)
        store(self._to_plan(codes[:1])[0], out[0], self._format.white)
        if self._format.model == "rgb":
            chroma = self._to_plan(codes[1:])
        else:
            chroma = self._resampled(codes[1:], pixel_grid(*codes.shape[1:]), self._sr_chroma, CHROMA)
        for plane, sr in zip(chroma, out[1:], strict=True):
            store(plane, sr, self._format.white)

    def _alpha(self, plane: Tensor, out: Tensor, work: Work, healths: list[Tensor]) -> None:
        """Transparency, which is full range in every clip: a gray picture for the net."""
        if work.alpha is not None:
            out.fill_(work.alpha)
        elif self._upscaler.alpha == "lanczos" or self._is_interpolated(work):
            kernel: Kernel = "lanczos" if self._upscaler.alpha == "lanczos" else self._kernel
            store(self._resampled(plane[None], self._lr_grid, self._sr_grid, kernel)[0], out, self._format.white)
        else:
            levels = full_levels(self._format.bits)
            made = self._passes(levels.values(plane)[None, None], work, healths, "alpha")
            store(levels.codes(self._to_plan(made[0])[0]), out, self._format.white)

    def _passes(self, unit: Tensor, work: Work, healths: list[Tensor], plane: str = "colour") -> Tensor:
        """(1, C, height, width) in [0, 1] through the nets of the plan."""
        lr = unit
        for number, net in enumerate(self._nets):
            height, width = unit.shape[-2:]
            given = net.conditions_for(height, width, self.height, self.width)
            if work.judged:
                reuse = PassReuse(work.turn, f"{plane} {number}") if work.turn else None
                unit = net.frames.upscale(unit, self._place, given, reuse)
            else:
                unit, health = net.frames.unjudged(unit, self._place, given)
                healths.append(health)
        unit = self._finish(lr, unit, is_colour=plane == "colour")
        is_made = self.plan.is_made(self.width, self.height)
        return unit[..., : self.sr_height, : self.sr_width] if is_made else unit

    def _to_plan(self, planes: Tensor) -> Tensor:
        """(n, h, w), as large as the passes made them, to the exact size."""
        return self._resampled(planes, pixel_grid(*planes.shape[1:]), self._sr_grid, self.plan.kernel)

    def _resampled(self, planes: Tensor, source: Grid, target: Grid, kernel: Kernel) -> Tensor:
        key = source, target, kernel
        if key not in self._resamplers:
            self._resamplers[key] = Resampler(source, target, kernel, self.device, wrap=self._upscaler.wrap)
        return self._resamplers[key](planes)
