"""DICOM, single and multi-frame, through pydicom (extra `[dicom]`): stored values, and the dataset around them.

Values are upscaled as they are stored, so slope, intercept and window go on to hold; only another format gets shades of
gray (`shades`). What speaks of pixels (rows, columns, spacings, positions) is brought up to date.

Source: DICOM PS3.3, C.7.6.2 (Image Plane), C.7.6.3 (Image Pixel), C.7.6.6 (Multi-frame); PS3.5, 8.
"""

import copy
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from upscale_cli.errors import InputError, OutputError, UpscaleError
from upscale_cli.frames.image import Frame, Layout, Pixels
from upscale_cli.media.image.encoder import Encoder, Encoding
from upscale_cli.media.image.formats import FORMATS, check_source
from upscale_cli.media.image.header import Header
from upscale_cli.media.image.metadata import Metadata, PhotoInfo
from upscale_cli.media.image.shades import Shades
from upscale_cli.media.image.source import Picture, Source, decoding

_REMEDY: Final = 'pip install "upscale-cli[dicom]" adds DICOM.'
_GRAY: Final = ("MONOCHROME1", "MONOCHROME2")
_CORRECTED: Final = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
"""JPEG 2000, whose own sign may be another than the dataset's; pydicom knows."""

_SPACINGS: Final = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_STALE: Final = (
    *("SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries"),
    *("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableData", "PixelDataProviderURL", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)


def _pydicom(kind: type[UpscaleError], name: str) -> Any:
    """The extra, imported when it is needed.

    Raises:
        UpscaleError: of that kind; it is not installed.
    """
    try:
        import pydicom
        import pydicom.pixels
        import pydicom.uid
    except ImportError as error:
        raise kind(f"{name}: DICOM needs the extra [dicom], which is not installed: {_REMEDY}") from error
    return pydicom


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the values are.

    Attributes:
        dtype: of a frame's values.
        offset: that makes signed values unsigned.
        photometric: the dataset's own word for it.
    """

    dtype: Any
    offset: int
    photometric: str

    @property
    def layout(self) -> Layout:
        return "L" if self.photometric in _GRAY else "RGB"


def open_dicom(source: Source) -> Picture:
    """Frames as pages, with stored values.

    Raises:
        InputError: no picture, of values that are not read, damaged, or too large.
    """
    pydicom = _pydicom(InputError, source.name)
    with decoding(source):
        source.file.seek(0)
        dataset = pydicom.dcmread(source.file, force=True)
        if "PixelData" not in dataset:
            kind = getattr(getattr(dataset, "SOPClassUID", None), "name", "")
            what = f" ({kind})" if kind else ""
            raise InputError(f"{source.name}: holds no picture of whole numbers{what}. Name one that does.")
        kind = _kind_of(source, dataset)
        width, height = int(dataset.Columns), int(dataset.Rows)
        source.check_size(width, height)
        frames = int(getattr(dataset, "NumberOfFrames", 1) or 1)
        is_lossy = str(getattr(dataset, "LossyImageCompression", "00")) == "01"
        del dataset.PixelData
        metadata = Metadata(header=Header("DICOM", (("dataset", "dicom", dataset),), shades=_shades(dataset, kind)))
        info = PhotoInfo(
            name=source.name, format="DICOM", width=width, height=height, layout=kind.layout,
            bits=8 if kind.dtype == np.uint8 else 16, frames=frames, metadata=metadata, lossless=not is_lossy,
            total_pixels=frames * width * height,
        )  # fmt: skip
    return Picture(info, lambda: _frames(source, kind))


def _kind_of(source: Source, dataset: Any) -> _Kind:
    photometric = str(dataset.PhotometricInterpretation)
    bits, signed = int(dataset.BitsAllocated), bool(dataset.PixelRepresentation)
    known = photometric in (*_GRAY, "RGB", "PALETTE COLOR") or photometric.startswith("YBR_")
    if bits not in (8, 16) or not known:
        raise InputError(
            f"{source.name}: {bits} bits a value of {photometric} are not read. "
            "Export it as 16-bit TIFF, and upscale that."
        )
    if photometric == "PALETTE COLOR":
        entry = int(dataset.RedPaletteColorLookupTableDescriptor[2])
        return _Kind(np.uint8 if entry <= 8 else np.uint16, 0, photometric)
    offset = 1 << (bits - 1) if signed and photometric in _GRAY else 0
    return _Kind(np.uint8 if bits == 8 else np.uint16, offset, photometric)


def _shades(dataset: Any, kind: _Kind) -> Shades:
    functional = getattr(dataset, "SharedFunctionalGroupsSequence", [{}])[0] if kind.layout == "L" else {}

    def value(keyword: str, within: str) -> float | None:
        place = dataset if keyword in dataset else getattr(functional, within, [None])[0]
        found = getattr(place, keyword, None) if place is not None else None
        if found is None or found == "":
            return None
        return float(found[0]) if isinstance(found, (list, tuple)) or hasattr(found, "append") else float(found)

    slope, intercept = (
        value(name, "PixelValueTransformationSequence") for name in ("RescaleSlope", "RescaleIntercept")
    )
    centre, width = (value(name, "FrameVOILUTSequence") for name in ("WindowCenter", "WindowWidth"))
    return Shades(
        kind.offset, 1.0 if slope is None else slope, intercept or 0.0, centre, width,
        is_inverted=kind.photometric == "MONOCHROME1",
    )  # fmt: skip


def _frames(source: Source, kind: _Kind) -> Iterator[Frame]:
    import pydicom.pixels

    source.file.seek(0)
    dataset = pydicom.dcmread(source.file, force=True)
    # Without indices pydicom (3.0.2) decodes into memory that it cannot correct afterwards.
    syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", ""))
    indices = range(int(dataset.get("NumberOfFrames") or 1)) if syntax in _CORRECTED else None
    frames = pydicom.pixels.iter_pixels(dataset, indices=indices)
    while True:
        with decoding(source):
            try:
                pixels = next(frames, None)
            except (NotImplementedError, RuntimeError) as error:
                coding = getattr(dataset.file_meta.TransferSyntaxUID, "name", "its coding")
                if "plugin" in str(error) or "decompress" in str(error) or "dependenc" in str(error):
                    raise InputError(
                        f"{source.name}: {coding} is not decoded here. Convert it to Explicit VR Little Endian first, "
                        "for instance by dcmdjpeg or gdcmconv."
                    ) from error
                raise
            if pixels is None:
                return
            if kind.photometric == "PALETTE COLOR":
                pixels = pydicom.pixels.apply_color_lut(pixels, dataset)
            if pixels.ndim == 2:
                pixels = pixels[..., None]
            whole = pixels.astype(np.int32) + kind.offset
            frame = Frame(np.ascontiguousarray(whole.clip(0, np.iinfo(kind.dtype).max).astype(kind.dtype)), kind.layout)
        yield frame


class Dicom(Encoder):
    """The frames of one DICOM file, with the dataset of its source; their values lie in a file until all have come."""

    def __init__(self, job: Encoding) -> None:
        super().__init__(job)
        check_source(FORMATS["DICOM"], job.notes.name, job.info.name, job.info.format)
        _pydicom(OutputError, job.notes.name)
        header = job.info.metadata.header
        assert header is not None
        assert header.shades is not None
        self._dataset, self._shades = header.fields[0][2], header.shades
        syntax = getattr(getattr(self._dataset, "file_meta", None), "TransferSyntaxUID", None)
        if syntax is not None and not syntax.is_little_endian:
            raise OutputError(
                f"{job.info.name}: its numbers are stored with the greater byte first ({syntax.name}), which is not "
                "written. Convert it to Explicit VR Little Endian first, for instance by gdcmconv."
            )
        self._file = tempfile.TemporaryFile(dir=job.folder)  # noqa: SIM115  # goes with the encoder
        self._frames = 0
        self._size = (0, 0)
        self._layout: Layout = "L"

    def add(self, frame: Frame, metadata: Metadata) -> None:  # noqa: ARG002  # it is in the dataset
        self._size, self._layout = (frame.width, frame.height), frame.layout
        self._file.write(self._stored(frame.pixels).tobytes())
        self._frames += 1

    def finish(self) -> None:
        dataset = copy.deepcopy(self._dataset)
        self._describe(dataset)
        with self._file:
            self._file.seek(0)
            dataset.PixelData = self._file.read()
        dataset["PixelData"].VR = "OW" if int(dataset.BitsAllocated) > 8 else "OB"
        dataset.save_as(self.job.stream, implicit_vr=False, little_endian=True, enforce_file_format=True)

    def _stored(self, pixels: Pixels) -> Pixels:
        """Values as the dataset declares them, none beyond the bits that it says are used."""
        dataset, offset = self._dataset, self._shades.offset
        if self._layout != "L":
            return np.ascontiguousarray(pixels)
        bits = int(dataset.BitsStored)
        low = -(1 << (bits - 1)) if offset else 0
        values = (pixels.astype(np.int32) - offset).clip(low, low + (1 << bits) - 1)
        kind = {(8, False): np.uint8, (8, True): np.int8, (16, False): np.uint16, (16, True): np.int16}
        return values.astype(kind[int(dataset.BitsAllocated), bool(offset)]).astype(
            "<" + "iu"[not offset] + str(pixels.itemsize)
        )

    def _describe(self, dataset: Any) -> None:
        """What speaks of pixels, for those of the output."""

        width, height = self._size
        across, down = width / int(dataset.Columns), height / int(dataset.Rows)
        _place(dataset, across, down)
        dataset.Columns, dataset.Rows = width, height
        if self._frames > 1 or "NumberOfFrames" in dataset:
            dataset.NumberOfFrames = self._frames
        if self._layout == "RGB":
            dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PlanarConfiguration = "RGB", 3, 0
            bits = self.job.info.bits
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
            dataset.PixelRepresentation = 0
        for name in _STALE:
            if name in dataset:
                delattr(dataset, name)
        overlays = [element.tag for element in dataset if 0x6000 <= element.tag.group <= 0x60FF]
        for tag in overlays:
            del dataset[tag]
        if overlays:
            self.job.notes("overlays are left out")
        if "SequenceOfUltrasoundRegions" in dataset:
            self.job.notes("the regions of ultrasound are left as they were, in pixels of the source")
        self._identify(dataset, across)

    def _identify(self, dataset: Any, scale: float) -> None:
        """A derived picture has an identity of its own, and says what it was derived by."""
        import pydicom.uid

        uid = pydicom.uid.generate_uid()
        dataset.SOPInstanceUID = uid
        kinds = list(getattr(dataset, "ImageType", None) or ["ORIGINAL", "PRIMARY"])
        dataset.ImageType = ["DERIVED", *kinds[1:]]
        dataset.DerivationDescription = f"enlarged {scale:.4g} times by upscale-cli"
        meta = getattr(dataset, "file_meta", None) or pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPInstanceUID = uid
        meta.MediaStorageSOPClassUID = getattr(dataset, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.7")
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.file_meta = meta
        if getattr(dataset, "PixelPaddingValue", None) is not None:
            self.job.notes("at the border of what is padded, values are mixed with the padding")


def _place(dataset: Any, across: float, down: float) -> None:
    """Spacings and positions of the dataset and of its functional groups: the corners stay where they were."""
    groups = [
        *getattr(dataset, "SharedFunctionalGroupsSequence", []),
        *getattr(dataset, "PerFrameFunctionalGroupsSequence", []),
    ]
    shared = next(iter(getattr(dataset, "SharedFunctionalGroupsSequence", [])), None)
    measures = [item for group in groups for item in getattr(group, "PixelMeasuresSequence", [])]
    directions = getattr(dataset, "ImageOrientationPatient", None)
    if directions is None and shared is not None:
        planes = getattr(shared, "PlaneOrientationSequence", None)
        directions = planes[0].ImageOrientationPatient if planes else None
    before = [float(side) for side in _first(dataset, measures, "PixelSpacing") or ()]
    for place in (dataset, *measures):
        for name in _SPACINGS:
            spacing = getattr(place, name, None)
            if spacing:
                setattr(place, name, [_decimal(float(spacing[0]) / down), _decimal(float(spacing[1]) / across)])
    if len(before) != 2 or directions is None or len(directions) != 6:
        return
    row, column = (np.array([float(part) for part in directions[at : at + 3]]) for at in (0, 3))
    shift = row * (before[1] / across - before[1]) / 2 + column * (before[0] / down - before[0]) / 2
    places = [dataset, *(item for group in groups for item in getattr(group, "PlanePositionSequence", []))]
    for place in places:
        position = getattr(place, "ImagePositionPatient", None)
        if position and len(position) == 3:
            place.ImagePositionPatient = [
                _decimal(float(old) + more) for old, more in zip(position, shift, strict=True)
            ]


def _first(dataset: Any, places: list[Any], name: str) -> Any:
    found = (getattr(place, name, None) for place in (dataset, *places))
    return next((value for value in found if value), None)


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters, which is what DICOM allows."""
    return next(text for digits in range(14, 0, -1) if len(text := f"{value:.{digits}g}") <= 16)
