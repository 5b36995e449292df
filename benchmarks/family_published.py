"""What papers say of the nets of the family, and what is known of checkpoints whose figures are others."""

from collections.abc import Mapping
from typing import Final

PUBLISHED: Final[Mapping[str, Mapping[int, tuple[float, ...]]]] = {
    "srcnn-ycbcr-955": {2: (36.66, 32.42, 31.36), 3: (32.75, 29.28, 28.41), 4: (30.48, 27.49, 26.90)},
    "vdsr": {2: (37.53, 33.03, 31.90), 3: (33.66, 29.77, 28.82), 4: (31.35, 28.01, 27.29)},
    "fsrcnn": {2: (37.00,), 3: (33.16,), 4: (30.71,)},
    "fsrcnn-small": {},
    "espcn": {3: (33.13, 29.49), 4: (30.90, 27.73)},
    "espcn-robust": {},
    "lapsrn": {4: (31.54, 28.19, 27.32)},
    "carn-m": {2: (37.53, 33.26, 31.92), 3: (33.99, 30.08, 28.91), 4: (31.92, 28.42, 27.44)},
    "imdn-x4": {4: (32.21, 28.58, 27.56)},
    "rfdn": {4: (32.24, 28.61, 27.57)},
    "srmdnf": {2: (37.79, 33.32, 32.05), 3: (34.12, 30.04, 28.97), 4: (31.96, 28.35, 27.49)},
    "bsrn-x": {2: (38.10,), 4: (32.35,)},
}
"""PSNR of luma in dB on Set5, Set14 and B100 (all 100 pictures), by how checkpoints' names begin and by scale."""

ORIGIN: Final[Mapping[str, str]] = {
    "srcnn-ycbcr-955": "SRCNN 9-5-5, by Ahn et al., ECCV 2018",
    "vdsr": "VDSR, Kim et al., CVPR 2016",
    "fsrcnn": "FSRCNN, by Ahn et al., ECCV 2018",
    "espcn": "ESPCN, Shi et al., CVPR 2016",
    "lapsrn": "LapSRN, Lai et al., CVPR 2017",
    "carn-m": "CARN-M, Ahn et al., ECCV 2018",
    "imdn-x4": "IMDN, Hui et al., ACM MM 2019",
    "rfdn": "RFDN, Liu et al., ECCVW 2020",
    "srmdnf": "SRMDNF, Zhang et al., CVPR 2018",
    "bsrn-x": "BSRN, Li et al., CVPRW 2022",
}
"""Whose net and figures they are."""

ALIASING: Final = (
    "trained on LR made by OpenCV's INTER_CUBIC, which aliases; on antialiased LR it gains little, and nothing at x4"
)
YCBCR: Final = (
    "somebody else's training, of Y, Cb and Cr together; its project reports figures of the three channels together, "
    "in full range, and blurred its LR a little"
)
FOR_LOOKS: Final = (
    "trained to look sharp on damaged photos: it invents texture, and PSNR on clean pictures falls by that"
)

WHY: Final[Mapping[str, str]] = {
    "espcn-tf-*": ALIASING,
    "fsrcnn*-tf-*": ALIASING,
    "espcn-ycbcr-*": YCBCR,
    "srcnn-ycbcr-*": YCBCR,
    "fsrcnn-ycbcr-*": YCBCR,
    "espcn-yjn870-*": "somebody's student project, 1.2 dB below the paper's weights",
    "espcn-tutorial-*": "the tutorial's net of four layers; in colour it gives 31.33",
    "fsrcnn-yjn870-*": "somebody else's training; x3 and x4 stay below the paper's",
    "vdsr": "somebody else's training, a little above the paper's at all scales",
    "lapsrn-x4": "somebody else's training, a little above the paper's; x2 is the lower level of the same net",
    "carn-m": "the authors' file as it is; why it differs by up to 0.17 dB from their table is not known",
    "rfdn-aim-x4": "the narrower net of the AIM 2020 challenge (50 feature maps); the published figures are of 52",
    "RealESRGAN*": FOR_LOOKS,
    "realesr*": FOR_LOOKS,
    "photo-lite-crisp*": FOR_LOOKS,
    "srgan-*": "five residual blocks, where the papers' SRResNet and SRGAN have 16",
    "srmd*-x*": "by the kernel that stands for bicubic shrinking, a Gaussian of sigma 0.2, and a noise level of 0",
    "usrnet-tiny-*": (
        "two pictures of Set5, blurred; trained by a third party, 50,000 iterations. The reference alone gives the "
        "card's figures: its denoiser sees zeros beyond the picture's border, where that of a pass with `--wrap` sees "
        "the other side. So they differ near the border only, whatever the margin: by 0.01 dB at x2 and 0.06 at x4"
    ),
    "raisr-intel-*": "its card has a figure for the filters called lowres",
    "raisr-movehand-x2": "expects LR pixels on every second HR pixel, not between two",
}
"""By file name: what is behind a figure, where it is another than the published one or is measured in another way."""
