"""Stacks of microscopes: pixels stay as large as they are, and nothing counts the old ones."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.pictures import frame_of
from upscale_cli import upscale_file
from upscale_cli.events import Event, Note
from upscale_cli.frames.image import Pixels
from upscale_cli.media.image.stack_description import StackDescription, understood


def stack(pages: int = 5, dtype: Any = np.uint16) -> Pixels:
    return np.stack([frame_of("L", dtype, 32, 48, seed).pixels[..., 0] for seed in range(pages)])


def enlarged(path: Path, name: str = "out.tif", scale: float = 2) -> tuple[Path, str]:
    """The output, and what was told."""
    events: list[Event] = []
    output = upscale_file(path, path.with_name(name), scale=scale, model="bicubic", listener=events.append)
    return output, "\n".join(event.text for event in events if isinstance(event, Note))


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "CYX"])
@pytest.mark.parametrize("scale", [2, 1.5])
def test_imagej(tmp_path: Path, axes: str, scale: float) -> None:
    path = tmp_path / "stack.tif"
    more: dict[str, Any] = {"spacing": 2.0, "Labels": ["a", "b", "c", "d", "e"], "finterval": 0.5}
    tifffile.imwrite(
        path, stack(), imagej=True, resolution=((20, 13), (20, 13)), metadata={"axes": axes, "unit": "um", **more}
    )
    output, told = enlarged(path, scale=scale)
    with tifffile.TiffFile(path) as before, tifffile.TiffFile(output) as after:
        assert after.is_imagej
        assert after.imagej_metadata == before.imagej_metadata
        assert after.series[0].axes == before.series[0].axes
        assert after.series[0].shape == (5, int(32 * scale), int(48 * scale))
        for page in after.pages:
            across, down = (page.tags.valueof(code) for code in (282, 283))
            assert across[0] / across[1] == down[0] / down[1] == pytest.approx(20 / 13 * scale)
            assert page.tags.valueof(296) == 1
    assert told == ""


def test_origins_in_pixels_and_overlays(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    text = b"ImageJ=1.54f\nimages=1\nunit=mm\nxorigin=10\nyorigin=4.5\nzorigin=3\nmin=0\nmax=9\n"
    assert b"xorigin=20.0\nyorigin=9.0\nzorigin=3\n" in StackDescription("ImageJ", text).scaled((8, 8), (16, 16)).text
    metadata = {"ROI": b"Iout" + bytes(70), "unit": "um", "Info": "mine"}
    tifffile.imwrite(path, stack(1)[0], imagej=True, metadata=metadata)
    output, told = enlarged(path)
    assert "regions and overlays" in told
    with tifffile.TiffFile(output) as after:
        found = after.imagej_metadata
        assert found is not None
        assert "ROI" not in found
        assert found["Info"] == "mine"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int16])
def test_ome(tmp_path: Path, dtype: Any) -> None:
    path = tmp_path / "stack.ome.tif"
    sizes = {"PhysicalSizeX": 0.65, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    pixels = stack(6, np.uint8).astype(dtype).reshape(2, 3, 32, 48)
    metadata = {"axes": "CZYX", "PhysicalSizeZ": 2.0, "Channel": {"Name": ["red", "blue"]}, **sizes}
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", resolution=(15384.6, 20000), resolutionunit=3,
                     metadata=metadata)  # fmt: skip
    output, told = enlarged(path, "out.ome.tif")
    with tifffile.TiffFile(output) as after:
        assert after.is_ome
        assert after.series[0].axes == "CZYX"
        assert after.series[0].shape == (2, 3, 64, 96)
        assert after.series[0].dtype == dtype
        text = after.ome_metadata
        assert text is not None
        across = after.pages[5].aspage().tags.valueof(282)
        assert across[0] / across[1] == pytest.approx(30769.2, rel=1e-4)
    assert 'PhysicalSizeX="0.325"' in text
    assert 'PhysicalSizeY="0.25"' in text
    assert 'PhysicalSizeZ="2.0"' in text
    assert 'SizeX="96"' in text
    assert 'SizeY="64"' in text
    assert 'Name="red"' in text
    assert not re.search(r"left out.*(OME|description)", told)


def test_ome_of_several_files_is_left_out_aloud() -> None:
    text = (
        b'<?xml version="1.0"?><OME UUID="urn:uuid:1"><Image ID="Image:0">'
        b'<Pixels SizeX="4" SizeY="4" SizeZ="2" SizeT="1">'
        b'<TiffData IFD="0"><UUID FileName="a.tif">urn:uuid:1</UUID></TiffData>'
        b'<TiffData IFD="1"><UUID FileName="%s.tif">urn:uuid:%s</UUID></TiffData></Pixels></Image></OME>'
    )
    kept, lost = understood(text % (b"a", b"1"), 2)
    assert isinstance(kept, StackDescription)
    assert b"UUID" not in kept.text
    assert lost == ()
    assert understood(text % (b"b", b"2"), 2) == (None, ("the OME description, which speaks of further files",))
    assert understood(text % (b"a", b"1"), 1)[0] is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"shape": [3, 32, 48]}', None),
        ('{"shape": [3, 32, 48], "axes": "ZYX"}', None),
        ('{"shape": [3, 32, 48], "who": "me"}', '{"who": "me"}'),
        ("shape=(3, 32, 48)", None),
        ("A shape of things to come, (3, 4)", "A shape of things to come, (3, 4)"),
        ("Köln, 1880".encode().decode("latin-1"), "Köln, 1880".encode().decode("latin-1")),
    ],
)
def test_text_of_machines_goes_and_text_of_people_stays(tmp_path: Path, text: str, kept: str | None) -> None:
    path, data = tmp_path / "stack.tif", text.encode("latin-1")
    with tifffile.TiffWriter(path) as file:
        tags = [(270, 2, len(data) + 1, data + b"\0", True)]
        file.write(stack(1)[0], metadata=None, extratags=tags)
    output, told = enlarged(path)
    assert "left out" not in told, "nobody misses the shape of the old pixels"
    with tifffile.TiffFile(output) as after:
        tag = after.pages[0].tags.get(270)
        found = None
        if tag is not None:
            after.filehandle.seek(tag.valueoffset)
            found = after.filehandle.read(tag.count).rstrip(b"\0").decode("latin-1")
    assert found == kept


def test_another_format_loses_the_stack_aloud(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, stack(), imagej=True, resolution=(1.5, 1.5), metadata={"axes": "ZYX", "unit": "um"})
    output, told = enlarged(path, "out.png")
    assert "description of the stack by ImageJ" in told
    assert b"ImageJ=" not in output.read_bytes()


def test_paper_keeps_its_resolution(tmp_path: Path) -> None:
    """A scan of 300 dpi stays one: its unit is one of paper."""
    tifffile.imwrite(tmp_path / "scan.tif", stack(1)[0], resolution=(300, 300), resolutionunit=2, metadata=None)
    output, _ = enlarged(tmp_path / "scan.tif")
    with tifffile.TiffFile(output) as after:
        assert after.pages[0].tags.valueof(282) == (300, 1)


@pytest.mark.parametrize("announced", [3, 5])
def test_a_stack_with_one_directory(tmp_path: Path, announced: int) -> None:
    """As ImageJ writes them above 4 GB: the directory of the first picture, and all samples in a row."""
    path, pixels = tmp_path / "stack.tif", stack(3)
    text = f"ImageJ=1.54f\nimages={announced}\nslices={announced}\nunit=um\n".encode()
    with tifffile.TiffWriter(path, byteorder=">") as file:
        tags = [(270, 2, len(text) + 1, text + b"\0", True)]
        file.write(pixels[0], resolution=(2, 2), metadata=None, extratags=tags)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].dataoffsets[0] + pixels[0].nbytes == path.stat().st_size
    with path.open("ab") as raw:
        raw.write(pixels[1:].astype(">u2").tobytes())
    output, told = enlarged(path, scale=1)
    with tifffile.TiffFile(output) as after:
        assert len(after.pages) == 3
        np.testing.assert_array_equal([page.asarray() for page in after.pages], pixels)
    assert ("of the 5 pictures that ImageJ announces 3 are in the file" in told) == (announced == 5)
