"""Which models there are: one frozen row per checkpoint. Pure facts; imports neither torch nor a net.

A model is what a user names; its rows differ in scale. A new checkpoint is a new row in `MODELS`; a new kind of net is
a file and a line in `archs`.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final, Literal

from upscale_cli.errors import UnknownModelError
from upscale_cli.messages import command
from upscale_cli.models.archs import ARCHS
from upscale_cli.models.interface import Descriptor, Int8File

Kernel = Literal["bicubic", "lanczos"]
Channels = Literal["rgb", "luma"]

REAL_ESRGAN_RELEASES: Final = "https://github.com/xinntao/Real-ESRGAN/releases/download/"
BSD3: Final = "BSD-3-Clause, (c) 2021 Xintao Wang"
DISTILLED_HERE: Final = (
    "BSD-3-Clause (distilled from realesr-general-x4v3, (c) 2021 Xintao Wang; see weights/README.md)"
)
BEGUN_FROM_DISTILLED: Final = (
    "BSD-3-Clause (begun from a net distilled from realesr-general-x4v3, (c) 2021 Xintao Wang; see weights/README.md)"
)
TRAINED_HERE: Final = "MIT (weights trained here; training pictures: see weights/README.md)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What we know of a checkpoint before loading it.

    Attributes:
        model: what `-m` names; rows of one model differ in `scale`.
        scale: SR pixels per LR pixel of one pass.
        arch: the architecture that holds the net, by its name in `archs.ARCHS`.
        channels: what the net works on. "luma": Y alone, while chroma goes by bicubic.
        config: keyword arguments of the architecture's net, those that are not its defaults.
        file: name of the checkpoint file; the same name with .safetensors is its fallback.
        sha256: of that file.
        size: bytes of that file; None where unknown.
        url: where it can be fetched; None for a bundled file.
        licence: of the weights.
        about: what it is good at, for `models list`.
        macs: multiply-adds per LR pixel of one pass; what the cheapest chain of passes is reckoned by.
        quality: rank where no model is named and no file can be looked at; the highest one here is taken, 0 never is.
        weak_denoise: the model whose weights `--denoise` blends in.
        crisp: the model whose weights `--strength` mixes in.
        unconfirmed: the sha256 rests on one public source only.
        bf16: engines in which bfloat16 was measured to stay above 50 dB of fp32 (benchmarks/precision.py), and to be
            worth it.
        int8: the same net in 8 bits, for CPUs; None: there is none that loses less than 0.1 dB.
    """

    model: str
    scale: int
    arch: str
    channels: Channels
    file: str
    sha256: str
    size: int | None
    url: str | None
    licence: str
    about: str
    macs: int
    quality: int = 0
    weak_denoise: str | None = None
    crisp: str | None = None
    unconfirmed: bool = False
    bf16: tuple[str, ...] = ()
    int8: Int8File | None = None
    config: Mapping[str, int | str] = field(default_factory=dict, hash=False)

    @property
    def stem(self) -> str:
        """File name without its ending: what a fallback file in safetensors and sidecar metadata are looked up by."""
        return PurePath(self.file).stem

    @property
    def bundled(self) -> bool:
        return self.url is None

    def is_of(self, net: Descriptor) -> bool:
        """Whether a net is of the kind that the row is about."""
        return (net.arch, net.scales, net.colour) == (self.arch, (self.scale,), self.channels)


_REAL_TIME: Final = {
    "espcn": "real-time", "swift": "real-time, least work", "sharp": "real-time, sharpest of these",
}  # fmt: skip
_NUM_CONV: Final = {"swift": 5, "sharp": 8}


