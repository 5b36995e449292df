"""The blur kernel that training has found in a picture: found in the first page, taken for all, kept as a picture."""

from dataclasses import replace
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np

from upscale_cli.errors import printable
from upscale_cli.events import Say
from upscale_cli.files.atomic_file import OutputFile
from upscale_cli.frames.image import Frame
from upscale_cli.inference.blur_kernels import Kernel
from upscale_cli.inference.degradation import KERNELGAN, Degradation
from upscale_cli.inference.sizing import Plan
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.messages import option


class FoundKernel:
    """What degraded the pages of a picture.

    Args:
        output: of the picture; the kernel's lies next to it. A stream has none.
        overwrite: replace a kernel that is there.
    """

    def __init__(self, upscaler: Upscaler, output: "Path | BinaryIO", *, overwrite: bool, say: Say) -> None:
        self._upscaler, self._output, self._overwrite, self._say = upscaler, output, overwrite, say
        self._found: Degradation | None = None

    def for_page(self, lr: Frame, plan: Plan) -> Plan:
        """The plan of a page, with what is known."""
        if self._found is None:
            place = self._place()  # first: what is told of it comes before the minutes that the search takes
            plan = self._upscaler.found(lr, plan)
            self._found = plan.degradation
            if place is not None and self._found is not None and self._found.kernel is not None:
                write_kernel(self._found.kernel, place)
                self._say(f"the kernel is in {printable(str(place))}: {option('kernel', place)} takes it.")
            return plan
        return replace(plan, degradation=self._found)

    def _place(self) -> Path | None:
        """Where the kernel goes; None where it is not kept: it costs little to find, or something is there."""
        if self._upscaler.degradation.search != KERNELGAN or not isinstance(self._output, Path):
            return None
        path = self._output.with_name(f"{self._output.stem}_kernel.png")
        if path.exists() and not self._overwrite:
            self._say(
                f"{printable(str(path))}: is there already, so the kernel will not be written. To replace it, give "
                f"{option('overwrite', True)}."
            )
            return None
        return path


def write_kernel(kernel: Kernel, path: Path) -> None:
    """A PNG of 16 bits, a pixel for each of the kernel's, its largest value white: `read_kernel` takes it.

    What is negative is lost.
    """
    from PIL import Image

    levels = np.rint(np.clip(kernel, 0, None) / kernel.max() * 65535).astype(np.uint16)
    with OutputFile(path, overwrite=True) as stream:
        Image.fromarray(levels).save(cast(IO[bytes], stream), format="PNG")
