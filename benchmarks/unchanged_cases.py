"""The command lines of `unchanged`: what is run with each checkout, and what is expected to come of it.

Photos, bands and the other verbs are here; clips, folders, services and samples in `unchanged_clips`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from benchmarks.unchanged_clips import api_cases, clip_cases, folder_cases, sample_cases, service_cases
from benchmarks.unchanged_inputs import group
from benchmarks.unchanged_steps import (
    ALPHA,
    FEW,
    FOLDING2,
    ONE_FRAME,
    PHOTOS,
    RRDB2,
    RRDB4,
    SOME,
    SRVGG2,
    SRVGG4,
    Case,
    label,
    piped,
    step,
)  # fmt: skip


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
                # In bf16 the last bits depend on the number of threads, and that on how many pictures are in progress.
                f"precision-{precision}-{label(model)}", f"-m {model} --precision {precision} -j 1", of=SOME,
                quick=(precision, model) == ("bf16", f"{SRVGG4} -s 4"),
            )  # fmt: skip


def tile_cases() -> Iterator[Case]:
    """Tiles that stand side by side, and tiles that blend."""
    for model, tiles in (
        ("espcn -s 2", "--tile 24"), ("espcn -s 3", "--tile 24 --overlap 6"), ("espcn-robust -s 2", "--tile 32"),
        ("photo-lite -s 4", "--tile 24"), ("photo-lite -s 4", "--tile 32 --overlap 8"), (f"{RRDB4} -s 4", "--tile 32"),
        (f"{RRDB4} -s 4", "--tile 24 --overlap 12"), (f"{RRDB4} -s 3", "--tile 32 --overlap 4 --tta"),
        (f"{FOLDING2} -s 2", "--tile 32 --overlap 8"), (f"{FOLDING2} -s 2", "--tile 32 --wrap"),
        (f"{SRVGG4} -s 4", "--tile 20"), ("espcn -s 8", "--tile 24"),
        (f"{RRDB4} -s 4", "--tile 32 --precision bf16 -j 1"),
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
    once = step("-o made.png -m espcn -s 2", "photos/RGB8.png")
    again = step("-o made.png -m bicubic -s 3", "photos/RGB8.png", exit_code=1)
    over = step("-o made.png -m bicubic -s 3 --overwrite", "photos/RGB8.png")
    yield Case(name="formats/exists", steps=(once, again, over))
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
    little, least = "--max-memory 700M --tile 128", "--max-memory 560M --tile 128"
    for name, source, command, quick in (
        ("png-to-tif", "colour.png", f"-o out.tif -m espcn -s 4 {little}", True),
        ("tif-to-png", "colour16.tif", f"-o out.png -m espcn -s 4 {little}", False),
        ("tif-to-tif", "colour16.tif", f"-o out.tif -m bicubic -s 5 {little}", False),
        ("gray-to-jpg", "gray.tif", f"-o out.jpg -m espcn -s 6 {least}", False),
        ("alpha", "alpha.png", f"-o out.tif -m espcn -s 4 {little}", False),
        ("blended", "colour.png", f"-o out.tif -m {SRVGG4} -s 4 --overlap 8 {little}", False),
        ("two-passes", "colour.png", f"-o out.tif -m espcn -s 6 {little}", False),
        ("pyramid", "colour.png", f"-o out.tif -m espcn -s 4 --pyramid {little}", False),
        ("ppm", "colour.png", f"-o out.ppm -m bicubic -s 4.5 {least}", False),
    ):
        run = replace(step(command, f"large/{source}"), shows="in bands")
        yield Case(name=f"bands/{name}", quick=quick, steps=(run,))
    whole = step(f"-o out.tif -m espcn -s 4 --tta {little} --resume", "large/colour.png")  # slow, for rows to be safe
    killed = replace(whole, kill=("out.tif.work/*", 40_000_000), exit_code=-9)
    goes_on = replace(whole, shows="going on")
    yield Case(name="bands/killed", steps=(killed, goes_on))
    yield Case(name="bands/killed-and-taken-over", steps=(replace(killed, by_before=True), goes_on))


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


def cases() -> list[Case]:
    """All of them; names are unique."""
    kinds = (
        photo_cases, tile_cases, format_cases, band_cases, clip_cases, folder_cases, verb_cases, api_cases,
        service_cases, sample_cases,
    )  # fmt: skip
    made = [case for kind in kinds for case in kind()]
    assert len({case.name for case in made}) == len(made)
    return made