def _real_time(
    model: str, scale: int, *, macs: int, size: int, sha256: str, int8: tuple[int, float, str] | None = None
) -> Spec:
    """A bundled net of ours, of luma: ESPCN, or a narrow SRVGGNetCompact with ReLUs.

    Args:
        model: what it is, and "-robust" behind it where it is made for compressed pictures.
        int8: size, loss and sha256 of the file in 8 bits; see `Int8File`.
    """
    net, _, robust = model.partition("-")
    config: Mapping[str, int | str] = {"scale": scale}
    if net in _NUM_CONV:
        config = {"num_in_ch": 1, "num_feat": 16, "num_conv": _NUM_CONV[net], "upscale": scale, "act_type": "relu"}
    return Spec(
        model=model, scale=scale, arch="srvgg" if net in _NUM_CONV else "espcn", channels="luma", config=config,
        file=f"{model}-x{scale}.safetensors", macs=macs, size=size, sha256=sha256, url=None, licence=TRAINED_HERE,
        about=f"{_REAL_TIME[net]}; {'compressed' if robust else 'clean'} pictures and video",
        quality={"espcn": 30, "espcn-robust": 25}.get(model, 0), bf16=("openvino",),
        int8=int8 and Int8File(f"{model}-x{scale}-int8.onnx", int8[2], size=int8[0], loss=int8[1]),
    )  # fmt: skip


