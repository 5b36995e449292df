"""Are two outputs equal: byte for byte, or in what they say where bytes are not promised.

Exempt in bytes: JPEG XL and JPEG 2000 (pixels count), clips whose container holds random numbers (decoded frames, times
and packets count), the date in an animated AVIF, manifests (times and the names of runs are left out), text that names
folders.
"""

import hashlib
import itertools
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import av
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Kind = Literal[
    "bytes", "bytes but the date", "bytes but the ids", "pixels", "profile kept", "frames", "manifest", "text", "rows"
]
"""In what way two outputs are equal. "profile kept" is not quite that: a JPEG XL that the older checkout converted to
sRGB, for it could not write profiles, has its profile and its own values now; size and depth are equal."""

Places = Mapping[str, str]
"""Texts that differ by nature, such as folders, and what stands for each."""

EXEMPT: Final[dict[str, Callable[[bytes], NDArray[Any]]]] = {
    ".jxl": imagecodecs.jpegxl_decode,
    ".jp2": imagecodecs.jpeg2k_decode,
}
CLIPS: Final = frozenset({".mkv", ".mp4", ".mov", ".webm", ".avi", ".ts", ".m4v", ".mpg", ".nut"})
TEXTS: Final = frozenset({".html", ".csv", ".json", ".txt", ".svg"})
MANIFEST: Final = ".upscale-manifest.jsonl"
CLOCK: Final = re.compile("second|fps|realtime|slowest|stages")
"""Names of fields that tell how long something took."""


def has_profile(path: Path) -> bool:
    """Whether a JPEG XL has a profile of its own, as libjxl's jxlinfo tells (Debian: libjxl-tools); without it: no."""
    if shutil.which("jxlinfo") is None:
        return False
    described = subprocess.run(["jxlinfo", str(path)], capture_output=True, text=True, check=False).stdout
    return "ICC profile" in described


