"""What the parts of `gpu.py` are run with: real sizes on a GPU, tiny ones on a CPU to see that they still run."""

from dataclasses import asdict, dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Sizes and numbers.

    Attributes:
        device: "cuda" or "cpu".
        half: the half precision that is measured there.
        side: LR pixels of the square picture for realesrgan.
        matrix_side: of the matrices whose product is the measure.
        height, width: of the clip's LR frames.
        frames: of the clip.
        repeats: of each measurement.
        spare_mb: memory that is left free where it shall run out.
    """

    device: str
    half: str
    side: int
    matrix_side: int
    height: int
    width: int
    frames: int
    repeats: int
    spare_mb: int

    @property
    def is_cuda(self) -> bool:
        return self.device == "cuda"

    def facts(self) -> dict[str, Any]:
        """For the JSON."""
        return asdict(self)


GPU: Final = Setting(
    device="cuda", half="fp16", side=512, matrix_side=8192, height=1080, width=1920, frames=300, repeats=10,
    spare_mb=160,
)  # fmt: skip

DRY: Final = Setting(
    device="cpu", half="bf16", side=24, matrix_side=64, height=36, width=64, frames=5, repeats=1, spare_mb=0
)

SETTINGS: Final = {setting.device: setting for setting in (GPU, DRY)}
