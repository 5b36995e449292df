"""EXR, Radiance HDR, DPX and SGI, written by OpenImageIO, with the header that a source of the same format had."""

import shutil
from typing import Any, Final

import numpy as np

from upscale_cli.files.atomic_file import scratch_file
from upscale_cli.frames.image import Frame, Pixels
from upscale_cli.frames.pixels import by_strips
from upscale_cli.media.image.encoder import Encoder
from upscale_cli.media.image.header import Header
from upscale_cli.media.image.metadata import Metadata

_WRITERS: Final = {"EXR": "openexr", "Radiance HDR": "hdr", "DPX": "dpx", "SGI": "sgi"}
_CHANNELS: Final = {"L": ("Y",), "LA": ("Y", "A"), "RGB": ("R", "G", "B"), "RGBA": ("R", "G", "B", "A")}
_LARGEST_HALF: Final = 65_504.0
_PROBE_BYTES: Final = 2**20


class ByOpenImageIO(Encoder):
    """One picture."""

    def add(self, frame: Frame, metadata: Metadata) -> None:
        import OpenImageIO

        name = self.job.row.name
        header = metadata.header or Header(name)
        pixels = np.ascontiguousarray(self._stored(frame))
        spec = OpenImageIO.ImageSpec(frame.width, frame.height, pixels.shape[2], self._samples(pixels, header))
        self._describe(spec, frame, header)
        with scratch_file(self.job.folder) as (path, file):
            output = OpenImageIO.ImageOutput.create(_WRITERS[name])
            written = output is not None and output.open(str(path), spec) and output.write_image(pixels)
            closed = output is not None and output.close()
            if output is not None:
                output.geterror()  # or it is printed when Python ends
            size = file.seek(0, 2)
            # OpenImageIO (3.2.2) does not see that an SGI, which it writes uncompressed, has come to an early end.
            if not (written and closed) or (name == "SGI" and size < pixels.nbytes):
                file.write(bytes(_PROBE_BYTES))  # a full disk raises its own error
                file.flush()
                raise RuntimeError("the encoder fails")
            file.seek(0)
            if name == "Radiance HDR":
                self.job.stream.write(file.readline() + _lines(header))
            shutil.copyfileobj(file, self.job.stream)

    def _stored(self, frame: Frame) -> Pixels:
        """The values as the format stores them."""
        pixels, name = frame.pixels, self.job.row.name
        if name == "EXR" and frame.has_alpha:
            return by_strips(
                lambda strip: np.concatenate((strip[..., :-1] * strip[..., -1:], strip[..., -1:]), 2), pixels
            )
        if name == "Radiance HDR" and bool((~(pixels >= 0)).any()):
            self.job.notes("Radiance HDR holds no light below 0, nor holes: written as 0")
            whole: Pixels = np.nan_to_num(pixels, nan=0.0, posinf=float(np.finfo(np.float32).max))
            return whole.clip(min=0)
        return pixels

    def _samples(self, pixels: Pixels, header: Header) -> str:
        """The type that is stored: half as in the source, or where 8 bits came; float where half would not hold it."""
        if self.job.row.name != "EXR":
            return str(pixels.dtype.name) if pixels.dtype != np.float32 else "float"
        is_half = header.samples == "half" or (not header.samples and self.job.info.bits == 8)
        with np.errstate(invalid="ignore"):
            return "half" if is_half and not bool((np.abs(pixels) > _LARGEST_HALF).any()) else "float"

    def _describe(self, spec: Any, frame: Frame, header: Header) -> None:
        """Names, windows and fields."""
        names = header.channels if len(header.channels) == spec.nchannels else _CHANNELS[frame.layout]
        spec.channelnames = names
        spec.attribute("oiio:UnassociatedAlpha", 0 if self.job.row.name == "EXR" else 1)
        if header.window is not None:
            window = header.window
            spec.x, spec.y = window.x, window.y
            spec.full_x, spec.full_y = window.full_x, window.full_y
            spec.full_width, spec.full_height = window.full_width, window.full_height
        if self.job.row.name == "DPX" and frame.pixels.dtype == np.uint16:
            spec.attribute("oiio:BitsPerSample", 16)
        for name, kind, value in header.fields:
            if kind == "line":
                continue
            try:
                spec.attribute(name, kind, value)
            except TypeError:  # a value that Python has in another shape than its type
                self.job.notes(f"the field {name} of the header cannot be written: left out")


def _lines(header: Header) -> bytes:
    """A Radiance header's own lines, which go behind its first."""
    return b"".join(f"{line}\n".encode("latin-1", "replace") for _, kind, line in header.fields if kind == "line")
