"""JPEG 2000: a profile is carried and never applied; judged by OpenImageIO."""

from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest

from tests.pictures import frame_of, icc_profile, read, write
from upscale_cli.frames.image import Layout
from upscale_cli.media.image.metadata import Metadata


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", ["L", "LA", "RGB", "RGBA"])
def test_a_profile_is_carried_and_not_applied(tmp_path: Path, layout: Layout, dtype: Any) -> None:
    """imagecodecs would convert colours to sRGB by it, in silence."""
    frame = frame_of(layout, dtype)
    profile = icc_profile(b"GRAY" if layout in ("L", "LA") else b"RGB ")
    metadata = Metadata(icc=profile, dpi=(300, 150))
    info, (back,) = read(write(tmp_path / "a.jp2", frame, "JPEG 2000", metadata=metadata))
    assert info.metadata.icc == profile
    np.testing.assert_array_equal(back.pixels, frame.pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", ["L", "RGB", "RGBA"])
def test_openimageio_sees_the_same_pixels_and_profile(tmp_path: Path, layout: Layout, dtype: Any) -> None:
    frame, profile = frame_of(layout, dtype), icc_profile(b"GRAY" if layout == "L" else b"RGB ")
    path = write(tmp_path / "a.jp2", frame, "JPEG 2000", metadata=Metadata(icc=profile))
    config = OpenImageIO.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)
    picture = OpenImageIO.ImageInput.open(str(path), config)
    assert picture is not None
    spec = picture.spec()
    np.testing.assert_array_equal(picture.read_image(spec.format), frame.pixels)
    assert bytes(np.asarray(spec.getattribute("ICCProfile"))) == profile
    picture.close()