def files_in(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its path there; of folders, only empty ones."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    }


def equality(before: Path, after: Path, places: tuple[Places, Places], *, is_after_kill: bool) -> Kind | None:
    """In what way two files are equal; None where they are not.

    Args:
        is_after_kill: a kill may fall between an output and its line in the manifest.
    """
    if before.is_symlink() or after.is_symlink():
        return "bytes" if before.readlink() == after.readlink() else None
    if before.is_dir() or after.is_dir():
        return "bytes" if before.is_dir() and after.is_dir() else None
    first, second = before.read_bytes(), after.read_bytes()
    if first == second:
        return "bytes"
    suffix = before.suffix.lower()
    if before.name == MANIFEST:
        ours, theirs = (manifest(text, place) for text, place in zip((first, second), places, strict=True))
        is_equal = ours[0] == theirs[0] and (ours[1].keys() == theirs[1].keys() if is_after_kill else ours == theirs)
        return "manifest" if is_equal else None
    if suffix in (".avif", ".avifs") and _dateless(first) == _dateless(second):
        return "bytes but the date"
    if suffix in EXEMPT:
        a, b = (EXEMPT[suffix](data) for data in (first, second))
        if a.dtype != b.dtype or a.shape != b.shape:
            return None
        if a.tobytes() == b.tobytes():
            return "pixels"
        return "profile kept" if suffix == ".jxl" and has_profile(after) and not has_profile(before) else None
    if suffix in CLIPS:
        if clip_content(before) != clip_content(after):
            return None
        return "bytes but the ids" if _idless(first) == _idless(second) else "frames"
    if suffix in TEXTS:
        return "text" if _placed(first, places[0]) == _placed(second, places[1]) else None
    return None


def _dateless(data: bytes) -> bytes:
    """ISO media without the times of creation and change that its headers tell (ISO/IEC 14496-12, 8.2.2 and on)."""
    out = bytearray(data)
    for found in re.finditer(rb"(?:mvhd|tkhd|mdhd)([\0\1])", data):
        start, count = found.end() + 3, 16 if found[1] == b"\1" else 8  # behind the flags
        out[start : start + count] = bytes(count)
    return bytes(out)


def _idless(data: bytes) -> bytes:
    """Matroska without the numbers that are drawn anew for each file, and the checksums over them (RFC 9559).

    What looks like one in a packet is left out too: those are compared by themselves.
    """
    out = bytearray(data)
    for found in re.finditer(rb"\x73\xa4\x90|(?:\x73\xc5|\x63\xc5|\x46\xae|\x63\xc6|\x73\xc4)\x88|\xbf\x84", data):
        count = {b"\x90": 16, b"\x88": 8, b"\x84": 4}[found[0][-1:]]
        out[found.end() : found.end() + count] = bytes(len(out[found.end() : found.end() + count]))
    return bytes(out)


def difference(before: Path, after: Path) -> str:
    """Where two files differ, in a few words."""
    first, second = before.read_bytes(), after.read_bytes()
    at = next((number for number, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), len(first))
    words = f"{len(first)} and {len(second)} bytes, first difference at {at}"
    suffix = before.suffix.lower()
    if suffix in CLIPS:
        ours, theirs = clip_content(before), clip_content(after)
        return f"{words}; streams that differ: {[key for key in ours if ours[key] != theirs.get(key)]}"
    pictures = [_pixels(path) for path in (before, after)]
    if any(pixels is None for pixels in pictures):
        return words
    a, b = (np.asarray(pixels).astype(np.float64) for pixels in pictures)
    if a.shape != b.shape:
        return f"{words}; shapes {a.shape} and {b.shape}"
    return f"{words}; {int((a != b).sum())} of {a.size} values differ, by at most {np.abs(a - b).max():g}"


def _pixels(path: Path) -> NDArray[Any] | None:
    try:
        if path.suffix.lower() in EXEMPT:
            return np.asarray(EXEMPT[path.suffix.lower()](path.read_bytes()))
        with Image.open(path) as image:
            return np.asarray(image)
    except Exception:  # of another kind than Pillow knows: the bytes must do
        return None


# Clips


def clip_content(path: Path) -> dict[str, str]:
    """Digests of decoded video frames with times, of the packets of other streams, and of their metadata."""
    found: dict[str, str] = {}
    with av.open(str(path)) as container:
        streams = {stream.index: stream.type for stream in container.streams}
        found["container"] = str((container.format.name, container.duration, sorted(container.metadata.items())))
        found["streams"] = str(
            [(one.type, one.codec_context and one.codec_context.name, one.time_base, str(sorted(one.metadata.items())))
             for one in container.streams]
        )  # fmt: skip
    for index, kind in streams.items():
        with av.open(str(path)) as container:
            digest = hashlib.sha256()
            for piece in _frames(container, index) if kind == "video" else _packets(container, index):
                digest.update(piece)
            found[f"{index} {kind}"] = digest.hexdigest()
    return found


def _frames(container: Any, index: int) -> Iterator[bytes]:
    for frame in container.decode(container.streams[index]):
        yield f"{frame.pts} {frame.time_base} {frame.width} {frame.height} {frame.format.name}".encode()
        for plane in frame.planes:
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            used = plane.width * -(-_sample_bits(frame) // 8)
            yield rows[: plane.height, : min(used, plane.line_size)].tobytes()


def _sample_bits(frame: Any) -> int:
    """Bits that one sample, or one packed pixel, takes in memory."""
    components = frame.format.components
    packed = len(frame.planes) == 1 and len(components) > 1
    sample = 16 if components[0].bits > 8 else 8
    return int(frame.format.padded_bits_per_pixel if packed else sample)


def _packets(container: Any, index: int) -> Iterator[bytes]:
    for packet in container.demux(container.streams[index]):
        yield f"{packet.pts} {packet.dts} {packet.duration}".encode()
        yield bytes(packet)


# Text


def manifest(text: bytes, places: Places) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was asked for by its digest, and what is done by output: neither times nor the order of lines.

    What was begun and has no line that says more counts as an output with no facts.
    """
    jobs: dict[str, Any] = {}
    begun: dict[str, Any] = {}
    done: dict[str, Any] = {}
    for line in _placed(text, places).splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # torn by a kill
        match record:
            case {"options": options, "job": job}:
                jobs[job] = options
            case {"begun": output}:
                begun[output] = None
            case {"dropped": output}:
                begun.pop(output, None)
            case {"done": output, "source": source, "stamp": stamp, "made": made}:
                is_object = "://" in source  # written anew for each side, so its time means nothing
                is_exempt = Path(output).suffix.lower() in EXEMPT  # and so is the number of its bytes
                size = None if is_exempt else made and made[0]
                done[output] = {**record, "made": size, "stamp": stamp[0] if is_object else stamp}
    return jobs, begun | done


def rows(text: bytes, places: Places) -> Any:
    """JSON lines without the fields that hold durations."""
    return [_timeless(json.loads(line)) for line in _placed(text, places).splitlines() if line.strip()]


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if not CLOCK.search(key)}
    return [*map(_timeless, value)] if isinstance(value, list) else value


def _placed(text: bytes, places: Places) -> str:
    out = text.decode("utf-8", "backslashreplace")
    for place, name in places.items():
        out = out.replace(place, name)
    return out


def events(text: bytes) -> dict[str, int]:
    """How often each kind of event was reported, but for notes and progress, whose number depends on the clock."""
    names = Counter[str]()
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            names[str(record.get("event", "?"))] += 1
    found = dict(sorted(names.items()))
    return {
        name: count for name, count in found.items() if "progress" not in name and name not in ("surveying", "note")
    }


def first_lines_apart(texts: tuple[bytes, bytes], places: tuple[Places, Places]) -> str:
    """The first line in which two texts differ."""
    lines = (_placed(text, place).splitlines() for text, place in zip(texts, places, strict=True))
    pairs = itertools.zip_longest(*lines, fillvalue="")
    return next((f"{one[:300]!r} and {other[:300]!r}" for one, other in pairs if one != other), "nothing")
