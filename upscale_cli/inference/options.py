"""How an `Upscaler` works, as a value: the same for the command line, Python, and other processes. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Union, cast, get_args

from upscale_cli.errors import OptionError
from upscale_cli.messages import option
from upscale_cli.models.input_spec import Sampling

if TYPE_CHECKING:
    from numpy.typing import NDArray

ConditionValue = Union[float, str, Path, "NDArray[Any]"]  # an array's type is not imported here
"""What a user may give for an input of a net: a number, an array, or the path of a file that holds one."""

PictureValue = Union[str, Path, "NDArray[Any]"]
"""A picture: a file, or an array."""

KernelValue = Union[str, Path, "NDArray[Any]"]
"""What a user may give for a blur kernel: words, an array, or the path of a file that holds one."""

Alpha = Literal["net", "lanczos", "drop"]

Wanted = Literal["auto", "fp16", "bf16", "fp32", "int8"]
"""A precision, or the choice of it."""


PROVIDERS: Final = ("cpu", "cuda", "tensorrt", "directml", "coreml", "migraphx", "openvino")
"""What ONNX Runtime runs nets on."""

ENGINES: Final = ("auto", "torch", "openvino", "onnxruntime", *(f"onnxruntime:{name}" for name in PROVIDERS))
"""What `engine` takes; "onnxruntime" by itself is that on the processor."""

BY_OPENVINO: Final = ("intel-gpu", "npu")
"""Devices that torch does not know."""

ENGINE_VARIABLE: Final = "UPSCALE_ENGINE"
"""The environment variable that stands in for "auto", for machines whose runs have to be alike."""

MOST_HALO: Final = 512
"""LR pixels. No net here sees further."""


class UpscalerKeywords(TypedDict, total=False):
    """The fields of `UpscalerOptions`, for functions that take them as keywords."""

    device: str
    engine: str
    precision: Wanted
    tile: int
    overlap: int | None
    halo: int | None
    denoise: float
    strength: float | None
    tta: bool
    alpha: Alpha
    wrap: bool
    blend: float
    match_colour: bool
    mask: PictureValue | None
    reference: PictureValue | None
    conditions: Mapping[str, ConditionValue] | None
    kernel: KernelValue | None
    noise: float | str | None
    kernel_sampling: Sampling
    clip_codec: str | None
    hurry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscalerOptions:
    """How an `Upscaler` works.

    Attributes:
        device: "auto", "cuda", "cuda:N", "mps" or "cpu"; "cuda:0,cuda:1" or "all" shares out tiles and frames;
            "intel-gpu" and "npu" are OpenVINO's.
        engine: what runs nets on a CPU: "torch", "openvino", "onnxruntime", or "auto" for the fastest, as measured
            once for each machine and net; "onnxruntime:cuda" and others of `ENGINES` on what ONNX Runtime reaches. Else
            a GPU of CUDA's or Apple's is torch's.
        precision: "auto" is fp16 on CUDA, fp32 elsewhere (bf16 on CPUs that are fast at it, for nets that bear
            it), and always fp32 for pictures of more than 8 bits. "int8" is for models that have a file in 8 bits, on
            a CPU, by other engines than torch.
        tile: side in LR pixels of the square a tile keeps; 0 chooses by the free memory.
        overlap: LR pixels over which neighbouring tiles blend; None chooses by the net.
        halo: LR pixels that are read around a tile, computed and thrown away; None chooses by the net.
        denoise: 0 to 1, for models with a second, weakly denoising checkpoint: weights are
            denoise * model + (1 - denoise) * second.
        strength: 0 (faithful) to 1 (crisp), for models with a crisp checkpoint beside their own: how much of its
            weights is mixed in. None: the model as it is.
        tta: average over eight flips and rotations; eight times slower, a little cleaner.
        alpha: how transparency is upscaled: by the net, by Lanczos, or not at all (dropped).
        wrap: the picture continues on its opposite side (tileable textures).
        blend: 0 to 1, how much of the net's result counts; the rest is the input, enlarged by bicubic.
        match_colour: the low frequencies of the result become those of the input: nets may darken or tint.
        mask: a picture, the input's or of its aspect: where it is black, the input is enlarged by bicubic; where it is
            white, the net's result counts; gray lies between.
        reference: a sharper picture of the same scene, for nets that copy from one: a file, or (3, H, W) float32 in
            [0, 1]. Its size and place may differ a little, its aspect may not.
        conditions: what the net needs in addition to the picture, by name: numbers, arrays, or files that hold them
            (see `conditions.read_condition`).
        kernel: what blurred the picture before it was shrunk: an array, a file, or words (`blur_kernels.parse_kernel`);
            "auto" finds it in the picture, "kernelgan" more slowly.
        noise: standard deviation of the noise, in levels of 255; "auto" finds it in the picture.
        kernel_sampling: how it was shrunk then: "bicubic" (antialiased), or "every" scale-th pixel was taken, the top
            left one first.
        clip_codec: without a model, the one is taken that suits moving pictures of this codec (ffmpeg's name).
        hurry: on a CPU, with an automatic precision, the net's file in 8 bits may be taken, where it is faster.

    Raises:
        OptionError: a value is out of range, or two exclude each other.
    """

    device: str = "auto"
    engine: str = "auto"
    precision: Wanted = "auto"
    tile: int = 0
    overlap: int | None = None
    halo: int | None = None
    denoise: float = 1.0
    strength: float | None = None
    tta: bool = False
    alpha: Alpha = "net"
    wrap: bool = False
    blend: float = 1.0
    match_colour: bool = False
    mask: PictureValue | None = None
    reference: PictureValue | None = None
    conditions: Mapping[str, ConditionValue] | None = None
    kernel: KernelValue | None = None
    noise: float | str | None = None
    kernel_sampling: Sampling = "bicubic"
    clip_codec: str | None = None
    hurry: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.denoise <= 1:
            raise OptionError(
                f"denoise {self.denoise:g} is out of range. Choose {option('denoise')} from 0 (keeps grain) to 1."
            )
        if not 0 <= self.blend <= 1:
            raise OptionError(
                f"{option('blend', self.blend)} is out of range. Choose 0 (the input, enlarged) to 1 (the net alone)."
            )
        choices = (("precision", self.precision, Wanted), ("alpha", self.alpha, Alpha),
                   ("kernel_sampling", self.kernel_sampling, Sampling))  # fmt: skip
        for name, given, allowed in choices:
            if given not in get_args(allowed):
                raise OptionError(f"{option(name, given)} is not known. Choose one of {', '.join(get_args(allowed))}.")
        if self.engine not in ENGINES:
            raise OptionError(f"{option('engine', self.engine)} is not known. Choose one of {', '.join(ENGINES)}.")
        if self.halo is not None and not 0 <= self.halo <= MOST_HALO:
            raise OptionError(
                f"halo {self.halo} is out of range. "
                f"Choose {option('halo')} from 0 to {MOST_HALO} pixels, or leave it out."
            )
        if self.tile or self.overlap:
            check_tile(self.tile or (self.overlap or 0) + 1, self.overlap or 0)

    @property
    def keywords(self) -> UpscalerKeywords:
        """The same, for functions that take keywords."""
        return cast(UpscalerKeywords, {field.name: getattr(self, field.name) for field in fields(self)})


def check_tile(tile: int, overlap: int) -> None:
    """Refuses a tile and an overlap, both in LR pixels, that cannot cover a picture.

    Raises:
        OptionError: tile < 1, overlap < 0 or overlap >= tile.
    """
    if overlap < 0:
        raise OptionError(f"overlap {overlap} is negative. Choose {option('overlap', 0)} or more.")
    if tile < 1:
        raise OptionError(f"tile {tile} is too small. Choose {option('tile')} of at least 1 pixel, or 0 for automatic.")
    if overlap >= tile:
        raise OptionError(
            f"overlap {overlap} leaves no room in a tile of {tile} pixels. "
            f"Choose {option('overlap')} below {tile}, or a larger {option('tile')}."
        )
