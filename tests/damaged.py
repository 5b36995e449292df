"""Damaged pictures, clips and checkpoints by the number, from a seed; and what the application makes of each.

Every file goes through the command line in another process: pictures as one folder, clips and checkpoints one by one, a
new process after one that has died. What came of each is one of `OUTCOMES`; nobody has to look at a picture for it: the
undamaged file goes through as well, and the two are compared.
"""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from PIL import Image

from tests.clips import Clips
from upscale_cli.frames.image import Frame
from upscale_cli.media.image.reader_writer import ImageReader

OUTCOMES: Final = ("refused", "told", "equal", "silent", "bug")
"""One line and no output; an output and a line about the damage; the same as of the whole file; another picture and no
line, for the format has nothing that would tell; and what must never be."""

CLIPS: Final = ("plain", "srt", "transport", "gray_ffv1", "opus", "cover")
SECONDS_PER_MEGAPIXEL: Final = 60
WAIT_SECONDS: Final = 600
"""For all that one process does; only what hangs takes so long."""

COMMANDS_AT_ONCE: Final = 30
"""That one process does at most."""

PROGRAM: Final = """
import contextlib, json, sys, tempfile, traceback
from upscale_cli import cli
from upscale_cli.jobs import inputs

for arguments in json.load(sys.stdin):
    inputs._read.clear()  # as in a process of its own
    sys.argv[1:], code = arguments, None
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors, contextlib.redirect_stderr(errors):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            traceback.print_exc()
        errors.seek(0)
        has_traceback = "Traceback" in errors.read()
    print(json.dumps({"event": "ended", "code": code, "traceback": has_traceback}), flush=True)
"""
"""Many commands in turn; after the events of each, how it has ended."""


