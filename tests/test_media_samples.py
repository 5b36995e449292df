"""Real pictures of every kind: each is read as what it is, or refused for what it is."""

from pathlib import Path

import numpy as np
import pytest

from tests.pictures import psnr, read, tool
from upscale_cli.errors import InputError
from upscale_cli.media.image.reader_writer import ImageReader, ImageWriter

# file: format, width, height, layout, bits, frames
EXPECTED = {
    "animated/apng_delay.png": ("PNG", 128, 64, "RGBA", 8, 4),
    "animated/dispose_bgnd.gif": ("GIF", 100, 100, "RGBA", 8, 5),
    "animated/iss634.apng": ("PNG", 245, 245, "RGBA", 8, 41),
    "animated/iss634.webp": ("WebP", 245, 245, "RGBA", 8, 42),
    "animated/newtonscradle.gif": ("GIF", 200, 150, "RGBA", 8, 36),
    "broken/hopper_bad_exif.jpg": ("JPEG", 500, 500, "L", 8, 1),
    "broken/junk_jpeg_header.jpg": ("JPEG", 1024, 768, "RGB", 8, 1),
    "broken/png_decompression_dos.png": ("PNG", 1, 1, "L", 8, 1),
    "colour/flower2.webp": ("WebP", 300, 225, "RGB", 8, 1),
    "colour/hopper.iccprofile.tif": ("TIFF", 128, 128, "RGB", 8, 1),
    "colour/icc_profile_big.jpg": ("JPEG", 425, 250, "RGB", 8, 1),
    "colour/pil_sample_cmyk.jpg": ("JPEG", 100, 100, "CMYK", 8, 1),
    "colour/tiff_strip_cmyk_jpeg.tif": ("TIFF", 100, 100, "CMYK", 8, 1),
    "colour/xmp_tags_orientation.png": ("PNG", 326, 268, "RGBA", 8, 1),
    "depth/12in16bit.tif": ("TIFF", 100, 100, "L", 16, 1),
    "depth/16bit.cropped.tif": ("TIFF", 64, 64, "L", 16, 1),
    "depth/9bit.j2k": ("JPEG 2000", 128, 128, "L", 16, 1),
    "depth/apng_16bit.png": ("PNG", 128, 64, "RGBA", 16, 2),
    "depth/hopper.pfm": ("PFM", 128, 128, "L", 32, 1),
    "depth/hopper_16bit.pgm": ("PNM", 128, 128, "L", 16, 1),
    "depth/i_trns.png": ("PNG", 64, 64, "LA", 16, 1),
    "depth/tiff_16bit_RGB.tiff": ("TIFF", 100, 40, "RGB", 16, 1),
    "modern/exif.avif": ("AVIF", 512, 512, "RGB", 8, 1),
    "modern/star.avifs": ("AVIF", 159, 159, "RGBA", 8, 5),
    "modern/transparency.avif": ("AVIF", 64, 64, "RGBA", 8, 1),
    "orientation/exif_imagemagick_orientation.png": ("PNG", 512, 512, "RGB", 8, 1),
    "orientation/hopper_orientation_6.webp": ("WebP", 128, 128, "RGB", 8, 1),
    "orientation/rot1mir0.avif": ("AVIF", 640, 427, "RGB", 8, 1),
    "palette_alpha/1_trns.png": ("PNG", 64, 64, "LA", 8, 1),
    "palette_alpha/chi.gif": ("GIF", 320, 240, "RGBA", 8, 31),
    "palette_alpha/hopper_1bit.pbm": ("PNM", 128, 128, "L", 8, 1),
    "palette_alpha/hopper_bw_500.png": ("PNG", 500, 500, "L", 8, 1),
    "palette_alpha/l_trns.png": ("PNG", 64, 64, "LA", 8, 1),
    "palette_alpha/p_trns_single.png": ("PNG", 64, 64, "RGBA", 8, 1),
    "palette_alpha/palette_4bit.png": ("PNG", 4, 4, "RGBA", 8, 1),
    "palette_alpha/pil123p.png": ("PNG", 162, 150, "RGBA", 8, 1),
    "palette_alpha/pil123rgba.png": ("PNG", 162, 150, "RGBA", 8, 1),
    "palette_alpha/rgb_trns.png": ("PNG", 64, 64, "RGBA", 8, 1),
    "palette_alpha/transparent.png": ("PNG", 200, 150, "RGBA", 8, 1),
    "palette_alpha/transparent.webp": ("WebP", 200, 150, "RGBA", 8, 1),
    "palette_alpha/uncompressed_la.png": ("PNG", 128, 128, "LA", 8, 1),
    "photos/00003.png": ("PNG", 512, 256, "RGB", 8, 1),
    "photos/00017_gray.png": ("PNG", 500, 351, "L", 8, 1),
    "photos/0014.jpg": ("JPEG", 179, 179, "RGB", 8, 1),
    "photos/0030.jpg": ("JPEG", 220, 220, "RGB", 8, 1),
    "photos/ADE_val_00000114.jpg": ("JPEG", 256, 256, "RGB", 8, 1),
    "photos/OST_009.png": ("PNG", 448, 640, "RGB", 8, 1),
    "photos/astronaut.png": ("PNG", 512, 512, "RGB", 8, 1),
    "photos/bricks.jpg": ("JPEG", 512, 512, "RGB", 8, 1),
    "photos/chelsea.png": ("PNG", 451, 300, "RGB", 8, 1),
    "photos/children-alpha.png": ("PNG", 566, 350, "RGBA", 8, 1),
    "photos/tree_alpha_16bit.png": ("PNG", 342, 256, "RGBA", 16, 1),
    "photos/wolf_gray.jpg": ("JPEG", 236, 236, "L", 8, 1),
    "size/7x13.png": ("PNG", 7, 13, "RGB", 8, 1),
    "size/meadow_cube.jpg": ("JPEG", 2048, 12288, "RGB", 8, 1),
    "size/tRNS_null_1x1.png": ("PNG", 1, 1, "RGBA", 8, 1),
}
REFUSED = {
    "broken/broken.png": "damaged",
    "broken/decompression_bomb.gif": "65535 x 66601",
    "broken/oom.tif": "directory makes no sense",
    "broken/truncated_image.png": "salvage=True",
    "broken/truncated_jpeg.jpg": "salvage=True",
    "broken/zero_width.gif": "0 x ",
}
LOSSY = ("JPEG", "AVIF", "HEIC")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(EXPECTED))
def test_a_sample_is_read_and_written_as_what_it_is(sample_images: Path, tmp_path: Path, name: str) -> None:
    with ImageReader(sample_images / name) as reader:
        info = reader.info
        found = (info.format, info.width, info.height, info.layout, info.bits, info.frames)
        assert found == EXPECTED[name]
        target = tmp_path / Path(name).name
        frames = []
        with ImageWriter(target, format=info.format, info=info) as writer:
            for frame in reader:
                writer.write(frame)
                frames.append(frame)
    again_info, again = read(target)
    assert len(frames) == len(again) == info.frames
    assert (again_info.metadata.icc, again_info.metadata.plays) == (info.metadata.icc, info.metadata.plays)
    for before, after in zip(frames, again, strict=True):
        assert (before.layout, before.duration_ms, before.transfer) == (after.layout, after.duration_ms, after.transfer)
        if info.format in LOSSY or (info.format == "WebP" and not info.lossless):
            assert psnr(before, after) > 28
        elif info.format == "GIF":  # frames composed of several palettes have more than 256 colours
            assert psnr(before, after) > 25
        else:
            np.testing.assert_array_equal(before.pixels, after.pixels)


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_broken_sample_is_refused_in_one_line(
    sample_images: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(sample_images / name)
    assert REFUSED[name] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_every_sample_has_its_expectation(sample_images: Path) -> None:
    found = {path.relative_to(sample_images).as_posix() for path in sample_images.glob("*/*")}
    special = {name for name in found if "Landscape_" in name or name.endswith(".heif")}
    assert found - special == set(EXPECTED) | set(REFUSED)


def test_heic(sample_images: Path) -> None:
    pytest.importorskip("pillow_heif", reason="the extra [heif] is not installed")
    info, (frame,) = read(sample_images / "modern/hopper.heif")
    assert (info.format, info.layout, frame.pixels.shape) == ("HEIC", "RGB", (128, 128, 3))


@pytest.mark.parametrize("orientation", [2, 3, 4, 6, 8])
def test_photos_of_every_orientation_show_the_same(sample_images: Path, orientation: int) -> None:
    _, (upright,) = read(sample_images / "orientation/Landscape_1.jpg")
    _, (turned,) = read(sample_images / f"orientation/Landscape_{orientation}.jpg")
    assert upright.pixels.shape == turned.pixels.shape == (1200, 1800, 3)
    # The pictures name their own orientation in the middle, so only most of them is alike.
    assert psnr(upright, turned) > 15


@pytest.mark.parametrize(
    "name",
    [
        "palette_alpha/l_trns.png",
        "palette_alpha/rgb_trns.png",
        "palette_alpha/p_trns_single.png",
        "palette_alpha/palette_4bit.png",
        "palette_alpha/transparent.webp",
        "depth/i_trns.png",
        "depth/tiff_16bit_RGB.tiff",
        "depth/hopper_16bit.pgm",
        "photos/tree_alpha_16bit.png",
    ],
)
def test_imagemagick_sees_the_same_pixels(sample_images: Path, tmp_path: Path, name: str) -> None:
    convert = tool("convert")
    _, (frame,) = read(sample_images / name)
    convert(sample_images / name, "-depth", "16", "-endian", "LSB", f"rgba:{tmp_path / 'raw'}")
    theirs = np.fromfile(tmp_path / "raw", "<u2").reshape(frame.height, frame.width, 4) / 65_535
    ours = frame.pixels / np.iinfo(frame.pixels.dtype).max
    color = ours[..., :-1] if frame.has_alpha else ours
    alpha = ours[..., -1:] if frame.has_alpha else np.ones_like(ours[..., :1])
    np.testing.assert_allclose(alpha, theirs[..., 3:], atol=1e-4)
    seen = alpha[..., 0] > 0
    np.testing.assert_allclose(np.broadcast_to(color, theirs[..., :3].shape)[seen], theirs[seen][:, :3], atol=1e-4)


def test_salvaged_samples(sample_images: Path) -> None:
    for name in ("broken/truncated_image.png", "broken/truncated_jpeg.jpg"):
        reported: list[str] = []
        _, (frame,) = read(sample_images / name, salvage=True, say=reported.append)
        assert len(reported) == 1
        assert frame.pixels[: frame.height // 4].std() > 5