MODELS: Final[tuple[Spec, ...]] = (
    Spec(
        model="realesrgan", scale=4, arch="rrdbnet", channels="rgb",
        file="RealESRGAN_x4plus.pth", macs=17_926_848, size=67_040_989,
        sha256="4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        url=REAL_ESRGAN_RELEASES + "v0.1.0/RealESRGAN_x4plus.pth",
        licence=BSD3, about="photos, real-world damage; the sharpest", quality=90,
    ),
    Spec(
        model="realesrgan", scale=2, arch="rrdbnet", channels="rgb",
        file="RealESRGAN_x2plus.pth", macs=4_483_008, size=67_061_725, config={"unshuffle": 2},
        sha256="49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
        url=REAL_ESRGAN_RELEASES + "v0.2.1/RealESRGAN_x2plus.pth",
        licence=BSD3, about="photos at scale 2 (pixel-unshuffle)", quality=90,
    ),
    Spec(
        model="realesrnet", scale=4, arch="rrdbnet", channels="rgb",
        file="RealESRNet_x4plus.pth", macs=17_926_848, size=None, unconfirmed=True,
        sha256="a820b9bde89a874d7599d545567308ce6c128fc8754a53208eda016d40aa81df",
        url=REAL_ESRGAN_RELEASES + "v0.1.1/RealESRNet_x4plus.pth",
        licence=BSD3, about="photos without invented texture (trained for PSNR)", quality=60,
    ),
    Spec(
        model="realesrgan-anime", scale=4, arch="rrdbnet", channels="rgb",
        file="RealESRGAN_x4plus_anime_6B.pth", macs=5_706_432, size=17_938_799, config={"num_block": 6},
        sha256="f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
        url=REAL_ESRGAN_RELEASES + "v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
        licence=BSD3, about="drawings and anime stills",
    ),
    Spec(
        model="realesr-general", scale=4, arch="srvgg", channels="rgb",
        file="realesr-general-x4v3.pth", macs=1_209_024, size=4_885_111,
        sha256="8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
        url=REAL_ESRGAN_RELEASES + "v0.2.5.0/realesr-general-x4v3.pth",
        licence=BSD3, about="photos, small and fast; takes denoise", quality=80, weak_denoise="realesr-general-wdn",
        bf16=("torch", "openvino"),
    ),
    Spec(
        model="realesr-general-wdn", scale=4, arch="srvgg", channels="rgb",
        file="realesr-general-wdn-x4v3.pth", macs=1_209_024, size=4_885_111,
        sha256="1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
        url=REAL_ESRGAN_RELEASES + "v0.2.5.0/realesr-general-wdn-x4v3.pth",
        licence=BSD3, about="the same, keeps more grain and noise", quality=70,
    ),
    Spec(
        model="realesr-animevideo", scale=4, arch="srvgg", channels="rgb",
        file="realesr-animevideov3.pth", macs=619_200, size=2_504_012, config={"num_conv": 16},
        sha256="b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
        url=REAL_ESRGAN_RELEASES + "v0.2.5.0/realesr-animevideov3.pth",
        licence=BSD3, about="anime clips; half the cost of realesr-general", bf16=("torch", "openvino"),
    ),
    Spec(
        model="photo-lite", scale=4, arch="srvgg", channels="rgb",
        file="photo-lite-x4.safetensors", macs=125_280, size=256_136, config={"num_feat": 32, "num_conv": 12},
        sha256="1c90e7936ee70b272a62824a99f3cb0905d799e62252f7a1f529ed8e2b98e990",
        url=None, licence=BEGUN_FROM_DISTILLED, about="photos as they are found, faithful; takes strength", quality=50,
        crisp="photo-lite-crisp", bf16=("openvino",),
    ),
    Spec(
        model="photo-lite-crisp", scale=4, arch="srvgg", channels="rgb",
        file="photo-lite-crisp-x4.safetensors", macs=125_280, size=255_776, config={"num_feat": 32, "num_conv": 12},
        sha256="b81d2638a8b40772e50d3568ee738adca3e512146ec08e8d759700444bd98328",
        url=None, licence=DISTILLED_HERE, about="the same, draws sharper detail than it can know", quality=45,
        bf16=("openvino",),
    ),
    _real_time(
        "espcn", 2, macs=21_184, size=85_816,
        sha256="c8e3be8fd5a7a158bf00838ca249ff0f559eb3f0a45f7826b98969ca920adff3",
        int8=(24_549, 0.03, "2d1831a2860d5e70920ce716f4c65566a5f138cf59acc767fe67497ffb25780c"),
    ),
    _real_time(
        "espcn", 3, macs=22_624, size=91_596,
        sha256="d8868537d7bba701099d53e195b60537afd3174ab01e71340d509747e7824d9a",
        int8=(26_034, 0.01, "8f9eb71f09328eb0019b5de79d005cef8f9e7437cf3b6026645f1a34a2c73741"),
    ),
    _real_time(
        "espcn", 4, macs=24_640, size=99_688,
        sha256="9cac12153aa9d5cd116cab0eeede92275f069e4b6fbe4d079a43b4411fe70f57",
        int8=(28_113, 0.01, "673f9309104b7d562739e81a247bfe7173407b2d3b59e743be27f67ebdf2e5a9"),
    ),
    _real_time(
        "espcn-robust", 2, macs=21_184, size=85_816,
        sha256="dc245a3a4c477e0e396933ca419afdbcd7ee437c39650e2bbbe87eded86d3161",
        int8=(24_549, 0.01, "8b99bcb02c921680ac0e6321c6f5c2c596487ddd350f19b9b3aef66f13abfe6f"),
    ),
    _real_time(
        "espcn-robust", 3, macs=22_624, size=91_596,
        sha256="2fb74f9a6874c67cdee227573bdf8f0b393ed723c08c260442efd7ac13dd75f0",
        int8=(26_034, 0.01, "05be9ad55d83ad9e7610206c80a629a3177e3486da405f891cb41c32d5654a29"),
    ),
    _real_time(
        "espcn-robust", 4, macs=24_640, size=99_688,
        sha256="dc1b1f504de94b2e639b1eeaa1189900a263da109e85ac3a93b652dbc0884c7c",
        int8=(28_113, 0.01, "0273c0d850b23ada830374825b8762a5f1916e5c15e05df9dddade571940b3e0"),
    ),
    _real_time(
        "swift", 2, macs=12_240, size=50_976,
        sha256="4bf142390b5cfa904e3b358dd48e2ab147c1401ae0e28b659ba10ff759f2b602",
        int8=(18_902, 0.01, "39c9478b55b2fbbb27ce56ec15d45151c55062598346d0d704632b44da05085b"),
    ),
    _real_time(
        "swift", 3, macs=12_960, size=53_876,
        sha256="adc196b07d87230b16dda2d5a8afcf22fa2a44df39915a387a6aeeb80b152977",
        int8=(19_667, 0.01, "ae4ef6482f8159686b437bdf7780ef9e0a4037e4eba9121b59fb74f4a9df0787"),
    ),
    _real_time(
        "swift", 4, macs=13_968, size=57_936,
        sha256="a4abf0647811b7cbe14c7638d609d5c9ba8342f086273407f14acd2849e1d8e9",
        int8=(20_738, 0.01, "666d39ae9c4ec8d794d4eaaa29e705fba6bd7bb8ad2bd0e0796a1065acc3086c"),
    ),
    _real_time(
        "swift-robust", 2, macs=12_240, size=50_976,
        sha256="6fcbe492fdc4eb61f8ecf2f9452dd2e462f308a4ce25b3170f2bdf99500cd74e",
        int8=(18_902, 0.01, "bf07083b5207ed4b0c6a6aa60270e83431cb8a67bd417e0e681eaac651fae619"),
    ),
    _real_time(
        "swift-robust", 3, macs=12_960, size=53_876,
        sha256="570b39cc06d7805c4479f59c1271604fd842e4d877e084e636efc688cea1cc44",
        int8=(19_667, 0.00, "77e1035b16db7140d7ae84d195152698a986f53f2829f1904a497af4fed0fb47"),
    ),
    _real_time(
        "swift-robust", 4, macs=13_968, size=57_944,
        sha256="f4e3babd1279e097cd844e51fb1127dbc703eac50396f4e0ecd0d40bdc539af5",
        int8=(20_738, 0.00, "45f5d2c4023720bb06d62ed5a7687758ee32710bda9a5adf653125c3389a3b3d"),
    ),
    _real_time(
        "sharp", 2, macs=19_152, size=79_280,
        sha256="7ffd0aabce95f21b8f407919accdfb195503d3e1e109b5c98b074793860fbdc8",
        int8=(28_601, 0.03, "3d6435e20b6ced9d52a39bb40477dc995c3e99680e219b87f1cd3af51b938e25"),
    ),
    _real_time(
        "sharp", 3, macs=19_872, size=82_180,
        sha256="708dd226b11ae469ed5d6079f6a600984cf519e38aca3b38c3d31d02c22132b2",
        int8=(29_366, 0.01, "1e84498ae0d6e95e56c8902be231244d70aff716e2c6651480c2361f6dfbd6e6"),
    ),
    _real_time(
        "sharp", 4, macs=20_880, size=86_240,
        sha256="fd36d73290ae3ed4c684489a6ebeebb36e34b0335dde6ab4fb87417e98b81507",
        int8=(30_437, 0.01, "caeba87166605c9ec767baa95b772e2812bec27047f3e00c59be06898952504b"),
    ),
    _real_time(
        "sharp-robust", 2, macs=19_152, size=79_288,
        sha256="7272de48d8eab5f9321d5a712a056a2928be66b5cf9f4ccb9125f0bf00cbf042",
        int8=(28_601, -0.01, "6e17ff1ec996284fcef831956bcd9523e4cd52e43483159a482904bf9a66bca3"),
    ),
    _real_time(
        "sharp-robust", 3, macs=19_872, size=82_188,
        sha256="a9977d62f963306b830d2a217cd4cdb574403a87bffb3fcd43e95b7986e12cfa",
        int8=(29_366, 0.01, "48066085b53361015caed29b73cb2e79727a3c45a8fcbb9d3ec98d4cc2d9dfe5"),
    ),
    _real_time(
        "sharp-robust", 4, macs=20_880, size=86_248,
        sha256="c880176210f668433fd01e164b36cb8f053e45ac106f6b7d14ea5daba6d07487",
        int8=(30_437, 0.00, "3b32f814149c8b9f191c137b6abc158f375524ff0905aace2fb2db86033fffb5"),
    ),
)  # fmt: skip