@dataclass(frozen=True, slots=True)
class Case:
    """A damaged file, and the whole one that it was."""

    name: str
    damage: str
    path: Path
    whole: Path


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a case; `detail` is the line, or what was wrong."""

    case: Case
    outcome: str
    detail: str = ""


def damaged(data: bytes, lot: random.Random) -> tuple[str, bytes]:
    """One kind of damage, and the file with it: what disks, cables, downloads and bad programs do."""
    kind = lot.choice(list(DAMAGE))
    return kind, DAMAGE[kind](data, lot)


def _truncated(data: bytes, lot: random.Random) -> bytes:
    return data[: lot.randint(1, len(data) - 1)]


def _flipped(data: bytes, lot: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(lot.choice((1, 1, 3, 30))):
        changed[lot.randrange(len(data))] ^= 1 << lot.randrange(8)
    return bytes(changed)


def _blank(data: bytes, lot: random.Random) -> bytes:
    start, length = _part(data, lot)
    return data[:start] + bytes(length) + data[start + length :]


def _lacking(data: bytes, lot: random.Random) -> bytes:
    start, length = _part(data, lot)
    return data[:start] + data[start + length :]


def _doubled(data: bytes, lot: random.Random) -> bytes:
    start, length = _part(data, lot)
    return data[: start + length] + data[start:]


def _random_header(data: bytes, lot: random.Random) -> bytes:
    changed = bytearray(data)
    changed[lot.randrange(min(64, len(data)))] = lot.randrange(256)
    return bytes(changed)


def _part(data: bytes, lot: random.Random) -> tuple[int, int]:
    start = lot.randrange(len(data))
    return start, min(lot.choice((1, 16, 256, 4096)), len(data) - start)


DAMAGE: Final[dict[str, Callable[[bytes, random.Random], bytes]]] = {
    "truncated": _truncated, "bits flipped": _flipped, "a part blank": _blank, "a part lacking": _lacking,
    "a part twice": _doubled, "a byte of the header": _random_header,
}  # fmt: skip


def cases(wholes: Sequence[Path], folder: Path, count: int, seed: int) -> list[Case]:
    """So many damaged files, each of the whole ones in its turn."""
    lot = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(count):
        whole = wholes[number % len(wholes)]
        kind, data = damaged(whole.read_bytes(), lot)
        path = folder / f"{number:03d}_{whole.name}"
        path.write_bytes(data)
        made.append(Case(whole.stem, kind, path, whole))
    return made


# Pictures


def whole_pictures(folder: Path) -> list[Path]:
    """A small picture in every format, by Pillow and imagecodecs."""
    import imagecodecs
    import tifffile

    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:60, :80]
    pixels = np.stack([x * 3, y * 4, (x * 5 + y * 7) % 256], -1).astype(np.uint8)
    image = Image.fromarray(pixels)
    ways: dict[str, dict[str, Any]] = {
        "plain.png": {}, "baseline.jpg": {"quality": 90}, "progressive.jpg": {"quality": 90, "progressive": True},
        "lossy.webp": {}, "lossless.webp": {"lossless": True}, "plain.bmp": {}, "plain.tga": {}, "plain.ppm": {},
        "plain.avif": {},
    }  # fmt: skip
    for name, options in ways.items():
        image.save(folder / name, **options)
    image.quantize(64).save(folder / "palette.gif")
    frames = [Image.fromarray(np.roll(pixels, shift, 1)) for shift in (0, 9, 18)]
    frames[0].save(folder / "animated.png", save_all=True, append_images=frames[1:])
    tifffile.imwrite(folder / "deflate.tif", pixels, photometric="rgb", compression="deflate")
    tifffile.imwrite(folder / "lzw16.tif", pixels.astype(np.uint16) * 257, photometric="rgb", compression="lzw")
    (folder / "plain.jp2").write_bytes(imagecodecs.jpeg2k_encode(pixels, level=0))
    (folder / "plain.jxl").write_bytes(imagecodecs.jpegxl_encode(pixels, lossless=True))
    return sorted(folder.iterdir())


def of_pictures(made: Sequence[Case], wholes: Sequence[Path], work: Path) -> Iterator[Verdict]:
    """What comes of damaged pictures: all as one folder, in one process."""
    (source,) = {case.path.parent for case in made}
    events, problem = _run(work, source, "-o", work / "damaged", "-m", "bicubic", "-s", "2", "--json")
    whole_events, _ = _run(work, wholes[0].parent, "-o", work / "whole", "-m", "bicubic", "-s", "2", "--json")
    for case in made:
        mine = [event for event in events if event.get("source") == str(case.path)]
        whole = [event for event in whole_events if event.get("source") == str(case.whole)]
        yield _verdict(case, mine, whole, problem, _same_picture)


def _same_picture(a: Path, b: Path) -> bool:
    first, second = _frames(a), _frames(b)
    return len(first) == len(second) and all(
        np.array_equal(one.pixels, other.pixels) for one, other in zip(first, second, strict=True)
    )


def _frames(path: Path) -> list[Frame]:
    with ImageReader(path) as reader:
        return list(reader)


# Clips


def whole_clips(folder: Path) -> list[Path]:
    """Small clips of several containers and codecs."""
    clips = Clips(folder / "made")
    paths = []
    for name in CLIPS:
        made = clips(name)
        paths.append(Path(shutil.copy(made, folder / made.name)))
    return paths


def of_clips(made: Sequence[Case], work: Path) -> Iterator[Verdict]:
    """What comes of damaged clips, encoded without loss."""
    outputs = {path: work / f"{path.stem}_{path.parent.name}.mkv" for path in files_of(made)}
    runs = _runs(work, {path: (path, "-o", output, *_LOSSLESS) for path, output in outputs.items()})
    for case in made:
        events, problem = runs[case.path]
        yield _verdict(case, events, runs[case.whole][0], problem, _same_frames)
        outputs[case.path].unlink(missing_ok=True)


def files_of(made: Sequence[Case]) -> list[Path]:
    """The damaged ones and the whole ones, each once."""
    return list(dict.fromkeys(path for case in made for path in (case.whole, case.path)))


_LOSSLESS: Final = ("-m", "bicubic", "-s", "2", "--codec", "ffv1", "--json")


def _same_frames(a: Path, b: Path) -> bool:
    return _pictures(a) == _pictures(b)


def _pictures(path: Path) -> list[tuple[float | None, int]]:
    """(time, hash of the samples) of every frame."""
    with av.open(str(path)) as container:
        return [(frame.time, hash(frame.to_ndarray().tobytes())) for frame in container.decode(video=0)]


# Checkpoints


def whole_checkpoints(folder: Path) -> list[Path]:
    """A small ESPCN as safetensors, as a file of torch, and as ONNX."""
    import torch
    from safetensors.torch import save_file

    from upscale_cli.models.archs.espcn import ESPCN
    from upscale_cli.models.interface import LoadedNet, SidecarMetadata
    from upscale_cli.models.loading import recognise
    from upscale_cli.models.onnx_graph import onnx_model

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    state = ESPCN(scale=2).state_dict()
    save_file(state, folder / "net.safetensors")
    torch.save(state, folder / "net.pth")
    known = recognise(state, SidecarMetadata())
    assert known is not None
    net = LoadedNet(known.descriptor, known.state_dict)
    (folder / "net.onnx").write_bytes(onnx_model(net).SerializeToString())
    return sorted(folder.iterdir())


def of_checkpoints(made: Sequence[Case], work: Path) -> Iterator[Verdict]:
    """What comes of damaged checkpoints: a picture upscaled by each."""
    work.mkdir(parents=True, exist_ok=True)
    photo = work / "photo.png"
    y, x = np.mgrid[:24, :32]
    Image.fromarray(np.stack([x * 8, y * 10, x + y], -1).astype(np.uint8)).save(photo)
    outputs = {path: work / f"{path.stem}_{path.suffix[1:]}_{path.parent.name}.png" for path in files_of(made)}
    runs = _runs(work, {path: (photo, "-o", output, "-m", path, "--json") for path, output in outputs.items()})
    for case in made:
        events, problem = runs[case.path]
        yield _verdict(case, events, runs[case.whole][0], problem, _same_picture)


# All


Ended = tuple[list[dict[str, Any]], str]
"""The events of a run, and what was wrong with it as a whole; "" for nothing."""


def _run(work: Path, *arguments: object) -> Ended:
    """One command."""
    return _runs(work, {work: arguments})[work]


def _runs(work: Path, commands: Mapping[Path, Sequence[object]]) -> dict[Path, Ended]:
    """Commands by what they are about, and how each has ended."""
    work.mkdir(parents=True, exist_ok=True)
    left = [(path, [*map(str, arguments), "--device", "cpu", "--overwrite"]) for path, arguments in commands.items()]
    ended: dict[Path, Ended] = {}
    while left:
        several = [arguments for _, arguments in left[:COMMANDS_AT_ONCE]]
        for found in _in_one_process(several):
            ended[left.pop(0)[0]] = found
    return ended


def _in_one_process(commands: Sequence[Sequence[str]]) -> list[Ended]:
    """How commands have ended, in their order, up to the one at which the process has died."""
    command = [sys.executable, "-c", PROGRAM]
    try:
        done = subprocess.run(
            command, input=json.dumps(commands).encode(), capture_output=True, timeout=WAIT_SECONDS, check=False
        )
        lines, death = done.stdout, f"exit code {done.returncode}"
    except subprocess.TimeoutExpired as error:
        lines, death = error.stdout or b"", f"no end after {WAIT_SECONDS} s"
    ended: list[Ended] = []
    events: list[dict[str, Any]] = []
    for event in map(json.loads, lines.decode().splitlines()):
        if event["event"] == "ended":
            ended.append((events, _problem(event)))
            events = []
        else:
            events.append(event)
    if len(ended) < len(commands):
        ended.append((events, death))
    elif death != "exit code 0":  # after all was done
        ended[-1] = ended[-1][0], death
    return ended


def _problem(end: dict[str, Any]) -> str:
    if end["traceback"]:
        return "traceback"
    return "" if end["code"] in (0, 1, 2) else f"exit code {end['code']}"


def _verdict(
    case: Case,
    events: list[dict[str, Any]],
    whole_events: list[dict[str, Any]],
    problem: str,
    is_equal: Callable[[Path, Path], bool],
) -> Verdict:
    failed, finished = _of_kind(events, "failed"), _of_kind(events, "finished", "clip_finished")
    if problem or any(event["traceback"] or "\n" in event["message"] for event in failed):
        return Verdict(case, "bug", problem or failed[0]["message"] + failed[0]["traceback"])
    if not finished:
        return Verdict(case, *("refused", failed[0]["message"]) if failed else ("bug", "neither output nor reason"))
    (whole,) = _of_kind(whole_events, "finished", "clip_finished")
    pixels = finished[0]["width"] * finished[0]["height"] * finished[0].get("frames", 1)
    if finished[0]["seconds"] > SECONDS_PER_MEGAPIXEL * max(1.0, pixels / 1e6):
        return Verdict(case, "bug", f"{finished[0]['seconds']:.0f} s")
    if is_equal(Path(finished[0]["output"]), Path(whole["output"])):
        return Verdict(case, "equal")
    told = [text for text in _lines(events) if text not in _lines(whole_events)]
    return Verdict(case, "told", told[0]) if told else Verdict(case, "silent")


def _of_kind(events: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] in kinds]


def _lines(events: list[dict[str, Any]]) -> list[str]:
    """What a user reads of a run, without the names of files."""
    texts = [event["text"] for event in _of_kind(events, "note")]
    texts += [event["message"] for event in _of_kind(events, "failed")]
    texts += [event["damage"] for event in _of_kind(events, "clip_finished") if event["damage"]]
    return [text.split(": ", 1)[-1] for text in texts]
