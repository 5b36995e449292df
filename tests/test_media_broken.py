"""Bad input and bad output, each with one clear line, and nothing left behind."""

import errno
import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.pictures import XMP, encoded, exif_block, frame_of, icc_profile, info_of, psnr, read, write
from upscale_cli.errors import InputError, OutputError, UpscaleError
from upscale_cli.frames.image import Frame
from upscale_cli.media.image.codecs.png_chunks import SIGNATURE, chunk
from upscale_cli.media.image.formats import FORMATS, check_size, format_named, format_of
from upscale_cli.media.image.metadata import Metadata, upright_metadata
from upscale_cli.media.image.reader_writer import ImageReader, ImageWriter


def refused(source: Path | bytes, *words: str, **options: Any) -> str:
    """Reading it ends in one line that holds these words."""
    with pytest.raises(InputError) as caught:
        read(source, **options)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text
    return text


def test_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("Dear all,\nthis is text with ümlauts.\n", encoding="utf-8")
    (tmp_path / "page.png").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (tmp_path / "photo.nef").write_bytes(b"MM\0*" + bytes(100))
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(100))
    (tmp_path / "junk.webp").write_bytes(bytes(range(256)) * 4)
    refused(tmp_path / "missing.jpg", "missing.jpg", "no such file")
    refused(tmp_path, "folder")
    refused(tmp_path / "empty.jpg", "empty")
    refused(tmp_path / "text.jpg", "text")
    refused(tmp_path / "page.png", "web page")
    refused(tmp_path / "photo.nef", "RAW", "16-bit TIFF")
    refused(tmp_path / "clip.mp4", "clip")
    refused(tmp_path / "junk.webp", "no known picture format")
    refused(b"%PDF-1.7", "PDF")
    refused(b"", "empty", "<stdin>")


def test_content_decides_and_not_the_extension(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(frame_of(), "PNG"))
    assert read(tmp_path / "a.jpg")[0].format == "PNG"


@pytest.mark.parametrize(
    "name", ['with space "quotes" \'.png', "-dash.png", ".hidden.png", "u\u0308nd ünd.png", "a\nb\tc.png"]
)
def test_names_of_any_kind(tmp_path: Path, name: str) -> None:
    if sys.platform == "win32" and set(name) & set('"\n\t'):
        pytest.skip("Windows allows no such name")
    path = write(tmp_path / name, frame_of(), "PNG")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert read(path)[0].width == 37
    path.write_bytes(path.read_bytes()[:60])
    refused(path, "truncated")


@pytest.mark.parametrize(
    "name", [name for name, row in FORMATS.items() if row.written and not row.only_own and name != "HEIC"]
)
def test_size_is_checked_from_the_header(tmp_path: Path, name: str) -> None:
    row = FORMATS[name]
    frame = frame_of("RGB", np.float32 if row.depths == (32,) else np.uint8)
    path = write(tmp_path / f"a{row.extensions[0]}", frame, name)
    refused(path, "37 x 24", "max_pixels=888", max_pixels=887)
    assert read(path, max_pixels=888)[0].width == 37


def test_pillows_own_limit_plays_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [
        write(tmp_path / f"a{FORMATS[n].extensions[0]}", frame_of(), n) for n in ("JPEG", "PNG", "WebP", "TIFF", "GIF")
    ]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for path in paths:
        assert read(path)[0].width == 37
    assert Image.MAX_IMAGE_PIXELS == 10


