"""HEIC and HEIF through pillow-heif, an extra, for its codec is patented in places and large.

libheif turns the pixels itself (irot, imir), so the orientation in EXIF no longer holds.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from upscale_cli.errors import InputError, OutputError, UpscaleError
from upscale_cli.frames.image import Frame, Layout, Transfer
from upscale_cli.frames.pixels import stretched, upright_pixels
from upscale_cli.media.image.codecs.heif_items import colours_of, matrix_of, primary_of
from upscale_cli.media.image.codecs.heif_parts import appended, parts_of
from upscale_cli.media.image.encoder import Encoder, Encoding, stored_bits
from upscale_cli.media.image.metadata import Metadata, PhotoInfo, upright_metadata
from upscale_cli.media.image.source import Picture, Source, decoding

_LAYOUTS: dict[str, Layout] = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "I": "L"}
_REMEDY = 'pip install "upscale-cli[heif]" adds HEIC.'


def _pillow_heif(kind: type[UpscaleError], name: str) -> Any:
    """The extra, imported when it is needed.

    Raises:
        kind: it is not installed.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise kind(f"{name}: HEIC needs the extra [heif], which is not installed: {_REMEDY}") from error
    return pillow_heif


def open_heif(source: Source) -> Picture:
    """The primary picture of a HEIC or HEIF file; more than 8 bits come as 16.

    Raises:
        InputError: damaged, too large, or the extra is missing.
    """
    pillow_heif = _pillow_heif(InputError, source.name)
    with decoding(source):
        source.file.seek(0)
        file = pillow_heif.open_heif(source.file, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        image = file[file.primary_index]
        source.check_size(*image.size)
        if len(file) > 1:
            source.say(f"{source.name}: holds {len(file)} pictures, the primary one is taken")
        found = image.info
        profile = found.get("icc_profile")
        metadata, _ = upright_metadata(
            icc=profile,
            colours=colours_of(primary_of(source.file), profile is not None),
            exif=found.get("exif"),
            xmp=found.get("xmp"),
            aspect=_aspect(found.get("pixel_aspect_ratio")),
            turned_already=True,
        )
        metadata = replace(metadata, parts=parts_of(source.file))
        _say_what_is_lost(source, found)
        base, _, depth = image.mode.partition(";")
        layout = _LAYOUTS.get(base)
        if layout is None:
            raise InputError(f"{source.name}: HEIC pixels of mode {image.mode} are not read. Convert it to PNG first.")
        info = PhotoInfo(
            name=source.name,
            format="HEIC",
            width=image.size[0],
            height=image.size[1],
            layout=layout,
            bits=16 if depth else 8,
            sample_bits=int(depth or 0) % 16,
            metadata=metadata,
            total_pixels=image.size[0] * image.size[1],
        )
    return Picture(info, lambda: _frames(source, image, info))


def _aspect(sides: tuple[int, int] | None) -> tuple[int, int] | None:
    """Densities of pixels that have these sides: the wider they are, the fewer go across."""
    return sides and (sides[1], sides[0])


def _say_what_is_lost(source: Source, found: dict[str, Any]) -> None:
    kinds = [*found.get("aux", ())]
    if any("hdrgainmap" in kind or "21496" in kind for kind in kinds):
        source.say(f"{source.name}: its gain map, which makes it an HDR picture, is left out")
    if found.get("depth_images"):
        source.say(f"{source.name}: its depth map is left out")
    others = [kind for kind in kinds if not any(word in kind for word in ("hdrgainmap", "21496", "alpha", "depth"))]
    if others:
        source.say(f"{source.name}: auxiliary pictures are left out ({', '.join(sorted(others))[:100]})")


def _frames(source: Source, image: Any, info: PhotoInfo) -> Iterator[Frame]:
    transfer: Transfer = "linear" if info.metadata.is_linear else "display"
    with decoding(source):
        pixels = upright_pixels(np.asarray(image), 1)
        if info.sample_bits:
            pixels = stretched(pixels, 2**info.sample_bits - 1, info.sample_bits)
        if pixels.shape != (info.height, info.width, len(info.layout)):
            raise InputError(f"pixels of shape {pixels.shape} are not what the header announced")
        frame = Frame(pixels, info.layout, transfer)
    yield frame


class Heic(Encoder):
    """One picture, 4:4:4; of more than 8 bits 10 are kept, or 12 of a source that has 12."""

    def __init__(self, job: Encoding) -> None:
        super().__init__(job)
        self._library = _pillow_heif(OutputError, job.notes.name)

    def add(self, frame: Frame, metadata: Metadata) -> None:
        options: dict[str, Any] = {}
        if metadata.icc:
            options["icc_profile"] = metadata.icc
        if metadata.exif:
            options["exif"] = b"Exif\0\0" + metadata.exif
        packet, clip = appended(metadata, "image/heic")
        if packet:
            options["xmp"] = packet
        if metadata.aspect:
            options["pixel_aspect_ratio"] = metadata.aspect[::-1]
        if metadata.colours and metadata.colours.codes and not metadata.icc:
            primaries, transfer = metadata.colours.codes
            options |= {"color_primaries": primaries, "transfer_characteristics": transfer, "full_range_flag": 1}
            options["matrix_coefficients"] = matrix_of(primaries)
        mode: str = frame.layout
        if frame.pixels.dtype == np.uint16:
            mode, options["bit_depth"] = mode + ";16", stored_bits(self.job, 10)
        self._library.encode(
            mode,
            (frame.width, frame.height),
            frame.pixels.tobytes(),
            self.job.stream,
            quality=self.job.lossy_quality,
            chroma=444,
            **options,
        )
        self.job.stream.write(clip)
