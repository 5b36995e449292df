"""More command lines of `unchanged`: clips, folders, a cluster, objects, Python, and the shared samples."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from benchmarks.unchanged_inputs import group
from benchmarks.unchanged_steps import FEW, RRDB4, SOME, SRVGG2, Case, Step, label, piped, step

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
        ("pix-fmt", "-o out/{stem}.mkv -m espcn -s 2 --pix-fmt yuv422p10le --encoder-arg bf=2", few[:3], False),
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
            run = step(f"-o out/ -m {model} --tile 256", *pictures, exit_code=None)
            yield Case(name=f"samples/pictures-{label(model)}", steps=(run,))
        broken = group("samples/images/broken/*")
        for salvage in ("", " --salvage"):
            yield Case(
                name=f"samples/broken{salvage.replace(' --', '-')}",
                steps=(step(f"-o out/ -m espcn -s 2{salvage}", *broken, exit_code=None),),
            )
    if clips:
        for model in ("espcn -s 2", f"{SRVGG2} -s 2"):
            run = step(f"{EXACT} -m {model} --frames 6", *clips, exit_code=None)
            yield Case(name=f"samples/clips-exact-{label(model)}", steps=(run,))
        several = step(f"{EXACT} -m espcn -s 2 --frames 6 --video-stream all", "samples/video/nasa_multistream.mp4")
        yield Case(name="samples/video-streams", steps=(several,))
        yield Case(name="samples/clips", steps=(step("-o out/ -m espcn -s 2 --frames 10", *clips, exit_code=None),))
