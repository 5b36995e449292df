"""`likeness`, for the frames of a clip: of the first, the second, the fourth, the eighth, ... the first plane."""

from torch import Tensor

from upscale_cli.events import Say
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.inference.likeness import FAR, Likeness
from upscale_cli.inference.yuv import planes_in


class FrameLikeness:
    """Looks at frames as they are done, and tells once if a net has made something else of one.

    Args:
        lr_size, sr_size: (width, height) of what goes in, and of what is made of it.
        name: of the model.
    """

    def __init__(
        self, format: PixelFormat, lr_size: tuple[int, int], sr_size: tuple[int, int], name: str, say: Say
    ) -> None:
        self._format, self._lr_size, self._sr_size = format, lr_size, sr_size
        self._name, self._say = name, say
        self._frames, self._is_told = 0, False

    def look(self, lr: Tensor, sr: Tensor, out_size: tuple[int, int]) -> None:
        """Flat samples of a frame before and after, the latter on the host.

        Args:
            out_size: (width, height) that they hold.
        """
        self._frames += 1
        if self._is_told or self._frames & (self._frames - 1):
            return
        width, height = self._sr_size
        before = planes_in(lr, self._format, *self._lr_size)[0].cpu().numpy()
        after = planes_in(sr, self._format, *out_size)[0].numpy()[:height, :width]
        likeness = Likeness()
        likeness.add(before[..., None], after[..., None], self._format.white)
        if likeness.is_far:
            self._is_told = True
            self._say(f"{self._name}: {FAR}")