def huge_headers() -> dict[str, bytes]:
    """Files of a few bytes that declare 60,000 x 60,000 pixels."""
    side = 60_000
    png = (
        SIGNATURE
        + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b""))
    )
    jpeg = bytearray(encoded(frame_of(), "JPEG"))
    at = jpeg.find(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", side, side)
    tiff = bytearray(encoded(frame_of(), "TIFF"))
    for tag in (256, 257):
        entry = tiff.find(struct.pack("<HH", tag, 4))
        tiff[entry + 8 : entry + 12] = struct.pack("<I", side)
    bmp = bytearray(encoded(frame_of(), "BMP"))
    bmp[18:26] = struct.pack("<ii", side, side)
    tga = bytearray(encoded(frame_of(), "TGA"))
    tga[12:16] = struct.pack("<HH", side, side)
    gif = bytearray(encoded(frame_of("L"), "GIF"))
    gif[6:10] = struct.pack("<HH", side, side)
    jp2 = bytearray(encoded(frame_of(), "JPEG2000"))
    at = jp2.find(b"\xff\x4f\xff\x51")
    jp2[at + 8 : at + 16] = struct.pack(">II", side, side)
    return {
        "PNG": png,
        "JPEG": bytes(jpeg),
        "TIFF": bytes(tiff),
        "BMP": bytes(bmp),
        "TGA": bytes(tga),
        "GIF": bytes(gif),
        "JPEG 2000": bytes(jp2),
        "PNM": b"P5 60000 60000 255\n",
        "PFM": b"PF\n60000 60000\n-1.0\n",
        "PAM": b"P7\nWIDTH 60000\nHEIGHT 60000\nDEPTH 3\nMAXVAL 255\nENDHDR\n",
        # 8-bit sRGB, all default: not small, U32(0, 18 bits) for the height, ratio 1:1
        "JPEG XL": b"\xff\x0a" + (0 | 2 << 1 | (side - 1) << 3 | 1 << 21 | 1 << 24).to_bytes(8, "little"),
    }


@pytest.mark.parametrize("name", list(huge_headers()))
def test_decompression_bombs_are_refused_before_any_memory_is_taken(name: str) -> None:
    refused(huge_headers()[name], "60000 x 60000", "max_pixels=")


def test_a_gif_frame_beyond_the_screen_takes_no_more_than_is_allowed(tmp_path: Path) -> None:
    frames = [frame_of(height=8, width=8, seed=seed, duration_ms=50) for seed in range(3)]
    data = bytearray(write(tmp_path / "a.gif", frames, "GIF", metadata=Metadata(plays=0)).read_bytes())
    last = data.rfind(b"\x2c\0\0\0\0\x08\0\x08\0")
    data[last + 5 : last + 9] = struct.pack("<HH", 60_000, 60_000)
    refused(bytes(data), "60000 x 60000", "max_pixels=")
    data[last + 5 : last + 9] = struct.pack("<HH", 9, 9)
    with pytest.raises(InputError):
        read(bytes(data))  # its data are for 8 x 8
    data[last + 1 : last + 9] = struct.pack("<HHHH", 4, 4, 8, 8)
    assert [frame.pixels.shape for frame in read(bytes(data))[1]] == [(8, 8, 3)] * 3


@pytest.mark.parametrize(
    "name", ["JPEG", "PNG", "WebP", "TIFF", "GIF", "BMP", "AVIF", "JPEG 2000", "JPEG XL", "PNM", "PFM", "TGA"]
)
def test_truncated_files_are_refused(tmp_path: Path, name: str) -> None:
    row = FORMATS[name]
    frame = frame_of("RGB", np.float32 if row.depths == (32,) else np.uint8, 64, 64)
    whole = write(tmp_path / f"a{row.extensions[0]}", frame, name).read_bytes()
    for share in (0.3, 0.6, 0.9):
        text = refused(whole[: int(len(whole) * share)])
        if name in ("JPEG", "PNG"):
            assert "salvage=True" in text


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_salvage_takes_what_decodes(name: str, progressive: bool) -> None:
    frame = frame_of(height=128, width=128)
    whole = encoded(frame, name, **({"quality": 95, "progressive": progressive} if name == "JPEG" else {}))
    reported: list[str] = []
    _, (back,) = read(whole[: int(len(whole) * 0.7)], salvage=True, say=reported.append)
    assert back.pixels.shape == frame.pixels.shape
    assert len(reported) == 1
    if not progressive:
        top = [Frame(f.pixels[:64], "RGB") for f in (frame, back)]
        assert psnr(*top) > 30
    assert read(whole, salvage=True)[1][0].pixels.shape == frame.pixels.shape


def test_salvage_of_a_whole_file_changes_nothing() -> None:
    for name in ("JPEG", "PNG"):
        data = encoded(frame_of(), name)
        reported: list[str] = []
        np.testing.assert_array_equal(
            read(data, salvage=True, say=reported.append)[1][0].pixels, read(data)[1][0].pixels
        )
        assert reported == []


def test_a_damaged_chunk_is_refused_if_it_matters_and_left_out_if_not() -> None:
    data = bytearray(encoded(frame_of(), "PNG", dpi=(72, 72)))
    damaged = data.copy()
    damaged[data.find(b"IDAT") + 20] ^= 1
    refused(bytes(damaged), "IDAT", "salvage=True")
    damaged = data.copy()
    damaged[data.find(b"pHYs") + 5] ^= 1
    reported: list[str] = []
    info, _ = read(bytes(damaged), say=reported.append)
    assert info.metadata.dpi is None
    assert "pHYs" in reported[0]


def test_text_bombs_are_left_out() -> None:
    data = encoded(frame_of(), "PNG")
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))
    itxt = chunk(b"iTXt", b"b\0\1\0\0\0" + zlib.compress(bytes(50_000_000)))
    profile = chunk(b"iCCP", b"c\0\0" + zlib.compress(bytes(50_000_000)))
    reported: list[str] = []
    info, _ = read(data[:33] + bomb + itxt + profile + data[33:], say=reported.append)
    assert len(reported) == 2
    assert info.metadata == Metadata()


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WebP", "TIFF"])
def test_bad_exif_never_matters(tmp_path: Path, name: str) -> None:
    for junk in (b"junk", b"II*\0\xff\xff\xff\xff", b"MM\0*" + bytes(3), exif_block()[:40]):
        data = write(tmp_path / "a", frame_of(), name, metadata=Metadata(exif=junk), overwrite=True).read_bytes()
        assert read(data)[0].width == 37


