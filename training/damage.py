"""LR as it is met in the wild: shrunk by one of several kernels, then compressed by one of several encoders.

A net that has only seen clean bicubic takes JPEG blocks for detail and rings on what other programs have shrunk.
Everything here is on luma alone, for nets that work on luma.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal, get_args

import av
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from upscale_cli.evaluation.metrics import Plane, bicubic, to_8_bit

Kernel = Literal["bicubic", "lanczos", "bilinear", "area", "bicubic-sharp"]
"""How HR was shrunk; "bicubic-sharp" is a bicubic without antialiasing, which leaves jagged edges."""

Codec = Literal["jpeg", "webp", "h264", "vp9", "mpeg4"]

KERNEL_WEIGHTS: Final[Mapping[Kernel, float]] = {
    "bicubic": 0.4, "lanczos": 0.15, "bilinear": 0.15, "area": 0.2, "bicubic-sharp": 0.1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mix:
    """How often what happens to pictures.

    Attributes:
        codecs: share of each among the compressed ones.
        qualities: from and to: the quality of pictures, and the quantiser of clips (crf; qscale for MPEG-4).
        clean: share of those that are not compressed, so that good sources keep their detail.
    """

    codecs: Mapping[Codec, float]
    qualities: Mapping[Codec, tuple[int, int]]
    clean: float = 0.15


WILD_MIX: Final = Mix(
    codecs={"jpeg": 0.35, "webp": 0.1, "h264": 0.35, "vp9": 0.1, "mpeg4": 0.1},
    qualities={"jpeg": (30, 95), "webp": (30, 95), "h264": (18, 36), "vp9": (20, 48), "mpeg4": (2, 10)},
)
"""What `espcn-robust` was shown."""

MIXES: Final[Mapping[str, Mix]] = {
    "wild": WILD_MIX,
    "jpeg": Mix(
        codecs={"jpeg": 0.6, "webp": 0.08, "h264": 0.22, "vp9": 0.05, "mpeg4": 0.05},
        qualities={**WILD_MIX.qualities, "jpeg": (20, 95)},
    ),
}

FRAMES: Final = 4
"""Of the little clips: the last one is predicted from those before it, as most frames of a clip are."""

STEP: Final = 2
"""LR pixels that the view moves by from frame to frame, along both axes."""


@dataclass(frozen=True, slots=True)
class Damage:
    """What happened to a picture; `codec` None: shrunk only."""

    kernel: Kernel
    codec: Codec | None = None
    quality: int = 0


def draw(random: np.random.Generator, mix: Mix = WILD_MIX) -> Damage:
    """One of the many."""
    kernel: Kernel = random.choice(list(KERNEL_WEIGHTS), p=list(KERNEL_WEIGHTS.values()))
    if random.random() < mix.clean:
        return Damage(kernel)
    codec: Codec = random.choice(list(mix.codecs), p=list(mix.codecs.values()))
    low, high = mix.qualities[codec]
    return Damage(kernel, codec, int(random.integers(low, high + 1)))


def damaged(hr: Plane, scale: int, damage: Damage) -> Plane:
    """HR luma to LR luma, (height // scale, width // scale), in whole 8-bit levels.

    Args:
        hr: (height, width) full-range luma in 0..255; sides are multiples of `scale`.
    """
    lr = to_8_bit(_SHRINK[damage.kernel](hr, scale))
    if damage.codec is None:
        return lr
    levels = lr.astype(np.uint8)
    is_clip = damage.codec in _ENCODERS
    coded = (_clip if is_clip else _picture)(levels, damage.codec, damage.quality)
    return coded.astype(np.float64)


def _pillow(filter: Image.Resampling) -> Callable[[Plane, int], Plane]:
    def shrink(hr: Plane, scale: int) -> Plane:
        height, width = hr.shape
        picture = Image.fromarray(hr.astype(np.float32))
        return np.asarray(picture.resize((width // scale, height // scale), filter), dtype=np.float64)

    return shrink


def _without_antialiasing(hr: Plane, scale: int) -> Plane:
    plane = torch.from_numpy(hr)[None, None]
    shrunk: Plane = F.interpolate(plane, scale_factor=1 / scale, mode="bicubic", antialias=False)[0, 0].numpy()
    return shrunk


_SHRINK: Final[Mapping[Kernel, Callable[[Plane, int], Plane]]] = {
    "bicubic": lambda hr, scale: bicubic(hr, 1 / scale),
    "lanczos": _pillow(Image.Resampling.LANCZOS),
    "bilinear": _pillow(Image.Resampling.BILINEAR),
    "area": _pillow(Image.Resampling.BOX),
    "bicubic-sharp": _without_antialiasing,
}
assert set(_SHRINK) == set(get_args(Kernel))


def _picture(lr: NDArray[np.uint8], codec: Codec, quality: int) -> NDArray[np.uint8]:
    """Written as a grey picture, whose quantisation is that of a colour picture's luma, and read again."""
    file = io.BytesIO()
    Image.fromarray(lr).save(file, codec.upper(), quality=quality)
    return np.asarray(Image.open(file).convert("L"))


def _clip(lr: NDArray[np.uint8], codec: Codec, quality: int) -> NDArray[np.uint8]:
    """The last frame of a short pan that ends on the picture, encoded and decoded; full range, neutral chroma."""
    height, width = lr.shape
    way = STEP * (FRAMES - 1)
    wide = np.pad(lr, ((way, height % 2), (way, width % 2)), mode="symmetric" if min(lr.shape) >= way else "edge")
    views = [
        wide[start : start + height + height % 2, start : start + width + width % 2]
        for start in range(0, way + 1, STEP)
    ]
    decoded = _decoded(_encoded(views, codec, quality), codec)
    return decoded[-1][:height, :width]


_ENCODERS: Final[Mapping[Codec, tuple[str, Callable[[int], dict[str, str]]]]] = {
    "h264": ("libx264", lambda crf: {"preset": "veryfast", "crf": str(crf), "threads": "1"}),
    "vp9": ("libvpx-vp9", lambda crf: {"deadline": "realtime", "cpu-used": "6", "crf": str(crf), "b": "0"}),
    "mpeg4": ("mpeg4", lambda q: {"qmin": str(q), "qmax": str(q)}),
}


def _encoded(views: list[NDArray[np.uint8]], codec: Codec, quality: int) -> "list[av.Packet[Any]]":
    name, options = _ENCODERS[codec]
    height, width = views[0].shape
    encoder: Any = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = options(quality)
    packets = []
    for number, view in enumerate(views):
        frame = av.VideoFrame.from_ndarray(_with_neutral_chroma(view), format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        packets += encoder.encode(frame)
    return packets + list(encoder.encode(None))


def _decoded(packets: "list[av.Packet[Any]]", codec: Codec) -> list[NDArray[np.uint8]]:
    decoder: Any = av.CodecContext.create(codec, "r")
    frames = [frame for packet in packets for frame in decoder.decode(packet)] + list(decoder.decode(None))
    frames.sort(key=lambda frame: frame.pts)
    return [frame.to_ndarray(format="yuv420p")[: frame.height] for frame in frames]


def _with_neutral_chroma(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(3/2 height, width): the planes of YUV 4:2:0 as PyAV wants them."""
    height, width = luma.shape
    return np.concatenate((luma, np.full((height // 2, width), 128, np.uint8)))
