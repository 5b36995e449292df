"""How well does each model upscale damaged photos by four times: faithful, good to the eye, true in colour?

    UPSCALE_WEIGHTS=FOLDER python -m benchmarks.quality_damage [--only swift sharp] [--quick]
    python -m benchmarks.quality_damage --models new.safetensors old.safetensors [--json FILE]

LR is made of HR by MATLAB's bicubic, as `upscale eval` does it, then damaged. The first form measures bicubic, lanczos,
every bundled net of x4, and realesr-general where it is at hand, on six photographs and Kodak24; it writes
benchmarks/quality_damage.json, the tables of docs/quality.md and a strip of pictures for each damage. The second form
is the yardstick for a photo net: files beside bicubic, espcn-robust and photo-lite, and for each file what of the
requirements it meets. With --only those models are measured anew, and take their place in the file. --quick takes the
six photographs alone, cut to their middles.
"""

import argparse
import json
import math
import multiprocessing
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks import report
from upscale_cli.evaluation.cases import Case, pictures_in
from upscale_cli.evaluation.evaluate import compare
from upscale_cli.evaluation.extra import extra_metrics
from upscale_cli.evaluation.metrics import crop_border
from upscale_cli.evaluation.reference import Picture, Protocol, Reference, read_reference
from upscale_cli.inference.cgroups import processors
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.models.registry import MODELS
from upscale_cli.models.store import locate

SCALE: Final = 4
DAMAGES: Final[Mapping[str, Protocol]] = {
    "clean": Protocol(),
    "JPEG 60": Protocol(jpeg=60),
    "JPEG 30": Protocol(jpeg=30),
    "noise of 10 levels": Protocol(noise=10),
}
"""How LR is made."""

PHOTOS: Final = ("0014.jpg", "0030.jpg", "ADE_val_00000114.jpg", "OST_009.png", "astronaut.png", "chelsea.png")
QUICK_SIDE: Final = 320
"""HR pixels that --quick keeps of a picture's middle; enough for NIQE, which wants four blocks of 96."""

METRICS: Final = {
    "psnr_y": ("PSNR", 2), "ssim_y": ("SSIM", 4), "ms_ssim_y": ("MS-SSIM", 4), "vmaf_neg": ("VMAF-NEG", 1),
    "xpsnr": ("XPSNR", 2), "niqe": ("NIQE", 2), "colour": ("colour", 2),
}  # fmt: skip
"""Headings and decimals. "colour": by how many levels of 255 the mean of R, G or B is off that of LR, whichever is
most: what the model adds. (What JPEG adds, up to 0.7 levels, LR has already.)"""

YARDSTICKS: Final = ("bicubic", "espcn-robust", "photo-lite-crisp")
FAITHFUL: Final = ("clean", "JPEG 60", "JPEG 30")
"""The damages that the requirements of a photo net are about."""

FILE: Final = report.REPOSITORY / "benchmarks/quality_damage.json"
PAGE: Final = report.REPOSITORY / "docs/quality.md"
START: Final = "<!-- from benchmarks/quality_damage.json by benchmarks/quality_damage.py -->\n"
STOP: Final = "<!-- end of damage -->\n"
FREE: Final = {"astronaut.png": (92, 174), "chelsea.png": (96, 130)}
"""Photographs whose licences allow to show them (NASA, in the public domain; S. van der Walt, CC0): where the part that
is shown begins, in HR pixels, top and left."""

SHOWN: Final = 128
"""HR pixels of a side of that part."""

Figures = dict[str, Any]


# What is measured