def every_kind_of_file() -> dict[str, bytes]:
    """One small file of each format, with metadata; two animations."""
    metadata, _ = upright_metadata(icc=icc_profile(), exif=exif_block(), xmp=XMP, dpi=(72, 72))
    files = {}
    for row in (row for row in FORMATS.values() if not row.only_own):
        if row.name == "HEIC":
            continue
        for bits in row.depths:
            dtype: Any = {8: np.uint8, 16: np.uint16, 32: np.float32}[bits]
            layout: Any = "RGBA" if "RGBA" in row.layouts else "RGB"
            files[f"{row.name} {bits}"] = stream_of(frame_of(layout, dtype, 12, 17), row.name, metadata)
    frames = [frame_of("RGBA", height=12, width=17, seed=seed, duration_ms=50) for seed in range(3)]
    for name in ("GIF", "WebP", "PNG"):
        files[f"{name} animated"] = stream_of(frames, name, metadata)
    files["JPEG CMYK"] = stream_of(frame_of("CMYK", height=12, width=17), "JPEG", metadata)
    return files


def stream_of(frames: Any, name: str, metadata: Metadata) -> bytes:
    frames = frames if isinstance(frames, list) else [frames]
    buffer = io.BytesIO()
    info = info_of(frames[0], frames=len(frames), animated=len(frames) > 1, metadata=metadata)
    with ImageWriter(buffer, format=name, info=info) as writer:
        for frame in frames:
            writer.write(frame)
    return buffer.getvalue()


FILES = every_kind_of_file()


@pytest.mark.slow
@pytest.mark.parametrize("salvage", [False, True])
@pytest.mark.parametrize("name", list(FILES))
@settings(max_examples=12)
@given(data=st.data())
def test_damaged_files_give_frames_or_a_message(name: str, salvage: bool, data: st.DataObject) -> None:
    """Whatever bytes are flipped, cut or put in: nothing but a Frame or an UpscaleError, and no warning."""
    content = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        what = data.draw(st.sampled_from(["flip", "cut", "zero", "insert"]))
        if what == "flip":
            content[at] ^= data.draw(st.integers(1, 255))
        elif what == "zero":
            content[at : at + 8] = bytes(len(content[at : at + 8]))
        elif what == "insert":
            content[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        elif at > 8:
            del content[at:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            info, frames = read(bytes(content), salvage=salvage, max_pixels=10**6)
        except UpscaleError as error:
            lines = str(error).count("\n") + 1
        else:
            lines = 1
            assert len(frames) == info.frames
            assert all(isinstance(frame, Frame) for frame in frames)
    assert lines == 1


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes here")
    import threading

    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    feeder = threading.Thread(target=pipe.write_bytes, args=(encoded(frame_of(), "PNG"),))
    feeder.start()
    assert read(pipe)[0].width == 37
    feeder.join()


# --- the other end


def one_frame(path: Any, name: str = "PNG", **options: Any) -> None:
    frame = frame_of()
    with ImageWriter(path, format=name, info=info_of(frame), **options) as writer:
        writer.write(frame)


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="overwrite=True"):
        one_frame(path)
    assert path.read_bytes() == b"precious"
    one_frame(path, overwrite=True)
    assert read(path)[0].width == 37
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    path, frame = tmp_path / "a.png", frame_of()
    writer = ImageWriter(path, format="PNG", info=info_of(frame)).__enter__()
    writer.write(frame)
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="appeared"):
        writer.__exit__(None, None, None)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def no_links(*_: object) -> None:
    raise OSError(errno.EPERM, "no hard links here")


def test_without_hard_links_the_file_gets_its_name_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", no_links)
    one_frame(tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert read(tmp_path / "a.png")[0].width == 37


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError, OutputError, SystemExit])
def test_nothing_stays_after_a_failure(tmp_path: Path, kind: type[BaseException]) -> None:
    frame = frame_of()

    def fail() -> None:
        with ImageWriter(tmp_path / "a.tif", format="TIFF", info=info_of(frame)) as writer:
            writer.write(frame)
            raise kind("enough")

    with pytest.raises(kind):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_where_no_frame_came(tmp_path: Path) -> None:
    with pytest.raises(OutputError), ImageWriter(tmp_path / "a.png", format="PNG", info=info_of(frame_of())):
        pass
    assert list(tmp_path.iterdir()) == []


