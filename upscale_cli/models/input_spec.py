"""What a net needs beside the picture, as values. Part of `models.interface`, which has its names, too."""

from dataclasses import dataclass
from typing import Final, Literal

InputKind = Literal["", "kernel", "kernel_codes", "noise", "reference"]
"""Of an input that users name by what it is: a blur kernel of sum 1, its PCA codes, the noise's standard deviation, a
sharper picture of the scene."""

Sampling = Literal["bicubic", "every"]
"""How a net thinks that the LR picture was made of the blurred SR picture: shrunk by an antialiased cubic kernel, or
every scale-th pixel taken, the top left one first."""

SCALE_INPUT: Final = "scale"
"""The name of the input that a pass fills in by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """Something that a net needs in addition to the picture.

    Attributes:
        name: by which the net's `forward` takes it, and the user gives it. "scale" is that of the pass.
        shape: () a number, one for the picture; else of an array, None where any length will do; the last two axes of
            an array of two or more are spatial, (height, width), and are turned with the picture.
        tiled: the array is a map of the LR picture, (C, H, W), and cut with its tiles; else all tiles get all of it.
        least, most: of the values; None: no bound.
        default: of a number that was not given; None: it has to be given.
        about: what it is, for people, in one phrase with its unit.
        kind: what it is, for options such as `kernel` and `noise`; "": something of the net's own.
        sampling: of a kernel.
        gaussian: the net was trained on Gaussian kernels only.
        level: of the noise: what one level of 255 is in the input's values.
    """

    name: str
    shape: tuple[int | None, ...] = ()
    tiled: bool = False
    least: float | None = None
    most: float | None = None
    default: float | None = None
    about: str = ""
    kind: InputKind = ""
    sampling: Sampling = "bicubic"
    gaussian: bool = False
    level: float = 1.0

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"{self.name!r} can be no name of an argument")
        if self.tiled and len(self.shape) != 3:
            raise ValueError(f"{self.name}: what is cut with the tiles has the shape (C, None, None)")