@dataclass(frozen=True)
class Task:
    """One picture, with every damage, by every model."""

    group: str
    path: Path
    models: tuple[str, ...]
    quick: bool

    def figures(self) -> list[Figures]:
        """One record per damage and model."""
        records = []
        for damage, protocol in DAMAGES.items():
            reference = self.reference(protocol)
            for model in self.models:
                values = measured(upscaled(model, reference), reference)
                records.append({"set": self.group, "picture": self.path.name, "damage": damage,
                                "model": label(model), **values})  # fmt: skip
        return records

    def reference(self, protocol: Protocol) -> Reference:
        """HR and LR; of the middle alone where it has to be quick."""
        whole = read_reference(Case(self.group, SCALE, self.path), protocol, print)
        if not self.quick:
            return whole
        height, width = (side - side % SCALE for side in (min(QUICK_SIDE, side) for side in whole.hr.shape[:2]))
        top, left = ((whole.hr.shape[axis] - side) // 2 // SCALE for axis, side in enumerate((height, width)))
        lr = whole.lr[top : top + height // SCALE, left : left + width // SCALE]
        hr = whole.hr[SCALE * top : SCALE * top + height, SCALE * left : SCALE * left + width]
        return Reference(hr, np.ascontiguousarray(lr))


@cache
def upscaler(model: str) -> Upscaler:
    return Upscaler(model, device="cpu", engine="torch", precision="fp32")


def upscaled(model: str, reference: Reference) -> Picture:
    """SR as users get it, in 8 bits."""
    frame = reference.frame()
    made = upscaler(model)
    return reference.picture(made.upscale(frame, made.plan(frame.width, frame.height, Target(scale=SCALE))))


def measured(sr: Picture, reference: Reference) -> Figures:
    """By every metric; borders are cut, as the field does, but for the mean colour."""
    pair = crop_border(sr, SCALE), crop_border(reference.hr, SCALE)
    values = compare(*pair, in_colour=False) | extra()(*pair)
    off = sr.mean(axis=(0, 1), dtype=np.float64) - reference.lr.mean(axis=(0, 1), dtype=np.float64)
    return {**{name: _rounded(value) for name, value in values.items()}, "colour": round(float(abs(off).max()), 3)}


@cache
def extra() -> Any:
    return extra_metrics(["vmaf_neg", "xpsnr", "niqe"])


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)


def label(model: str) -> str:
    """A registry name as it is, a file by its stem."""
    return Path(model).stem if Path(model).suffix else model


def registered() -> list[str]:
    """Bicubic and Lanczos, all bundled nets of that scale, and realesr-general where it is at hand."""
    nets = [spec.model for spec in MODELS if spec.scale == SCALE and (spec.bundled or _is_teacher(spec.model))]
    here = {spec.model for spec in MODELS if spec.scale == SCALE and locate(spec)}
    return ["bicubic", "lanczos", *(name for name in dict.fromkeys(nets) if name in here)]


def _is_teacher(model: str) -> bool:
    return model == "realesr-general"


def run(tasks: Sequence[Task], workers: int) -> list[Figures]:
    """All records, in the order of the tasks; a picture that fails ends the run."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=partial(_one_thread, workers)) as pool:
        done = []
        for task, records in zip(tasks, pool.map(Task.figures, tasks), strict=True):
            print(f"{task.group} {task.path.name}", flush=True)
            done += records
        return done


def _one_thread(workers: int) -> None:
    import torch

    torch.set_num_threads(max(1, processors() // workers))


def means(records: Iterable[Figures]) -> list[Figures]:
    """Over the pictures of a set, by damage and model, in order of appearance."""
    grouped: dict[tuple[str, str, str], list[Figures]] = {}
    for record in records:
        grouped.setdefault((record["damage"], record["set"], record["model"]), []).append(record)
    return [
        {"damage": damage, "set": name, "model": model, "pictures": len(group), **_mean(group)}
        for (damage, name, model), group in grouped.items()
    ]


def _mean(group: Sequence[Figures]) -> Figures:
    """Of those pictures that are large enough for a metric: the same ones, whatever the model."""
    values: Figures = {}
    for metric in METRICS:
        known = [record[metric] for record in group if record[metric] is not None]
        values[metric] = round(sum(known) / len(known), 4) if known else None
    return values | {"most_colour": max(record["colour"] for record in group)}


def among_others(found: Sequence[Figures], models: Sequence[str]) -> list[Figures]:
    """Means of a few models in the place of those that the file has; all others stay, in the order of the models."""
    before = json.loads(FILE.read_text(encoding="utf-8"))["means"]
    records = {(record["damage"], record["set"], record["model"]): record for record in (*before, *found)}
    sets = list(dict.fromkeys(record["set"] for record in found))
    return [records[damage, name, label(model)] for damage in DAMAGES for name in sets for model in models]


# The yardstick


def verdicts(found: Sequence[Figures], model: str) -> list[Figures]:
    """What a photo net has to be, each with how far it is beyond; by damage and set."""
    records = {(record["damage"], record["set"], record["model"]): record for record in found}
    sets = list(dict.fromkeys(record["set"] for record in found))
    rows = []
    for damage in FAITHFUL:
        for name in sets:
            net, *others = (records[damage, name, one] for one in (model, *YARDSTICKS))
            bicubic, robust, old = others
            margins = {"psnr_y not below bicubic": net["psnr_y"] - bicubic["psnr_y"]}
            for metric in ("vmaf_neg", "xpsnr", "ms_ssim_y"):
                margins[f"{metric} above photo-lite and bicubic"] = net[metric] - max(old[metric], bicubic[metric])
            margins["niqe not above espcn-robust"] = robust["niqe"] - net["niqe"]
            margins["colour within 0.5 of LR's"] = 0.5 - net["colour"]
            for rule, margin in margins.items():
                met = margin > 0 or (margin == 0 and "above photo-lite" not in rule)
                rows.append({"model": model, "damage": damage, "set": name, "rule": rule,
                             "margin": round(margin, 4), "met": met})  # fmt: skip
    return rows


# The page


def tables(result: Mapping[str, Any]) -> str:
    """A table by damage, with its pictures above."""
    parts = []
    for damage, rows in by_damage(result["means"]).items():
        shown = ", ".join(result["shown"])
        parts.append(
            f"#### {damage[0].upper()}{damage[1:]}\n\n![{damage}: {shown}]({strip_path(damage).name})\n\n{table(rows)}"
        )
    return "\n".join(parts)


def by_damage(found: Iterable[Figures]) -> dict[str, list[Figures]]:
    grouped: dict[str, list[Figures]] = {damage: [] for damage in DAMAGES}
    for record in found:
        grouped[record["damage"]].append(record)
    return grouped


def table(rows: Sequence[Figures]) -> str:
    """A row per set and model."""
    lines = [["set", "model", *(heading for heading, _ in METRICS.values())], ["---"] * (2 + len(METRICS))]
    for row in rows:
        values = [_shown(row[metric], decimals) for metric, (_, decimals) in METRICS.items()]
        lines.append([f"{row['set']} ({row['pictures']})", row["model"], *values])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(value: float | None, decimals: int) -> str:
    return "n/a" if value is None else f"{value:.{decimals}f}"


def strip_path(damage: str) -> Path:
    return PAGE.parent / f"quality-{damage.replace(' ', '-').lower()}.webp"


def draw(damage: str, photos: Sequence[Path], models: Sequence[str]) -> None:
    """Writes a strip: a row per photograph whose licence allows it, a column for HR and for each model."""
    names = ["HR", *map(label, models)]
    text = 14
    image = Image.new("RGB", (len(names) * (SHOWN + 2), text + len(photos) * (SHOWN + 2)), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    for column, name in enumerate(names):
        pen.text((column * (SHOWN + 2) + 2, 0), name, fill="black", font=font)
    for row, path in enumerate(photos):
        reference = Task("photos", path, (), quick=False).reference(DAMAGES[damage])
        top, left = FREE[path.name]
        for column, picture in enumerate((reference.hr, *(upscaled(model, reference) for model in models))):
            part: NDArray[Any] = picture[top : top + SHOWN, left : left + SHOWN]
            image.paste(Image.fromarray(part), (column * (SHOWN + 2), text + row * (SHOWN + 2)))
    image.save(strip_path(damage), quality=88, method=6)


def tasks_for(photos: Path, kodak: Path, models: Sequence[str], *, quick: bool) -> list[Task]:
    sets = {"photos": [photos / name for name in PHOTOS]}
    if not quick:
        sets["Kodak24"] = pictures_in(kodak)
    missing = [str(path) for paths in sets.values() for path in paths if not path.is_file()]
    if missing:
        raise SystemExit(f"{missing[0]} is missing. Name the folder with --photos or --kodak.")
    return [Task(name, path, tuple(models), quick) for name, paths in sets.items() for path in paths]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=report.SHARED / "samples/images/photos")
    parser.add_argument("--kodak", type=Path, default=report.SHARED / "eval/Kodak24")
    parser.add_argument("--models", nargs="+", metavar="FILE", help="judge these nets; nothing of the page is written")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure these anew, and keep the figures of others")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures of --models go, too")
    parser.add_argument("--workers", type=int, default=processors(), help="processes; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="six photographs, their middles alone; nothing is written")
    parser.add_argument("--page", action="store_true", help="renew the page from the JSON, and measure nothing")
    arguments = parser.parse_args(argv)
    if not arguments.page:
        models = list(dict.fromkeys([*YARDSTICKS, *arguments.models])) if arguments.models else registered()
        tasks = tasks_for(arguments.photos, arguments.kodak, arguments.only or models, quick=arguments.quick)
        found = means(run(tasks, arguments.workers))
        if arguments.models or arguments.quick:
            show(found, arguments.models or [], arguments.json)
            return
        shown = [name for name in FREE if (arguments.photos / name).is_file()]
        for damage in DAMAGES:
            draw(damage, [arguments.photos / name for name in shown], models)
        found = among_others(found, models) if arguments.only else found
        anew = {"measured_anew": arguments.only} if arguments.only else {}
        result = {"scale": SCALE, "shown": ["HR", *map(label, models)], **anew, "means": found}
        report.write("quality_damage", __doc__.splitlines()[0], result)
    result = json.loads(FILE.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(report.with_tables(page, tables(result), START, STOP), encoding="utf-8")


def show(found: Sequence[Figures], models: Sequence[str], file: Path | None) -> None:
    """Prints the tables, and what of the requirements each of the models meets."""
    for damage, rows in by_damage(found).items():
        print(f"\n{damage}\n\n{table(rows)}")
    judged = [row for model in models for row in verdicts(found, label(model))]
    for row in judged:
        sign = "met   " if row["met"] else "MISSED"
        print(f"{sign} {row['model']}: {row['damage']}, {row['set']}: {row['rule']} ({row['margin']:+g})")
    if file is not None:
        file.write_text(json.dumps({"means": found, "verdicts": judged}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