KERNELS: Final[dict[Kernel, str]] = {
    "bicubic": "no net: bicubic interpolation, any scale (a = -0.5, antialiased when shrinking)",
    "lanczos": "no net: Lanczos-3 interpolation, any scale",
}
"""The honest baselines: models without a checkpoint."""


_OTHERS_NAMES: Final = {
    "realesrgan-x4plus-anime": "realesrgan-anime",  # Real-ESRGAN-ncnn-vulkan, Upscayl
    "realesr-animevideov3-x2": "realesr-animevideo",  # one file for each scale there, of the same net
    "realesr-animevideov3-x3": "realesr-animevideo",
    "realesr-animevideov3-x4": "realesr-animevideo",
    "realesrgan-plus": "realesrgan-x4plus",  # video2x
    "realesrgan-plus-anime": "realesrgan-anime",
    "realesr-generalv3": "realesr-general",
    "realesr-generalv3-wdn": "realesr-general-wdn",
    "R-ESRGAN 4x+": "realesrgan-x4plus",  # stable-diffusion-webui
    "R-ESRGAN 2x+": "realesrgan-x2plus",
    "R-ESRGAN 4x+ Anime6B": "realesrgan-anime",
    "R-ESRGAN General 4xV3": "realesr-general",
    "R-ESRGAN General WDN 4xV3": "realesr-general-wdn",
    "R-ESRGAN AnimeVideo": "realesr-animevideo",
}
"""What other programs call these models, where it is not the name of the file: ours, or that of the file."""


