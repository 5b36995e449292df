"""What nets that go up to SR size and down again have in common (SRFBN, EBRN): the kernels of their projections."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from torch import nn


@dataclass(frozen=True, slots=True)
class Projection:
    """A (transposed) convolution between LR and SR size.

    Attributes:
        kernel: its side; always `scale + 2 * padding`.
        padding: SR pixels.
    """

    scale: int
    kernel: int
    padding: int

    def up(self, channels_in: int, channels_out: int) -> nn.ConvTranspose2d:
        """(N, channels_in, H, W) to (N, channels_out, scale * H, scale * W)."""
        return nn.ConvTranspose2d(channels_in, channels_out, self.kernel, self.scale, self.padding)

    def down(self, channels_in: int, channels_out: int) -> nn.Conv2d:
        """(N, channels_in, scale * H, scale * W) to (N, channels_out, H, W)."""
        return nn.Conv2d(channels_in, channels_out, self.kernel, self.scale, self.padding)

    @property
    def there_and_back(self) -> int:
        """LR pixels on each side that an LR pixel depends on through `up` and `down`."""
        return (self.kernel - 1) // self.scale

    def reach(self, at_sr: int) -> int:
        """LR pixels on each side that an SR pixel depends on through `up` and layers that reach `at_sr` SR pixels."""
        return (at_sr + self.scale - 1 + self.padding) // self.scale


PROJECTIONS: Final[Mapping[int, Projection]] = {
    2: Projection(scale=2, kernel=6, padding=2),
    3: Projection(scale=3, kernel=7, padding=2),
    4: Projection(scale=4, kernel=8, padding=2),
    8: Projection(scale=8, kernel=12, padding=2),
}
"""By scale, as DBPN chose them (Haris et al., CVPR 2018)."""

SCALE_OF: Final[Mapping[int, int]] = {projection.kernel: scale for scale, projection in PROJECTIONS.items()}
"""By the kernel's side."""
