"""The command lines of `unchanged`: what is run with each checkout, and what is expected to come of it."""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from benchmarks.unchanged_inputs import group
from benchmarks.unchanged_services import Service

Output = Literal["events", "rows", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One process.

    Attributes:
        arguments: of the command line; with `script`, the lines of a Python program instead.
        exit_code: what the older checkout is expected to end with.
        output: how standard output is compared: events by how often each kind is told (a difference is told and is no
            failure), rows of JSON without times.
        stdin: the input that is read from standard input.
        stdout: the file that standard output goes to, which is compared as any output.
        kill: a pattern of files and a number of bytes: killed as soon as so many bytes lie in files that match.
        shows: what the older checkout's messages must hold, so that the case is known to meet what it is there for.
        by_before: done by the older checkout on both sides: what it leaves is taken over by the newer one.
    """

    arguments: tuple[str, ...]
    exit_code: int = 0
    output: Output = "events"
    stdin: str = ""
    stdout: str = ""
    kill: tuple[str, int] | None = None
    shows: str = ""
    by_before: bool = False
    script: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Steps in one folder, one after the other, whose outputs are compared when all are done.

    Attributes:
        quick: one of the few that --quick takes.
        also: inputs that no command line names.
        needs: what must be there: a service that the script starts.
    """

    name: str
    steps: tuple[Step, ...]
    quick: bool = False
    also: tuple[str, ...] = ()
    needs: Service = ""


def step(command: str, *inputs: str, exit_code: int = 0, output: Output = "events") -> Step:
    """`upscale INPUTS COMMAND --json`."""
    return Step(arguments=(*inputs, *shlex.split(command), "--json"), exit_code=exit_code, output=output)


def piped(command: str, source: str, stdout: str) -> Step:
    """From standard input to standard output."""
    return Step(
        arguments=("-", "-o", "-", *shlex.split(command)), output="nothing", stdin=source, stdout=stdout
    )  # fmt: skip


PHOTOS: Final = group("photos/*")
ONE_FRAME: Final = group("photos/*", without=("*animated.*", "*pages.tif", "*.gif"))
FEW: Final = tuple(
    f"photos/{name}"
    for name in (
        "RGB8.png", "palette.png", "RGBA8.png", "L16.png", "cmyk.jpg", "RGBf32.tif", "lab8.tif", "linear.png",
        "LA8.tif", "colour.jpg", "animated.gif",
    )
)  # fmt: skip
SOME: Final = FEW[:8]
ALPHA: Final = group(
    "photos/LA*", "photos/RGBA*", "photos/alpha*", "photos/clear_palette.png", "photos/linear_alpha.png",
    "photos/associated.tif",
)  # fmt: skip
RRDB4, RRDB2, FOLDING2 = (f"nets/{name}.safetensors" for name in ("rrdb4", "rrdb2", "folding2"))
SRVGG4, SRVGG2 = (f"nets/{name}.safetensors" for name in ("srvgg4", "srvgg2"))


def photos(name: str, command: str, *, quick: bool = False, of: Iterable[str] = FEW, exit_code: int = 0) -> Case:
    return Case(
        name=f"photos/{name}", steps=(step(f"-o out/ {command}", *of, exit_code=exit_code),), quick=quick
    )  # fmt: skip


def photo_cases() -> Iterator[Case]:
    """Every kind of photo through every kind of model, at every kind of size."""
    for model, scale, quick in (
        ("espcn", "2", True), ("espcn", "3", False), ("espcn", "4", False), ("espcn-robust", "2", False),
        ("photo-lite", "4", True), ("bicubic", "2", True), ("lanczos", "3", False), (RRDB4, "4", False),
        (SRVGG4, "4", False),
    ):  # fmt: skip
        yield photos(f"all-{label(model)}-x{scale}", f"-m {model} -s {scale}", of=PHOTOS, quick=quick)
    for model, scale in (
        ("espcn", "2.5"), ("espcn", "1.3"), ("espcn", "8"), ("espcn-robust", "4"), ("photo-lite", "2"),
        ("bicubic", "2.5"), ("bicubic", "0.4"), ("lanczos", "0.7"), (RRDB4, "2"), (RRDB2, "2"), (RRDB2, "3"),
        (FOLDING2, "2"), (SRVGG2, "2"), (SRVGG2, "4"),
    ):  # fmt: skip
        yield photos(f"few-{label(model)}-x{scale}", f"-m {model} -s {scale}", quick=(model, scale) == ("espcn", "2.5"))
    yield photos("default-model", "")
    yield photos("two-models", "-m espcn -m bicubic -s 2")
    for name, size in (
        ("box", "--size 200x150"), ("stretched", "--size 200x150!"), ("width", "--size 190"), ("height", "--size x170"),
        ("long-side", "--long-side 210"), ("megapixels", "--megapixels 0.03"), ("smaller", "--long-side 40"),
    ):  # fmt: skip
        yield photos(f"size-{name}", f"-m espcn {size}", quick=name == "long-side")
    for model in ("espcn -s 2", f"{RRDB4} -s 4"):
        yield photos(f"tta-{label(model)}", f"-m {model} --tta", of=SOME)
    for alpha in ("net", "lanczos", "drop"):
        for model in ("espcn", SRVGG2):
            command = f"-m {model} -s 2 --alpha {alpha}"
            yield photos(f"alpha-{alpha}-{label(model)}", command, of=ALPHA, quick=command.endswith("espcn -s 2"))
    for model in ("espcn -s 2", "espcn -s 2.5", f"{RRDB4} -s 4", f"{FOLDING2} -s 2", "bicubic -s 3"):
        yield photos(f"wrap-{label(model)}", f"-m {model} --wrap", of=SOME)
    for model in ("espcn -s 2", "photo-lite -s 4", f"{SRVGG4} -s 4", f"{RRDB4} -s 4"):
        for precision in ("bf16", "fp32"):
            yield photos(
                f"precision-{precision}-{label(model)}", f"-m {model} --precision {precision}", of=SOME,
                quick=(precision, model) == ("bf16", f"{SRVGG4} -s 4"),
            )  # fmt: skip


def tile_cases() -> Iterator[Case]:
    """Tiles that stand side by side, and tiles that blend."""
    for model, tiles in (
        ("espcn -s 2", "--tile 24"), ("espcn -s 3", "--tile 24 --overlap 6"), ("espcn-robust -s 2", "--tile 32"),
        ("photo-lite -s 4", "--tile 24"), ("photo-lite -s 4", "--tile 32 --overlap 8"), (f"{RRDB4} -s 4", "--tile 32"),
        (f"{RRDB4} -s 4", "--tile 24 --overlap 12"), (f"{RRDB4} -s 3", "--tile 32 --overlap 4 --tta"),
        (f"{FOLDING2} -s 2", "--tile 32 --overlap 8"), (f"{FOLDING2} -s 2", "--tile 32 --wrap"),
        (f"{SRVGG4} -s 4", "--tile 20"), ("espcn -s 8", "--tile 24"), (f"{RRDB4} -s 4", "--tile 32 --precision bf16"),
        (f"{SRVGG2} -s 2", "--tile 24 --wrap"),
    ):  # fmt: skip
        quick = (model, tiles) in ((f"{RRDB4} -s 4", "--tile 24 --overlap 12"), ("espcn -s 2", "--tile 24"))
        name = "-".join((label(model), *tiles.replace("--", "").split()))
        yield replace(photos(name, f"-m {model} {tiles}", quick=quick), name=f"tiles/{name}")
    yield photos("whole-tile-0", f"-m {RRDB4} -s 4 --tile 0")


def format_cases() -> Iterator[Case]:
    """From every format to every other, names from templates, standard input and output."""
    for ending in ("png", "jpg", "webp", "avif", "tif", "jxl", "jp2", "bmp", "tga", "ppm", "pam", "heic"):
        yield Case(
            name=f"formats/to-{ending}", quick=ending in ("png", "tif", "jxl"),
            steps=(step(f"-o out/{{name}}.{ending} -m espcn -s 2", *ONE_FRAME),),
        )  # fmt: skip
    yield Case(name="formats/to-pfm", steps=(step("-o out/{name}.pfm -m espcn -s 2", *ONE_FRAME),))
    moving = group("photos/*animated.*", "photos/pages.tif")
    for ending in ("gif", "png", "webp", "avif", "tif"):
        yield Case(
            name=f"formats/moving-to-{ending}", steps=(step(f"-o out/{{name}}.{ending} -m espcn -s 2", *moving),)
        )  # fmt: skip
    for quality in (30, 75, 100):
        commands = (
            f"-o out/{{name}}_{quality}.{ending} -m espcn -s 2 --quality {quality}" for ending in ("jpg", "webp")
        )
        yield Case(name=f"formats/quality-{quality}", steps=tuple(step(command, *SOME) for command in commands))
    yield photos("pyramid", "-f tiff --pyramid -m espcn -s 8", of=("photos/RGB8.png", "photos/L16.png"))
    template = "-o out/{model}/{folder}/{stem}_{width}x{height}{ext} -m espcn -s 2"
    yield Case(name="formats/template", steps=(step(template, *SOME),))
    yield Case(name="formats/one-file", quick=True, steps=(step("-o made.png -m espcn -s 2", "photos/RGB8.png"),))
    yield Case(name="formats/beside-input", steps=(step("-m espcn -s 2", "photos/RGB8.png"),))
    for source, ending in (("photos/RGB8.png", "png"), ("photos/RGB16.tif", "tif"), ("photos/colour.jpg", "jpg")):
        yield Case(
            name=f"formats/pipe-{ending}", steps=(piped(f"-f {ending} -m espcn -s 2", source, f"piped.{ending}"),)
        )  # fmt: skip
    yield Case(
        name="formats/broken", quick=True,
        steps=(
            step("-o out/ -m espcn -s 2", *group("broken/*"), exit_code=1),
            step("-o salvaged/ -m espcn -s 2 --salvage", *group("broken/*"), exit_code=1),
        ),
    )  # fmt: skip
    wrong = (
        ("-s 0", 2), ("-m nothing", 2), ("--size 3y4", 2), ("-o out.xyz", 1), ("--precision fp8", 2), ("--no-such", 2),
    )  # fmt: skip
    steps = tuple(step(command, "photos/RGB8.png", exit_code=code) for command, code in wrong)
    yield Case(name="formats/wrong-use", quick=True, steps=steps)


def band_cases() -> Iterator[Case]:
    """Pictures that memory forces into bands."""
    little = "--max-memory 700M --tile 128"
    for name, source, command, quick in (
        ("png-to-tif", "colour.png", "-o out.tif -m espcn -s 4", True),
        ("tif-to-png", "colour16.tif", "-o out.png -m espcn -s 4", False),
        ("tif-to-tif", "colour16.tif", "-o out.tif -m bicubic -s 5", False),
        ("gray-to-jpg", "gray.tif", "-o out.jpg -m espcn -s 6", False),
        ("alpha", "alpha.png", "-o out.tif -m espcn -s 4", False),
        ("blended", "colour.png", f"-o out.tif -m {SRVGG4} -s 4 --overlap 8", False),
        ("two-passes", "colour.png", "-o out.tif -m espcn -s 6", False),
        ("pyramid", "colour.png", "-o out.tif -m espcn -s 4 --pyramid", False),
        ("ppm", "colour.png", "-o out.ppm -m bicubic -s 4.5", False),
    ):
        run = replace(step(f"{command} {little}", f"large/{source}"), shows="in bands")
        yield Case(name=f"bands/{name}", quick=quick, steps=(run,))
    whole = step(f"-o out.tif -m espcn -s 4 --tta {little} --resume", "large/colour.png")  # slow, for rows to be safe
    killed = replace(whole, kill=("out.tif.work/*", 40_000_000), exit_code=-9)
    goes_on = replace(whole, shows="going on")
    yield Case(name="bands/killed", steps=(killed, goes_on))
    yield Case(name="bands/killed-and-taken-over", steps=(replace(killed, by_before=True), goes_on))


CLIPS: Final = group(
    "clips/*",
    without=(
        "*.ts", "clips/audio_only*", "clips/empty*", "clips/prose*", "clips/noise*", "clips/film*", "clips/long_gop*",
        "clips/faststart*", "clips/resized*", "clips/raw_*",
    ),
)  # fmt: skip
EXACT: Final = "-o out/{stem}.mkv --codec ffv1"
"""Lossless, so that the last bit of a sample shows."""


def clip_cases() -> Iterator[Case]:
    """Every pixel format, container and stream; parts, previews, kills."""
    few = tuple(
        f"clips/{name}"
        for name in ("plain.mp4", "ten_bit.mp4", "yuv444.mp4", "rgb_ffv1.mkv", "alpha_vp9.webm", "vfr.mp4", "srt.mkv")
    )
    for name, command, inputs, quick in (
        ("all-espcn", "-o out/ -m espcn -s 2", CLIPS, False),
        ("all-exact-espcn", f"{EXACT} -m espcn -s 2", CLIPS, False),
        ("all-exact-bicubic", f"{EXACT} -m bicubic -s 1.5", CLIPS, False),
        ("few-exact-espcn", f"{EXACT} -m espcn -s 2", few, True),
        ("few-exact-default", EXACT, few, False),
        ("few-exact-espcn-x3", f"{EXACT} -m espcn -s 3", few, False),
        ("few-exact-robust", f"{EXACT} -m espcn-robust -s 2", few, False),
        ("few-exact-rgb-net", f"{EXACT} -m {SRVGG2} -s 2", few, True),
        ("few-exact-blended", f"{EXACT} -m {RRDB4} -s 2 --tile 32 --frames 3", few, False),
        ("few-exact-bf16", f"{EXACT} -m {SRVGG2} -s 2 --precision bf16", few, False),
        ("few-exact-tta", f"{EXACT} -m espcn -s 2 --tta --frames 3", few, False),
        ("few-exact-lanczos", f"{EXACT} -m lanczos -s 2.2", few, False),
        ("few-size", f"{EXACT} -m espcn --size 250x170", few, False),
        ("few-alpha-drop", f"{EXACT} -m espcn -s 2 --alpha drop", few, False),
        ("few-part", f"{EXACT} -m espcn -s 2 --start 0.1 --end 0.3", few, False),
        ("few-no-dedup", f"{EXACT} -m espcn -s 2 --no-dedup", (*few, "clips/static.mp4"), False),
        ("few-realtime", "-o out/{stem}.mkv -m espcn -s 2 --realtime", few, False),
        ("few-preview", "-o out/{stem}.mkv -m espcn -s 2 --preview 0.3", few[:5], False),
        ("few-x265", "-o out/{stem}.mkv -m espcn -s 2 --codec libx265 --preset ultrafast --crf 20", few, False),
        ("few-svt-av1", "-o out/{stem}.mkv -m espcn -s 2 --codec libsvtav1 --preset 10", few, False),
        ("few-vp9", "-o out/{stem}.webm -m espcn -s 2 --codec libvpx-vp9", few, False),
        ("few-prores", "-o out/{stem}.mov -m espcn -s 2 --codec prores_ks", few, False),
        ("deinterlace-field", f"{EXACT} -m espcn -s 2 --deinterlace field", group("clips/interlaced*.m*"), False),
        ("raw", f"{EXACT} -m espcn -s 2 --fps 25", group("clips/raw_*"), False),
        ("resized", f"{EXACT} -m espcn -s 2", ("clips/resized.mkv",), False),
        ("compare", "-o out/ -m espcn -s 2 --compare", few[:2], False),
    ):  # fmt: skip
        yield Case(name=f"clips/{name}", quick=quick, steps=(step(command, *inputs),))
    yield Case(
        name="clips/compare-verb",
        steps=(
            step("-o out/ -m espcn -s 2", "clips/plain.mp4"),
            step("compare clips/plain.mp4 out/plain_2x.mp4 -o beside.mp4"),
        ),
    )
    yield Case(
        name="clips/pipe", steps=(piped("-f mkv --codec ffv1 -m espcn -s 2", "clips/srt.mkv", "piped.mkv"),)
    )  # fmt: skip
    yield Case(
        name="clips/broken", steps=(step("-o out/ -m espcn -s 2", *group("clips/empty*", "clips/prose*"), exit_code=1),)
    )  # fmt: skip
    whole = step("-o out.mp4 -m espcn -s 4 --preset ultrafast --resume", "clips/film.mp4")
    killed = replace(whole, kill=("out.mp4.work/*", 2_000_000), exit_code=-9)
    goes_on = replace(whole, shows="going on")
    yield Case(name="clips/killed", steps=(killed, goes_on))
    yield Case(name="clips/killed-and-taken-over", steps=(replace(killed, by_before=True), goes_on))


def folder_cases() -> Iterator[Case]:
    """Nested folders with odd names and broken files: one job at a time and three, again, killed, taken over."""
    options = "-r -m espcn -s 2"
    for jobs in (1, 3):
        run = step(f"album -o out/ {options} -j {jobs}", exit_code=1)
        yield Case(name=f"folders/jobs-{jobs}", quick=jobs == 3, steps=(run, run))
    yield Case(name="folders/taken-over", quick=True, steps=(replace(run, by_before=True), run))
    killed = replace(run, kill=("out/*", 12_000), exit_code=-9)
    yield Case(name="folders/killed", steps=(killed, run))
    yield Case(name="folders/killed-and-taken-over", steps=(replace(killed, by_before=True), run))
    yield Case(
        name="folders/beside", steps=(step(f"album {options}", exit_code=1), step(f"album {options}", exit_code=1))
    )
    yield Case(name="folders/flat", steps=(step("photos -o out/ -m espcn -s 2"),))
    chosen = "--include '*.png' --include 'a/**' --exclude '*7*'"
    yield Case(name="folders/chosen", steps=(step(f"album -o out/ {options} {chosen}", exit_code=1),))
    yield Case(name="folders/dry-run", steps=(step(f"album -o out/ {options} --dry-run", exit_code=1),))
    yield Case(
        name="folders/template",
        steps=(step(f"album -o 'out/{{folder}}/{{model}}_{{stem}}{{ext}}' {options}", exit_code=1),),
    )
    listed = "--from-list list.txt -o out/ -m espcn -s 2"
    yield Case(name="folders/list", steps=(step(listed), step(listed)), also=SOME[:3])
    yield Case(name="folders/fail-fast", steps=(step(f"album -o out/ {options} -j 1 --fail-fast", exit_code=1),))
    again = (
        ("-m espcn -s 2", 0), ("-m espcn -s 2 --no-skip-existing", 1), ("-m espcn -s 3", 0),
        ("-m bicubic -s 2 --overwrite", 0),
    )  # fmt: skip
    steps = tuple(step(f"hr -o out/ {options}", exit_code=code) for options, code in again)
    yield Case(name="folders/other-options", steps=steps)


def verb_cases() -> Iterator[Case]:
    """What is not upscaling: pages, measures, lists."""
    made = step("-o out/ -m espcn -s 2", *SOME)
    first, second = "photos/RGB8.png", "out/RGB8_2x.png"
    yield Case(
        name="verbs/compare", quick=True,
        steps=(
            made,
            step(f"compare {first} {second} -o page.html"),
            step(f"compare {second} {first} out/linear_2x.png -o several.html"),
            step(f"compare {first} {second} --hr out/linear_2x.png -o measured.html"),
            step("compare lr hr --hr hr -o folders.html"),
        ),
    )  # fmt: skip
    yield Case(name="verbs/upscale-compare", steps=(step("-o out/ -m espcn -s 2 --compare", *SOME[:3]),))
    for name, command in (
        ("plain", "eval hr -m espcn -m bicubic -s 2 -s 3"), ("per-picture", f"eval hr -m {RRDB4} -s 4 --per-picture"),
        ("jpeg", "eval hr -m espcn-robust -s 2 --lr-jpeg 40 --lr-kernel area"),
        ("luma", "eval hr -m espcn -s 3 --channels luma"),
        ("pairs", "eval --hr hr --lr lr -m espcn --border 3"), ("tta", "eval hr -m espcn -s 2 --tta --tile 24"),
        ("no-reference", "eval --no-reference natural -m espcn -s 2"),
    ):  # fmt: skip
        yield Case(name=f"verbs/eval-{name}", quick=name == "plain", steps=(step(command, output="rows"),))
    yield Case(
        name="verbs/models",
        steps=(
            step("models list", output="rows"), step("models info espcn", output="rows"),
            step(f"models info {RRDB4}", output="rows"), step(f"models info {FOLDING2}", output="rows"),
            step("models info photo-lite", output="rows"),
        ),
        quick=True,
    )  # fmt: skip


def service_cases() -> Iterator[Case]:
    """On a cluster, and from object to object."""
    few = SOME[:5]
    yield Case(
        name="objects/folder", needs="s3", also=few,
        steps=(step("s3://unchanged/in/ -o s3://unchanged/out/ -m espcn -s 2"),) * 2,
    )  # fmt: skip
    yield Case(
        name="objects/single", needs="s3", also=("photos/RGB8.png", "clips/srt.mkv"),
        steps=(
            step("s3://unchanged/in/RGB8.png -o s3://unchanged/made/one.tif -m espcn -s 2"),
            step("s3://unchanged/in/RGB8.png -o here.png -m espcn -s 2"),
            step("s3://unchanged/in/srt.mkv -o s3://unchanged/made/ -m espcn -s 2"),
        ),
    )  # fmt: skip
    run = step("album -o out/ -r -m espcn -s 2 --ray auto", exit_code=1)
    yield Case(name="ray/folder", needs="ray", steps=(run, run))
    yield Case(
        name="ray/several", needs="ray",
        steps=(step(f"-o out/ -m {RRDB4} -s 4 --tile 24 --ray auto", *FEW, "clips/plain.mp4"),),
    )  # fmt: skip
    yield Case(
        name="ray/clip", needs="ray",
        steps=(step("-o out.mp4 -m espcn -s 2 --preset ultrafast --ray auto", "clips/film.mp4"),),
    )  # fmt: skip


API: Final = """
import numpy as np
from PIL import Image
from upscale_cli import Target, Upscaler, UpscaleError, upscale_file, upscale_folder, upscale_frames, upscale_video

net = Upscaler("espcn", device="cpu", tile=24)
with Image.open("photos/RGBA8.png") as picture:
    net(picture, 2).save("pil.png")
with Image.open("photos/palette.png") as picture:
    net(picture, target=Target(long_side=200)).save("palette.png")
rng = np.random.default_rng(0)
for dtype in (np.uint8, np.uint16, np.float32, np.float64):
    for channels in (1, 2, 3, 4):
        values = rng.random((20, 30, channels)) * (np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1)
        np.save(f"{np.dtype(dtype).name}_{channels}.npy", net(values.astype(dtype), 2.5))
upscale_file("photos/cmyk.jpg", "file.tif", 3, model=net)
upscale_video("clips/plain.mp4", "video.mkv", 2, model="espcn")
frames = [frame for frame in upscale_frames("clips/srt.mkv", 2, model=net)]
np.save("frames.npy", np.stack([frame.to_rgb() for frame in frames]))
np.save("times.npy", np.array([float(frame.seconds) for frame in frames]))
done = upscale_folder("hr", "folder", 2, model="espcn")
print(done.done, done.failed)
try:
    upscale_file("photos/cmyk.jpg", "never.png", -1)
except UpscaleError as error:
    print(type(error).__name__)
"""


def api_cases() -> Iterator[Case]:
    """From Python, by the public names."""
    inputs = ("photos/RGBA8.png", "photos/palette.png", "photos/cmyk.jpg", "clips/plain.mp4", "clips/srt.mkv")
    yield Case(
        name="python/api", quick=True, also=(*inputs, "hr"),
        steps=(Step(arguments=(API,), script=True, output="nothing", stdout="printed.txt"),),
    )  # fmt: skip


def sample_cases() -> Iterator[Case]:
    """The shared samples: real files, good and broken ones."""
    pictures = group("samples/images/*/*", without=("*meadow_cube.jpg", "samples/images/broken/*", "*oom.tif"))
    clips = group("samples/video/*")
    if pictures:
        for model in ("espcn -s 2", "bicubic -s 1.5", f"{SRVGG2} -s 2"):
            yield Case(
                name=f"samples/pictures-{label(model)}", steps=(step(f"-o out/ -m {model} --tile 256", *pictures),)
            )  # fmt: skip
        broken = group("samples/images/broken/*")
        for salvage in ("", " --salvage"):
            yield Case(
                name=f"samples/broken{salvage.replace(' --', '-')}",
                steps=(step(f"-o out/ -m espcn -s 2{salvage}", *broken, exit_code=1),),
            )
    if clips:
        for model in ("espcn -s 2", f"{SRVGG2} -s 2"):
            yield Case(
                name=f"samples/clips-exact-{label(model)}", steps=(step(f"{EXACT} -m {model} --frames 6", *clips),)
            )  # fmt: skip
        yield Case(name="samples/clips", steps=(step("-o out/ -m espcn -s 2 --frames 10", *clips),))


def label(model: str) -> str:
    """A model and its scale as part of a name."""
    return model.removeprefix("nets/").replace(".safetensors", "").replace(" -s ", "-x")


def cases() -> list[Case]:
    """All of them; names are unique."""
    kinds = (
        photo_cases, tile_cases, format_cases, band_cases, clip_cases, folder_cases, verb_cases, api_cases,
        service_cases, sample_cases,
    )  # fmt: skip
    made = [case for kind in kinds for case in kind()]
    assert len({case.name for case in made}) == len(made)
    return made