def _plain(name: str) -> str:
    """A name without what programs write in different ways: case, hyphens, underscores, spaces.

    >>> _plain("RealESRGAN_x4plus") == _plain("realesrgan-x4plus"), _plain("R-ESRGAN 4x+")
    (True, 'resrgan4xplus')
    """
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("+", "plus"))


def _aliases() -> dict[str, tuple[str, int | None]]:
    """Plain name -> model, and the scale of the only checkpoint that is meant where the model has several."""
    several = {spec.model for spec in MODELS if sum(other.model == spec.model for other in MODELS) > 1}
    found: dict[str, tuple[str, int | None]] = {}
    for spec in MODELS:
        found[_plain(spec.stem)] = spec.model, spec.scale if spec.model in several else None
        found[_plain(spec.model)] = spec.model, None
    for other, ours in _OTHERS_NAMES.items():
        found.setdefault(_plain(other), found[_plain(ours)])
    return found


ALIASES: Final = _aliases()
"""Names that `-m` takes besides ours, plain: those of the checkpoints' files, as most programs have them."""


def named(given: str) -> tuple[str, int | None]:
    """What a name means: the model, and the scale of the only checkpoint that is meant; None for all it has.

    What is not known stays as it is, in lower case.

    >>> named("realesrgan"), named("RealESRGAN_x2plus"), named("realesr-animevideov3")
    (('realesrgan', None), ('realesrgan', 2), ('realesr-animevideo', None))
    """
    lower = given.lower()
    return (lower, None) if lower in KERNELS else ALIASES.get(_plain(given), (lower, None))


def other_names(model: str) -> tuple[str, ...]:
    """What a model is called elsewhere: by its checkpoints' files, and by other programs."""
    stems = [spec.stem for spec in MODELS if spec.model == model]
    others = [name for name in _OTHERS_NAMES if named(name)[0] == model]
    return tuple(dict.fromkeys((*stems, *others)))


def model_names() -> tuple[str, ...]:
    """Every name of ours that `-m` takes, best first."""
    return (*dict.fromkeys(spec.model for spec in MODELS), *KERNELS)


def kernel_named(model: str) -> Kernel | None:
    """The kernel of that name, if it is one."""
    return next((kernel for kernel in KERNELS if kernel == model.lower()), None)


def rows_of(model: str) -> tuple[Spec, ...]:
    """The rows of a model, by ascending scale; none for a kernel.

    Args:
        model: its name, or one that another program has for it; that of a checkpoint means that one only.

    Raises:
        UnknownModelError: nothing of that name; the text offers the nearest names.
    """
    name, scale = named(model)
    if name in KERNELS:
        return ()
    meant = (spec for spec in MODELS if spec.model == name and scale in (None, spec.scale))
    rows = tuple(sorted(meant, key=lambda spec: spec.scale))
    if not rows:
        raise unknown_model(model)
    return rows


def is_known(name: str) -> bool:
    """Whether a name is one of ours, or one that others have for it.

    >>> is_known("RealESRGAN_x2plus"), is_known("4x-UltraSharp")
    (True, False)
    """
    return named(name)[0] in model_names()


def unknown_model(model: str, others: Iterable[str] = ()) -> UnknownModelError:
    """The error for a name that means nothing; its text offers the nearest names.

    Args:
        others: further names that could be meant, by which `-m` takes something.
    """
    if model.lower() in ARCHS:
        return UnknownModelError(
            f"model {model!r} is an architecture, and no checkpoint of it has that name. Give one: its path or stem. "
            f"({command('models list', python='upscale_cli.models.registry.model_names()')} shows those that are here.)"
        )
    names = {name.lower(): name for name in (*others, *model_names())}
    near = [names[name] for name in difflib.get_close_matches(model.lower(), names, n=3, cutoff=0.55)]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Choose from {', '.join(model_names())}"
    return UnknownModelError(
        f"model {model!r} is neither a name in the registry nor a file. {hint} "
        f"({command('models list', python='upscale_cli.models.registry.model_names()')} shows all.)"
    )