def test_impossible_targets(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        one_frame(tmp_path / "missing" / "a.png")
    with pytest.raises(OutputError, match="folder"):
        one_frame(tmp_path)
    with pytest.raises(OutputError):
        one_frame(tmp_path / ("x" * 300 + ".png"))
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder(tmp_path: Path) -> None:
    if sys.platform == "win32" or os.geteuid() == 0:
        pytest.skip("no folder is unwritable for root, or on Windows")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="output="):
            one_frame(tmp_path / "a.png")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name, row in FORMATS.items() if row.written and not (row.only_own or name == "HEIC")]
)
def test_a_full_disk(tmp_path: Path, name: str) -> None:
    """A process that may write no more than 1,000 bytes into any file."""
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX's")
    del resource
    code = (
        "import resource, signal, sys; from pathlib import Path; sys.path.insert(0, '.');\n"
        "from tests.pictures import frame_of, write; from upscale_cli.errors import OutputError; import numpy as np\n"
        "from upscale_cli.media.image.formats import FORMATS; row = FORMATS[sys.argv[2]]\n"
        "pixels = np.random.default_rng(0).random((64, 64, 3), np.float32)\n"
        "from upscale_cli.frames.image import Frame\n"
        "frame = Frame(pixels if row.depths == (32,) else (pixels * 255).astype('u1'), 'RGB')\n"
        "write(Path(sys.argv[1]) / 'warm', frame, row.name); (Path(sys.argv[1]) / 'warm').unlink()\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write(Path(sys.argv[1]) / 'a', frame, row.name)\n"
        "except OutputError as error: print(error)\n"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(tmp_path), name], capture_output=True, text=True, check=False, cwd=root
    )
    assert "cannot be written (File too large). Free space" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_stream_gets_the_file_when_it_is_whole() -> None:
    class Pipe(io.RawIOBase):
        """Cannot seek; counts what it is given."""

        data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    one_frame(pipe, "TIFF")
    assert read(pipe.data)[0].format == "TIFF"


def test_umask_holds_for_the_output(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("POSIX only")
    (tmp_path / "other").write_bytes(b"")
    one_frame(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize(
    ("name", "limit"), [("JPEG", 65_500), ("WebP", 16_383), ("GIF", 65_535), ("TGA", 65_535), ("AVIF", 65_536)]
)
def test_sizes_no_format_can_hold(name: str, limit: int) -> None:
    check_size(FORMATS[name], limit, 1)
    check_size(FORMATS[name], 1, limit)
    for width, height in ((limit + 1, 1), (1, limit + 1)):
        with pytest.raises(OutputError, match=f"{width} x {height}"):
            check_size(FORMATS[name], width, height)


def test_extensions_and_names_of_formats() -> None:
    for row in FORMATS.values():
        for extension in row.extensions if row.written else ():
            assert format_of(f"dir.x/Name.1{extension.upper()}") is row
            assert format_named(extension) is row
        if row.written:
            assert format_named(row.name.lower()) is row
    for wrong in ("a.xyz", "a", ".png", "a.mp4"):
        with pytest.raises(UpscaleError, match=r"\.png"):
            format_of(wrong)
    with pytest.raises(InputError, match="RAW"):
        format_of("a.CR2")
    with pytest.raises(OutputError):
        format_named("mov")


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    refused(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "[heif]", "pip install")
    with pytest.raises(OutputError, match=r"\[heif\]"):
        one_frame(tmp_path / "a.heic", "HEIC")
    assert list(tmp_path.iterdir()) == []


def test_a_plain_photo_imports_no_heavy_codec(tmp_path: Path) -> None:
    for name in ("JPEG", "PNG"):
        write(tmp_path / f"a{FORMATS[name].extensions[0]}", frame_of(), name)
    code = (
        "import sys; import upscale_cli.media.image.formats\n"
        "assert not {'PIL', 'numpy', 'torch'} & set(sys.modules)\n"
        "from pathlib import Path; from upscale_cli.media.image.reader_writer import ImageReader, ImageWriter\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    with ImageReader(path) as r, ImageWriter(path.with_stem('b'), format=r.info.format, info=r.info) as w:\n"
        "        for frame in r: w.write(frame)\n"
        "print(sorted({'imagecodecs', 'tifffile', 'pillow_heif', 'torch'} & set(sys.modules)))\n"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, cwd=root
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_reader_lets_go_of_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", frame_of(), "PNG")
    with ImageReader(path) as reader:
        file = reader._file
        next(iter(reader))
    assert file.closed
