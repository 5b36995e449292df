"""Which model suits a picture, by what a look at the file shows; and how often the choice without -m takes the best.

    python -m benchmarks.chooser --eval FOLDER [--rows FILE] [--models NAME ...] [--fit] [--quick]

Photographs of the field's sets and drawings, texts and screens that are rendered here, each shrunk, damaged in thirteen
ways, and written to a file. Every model upscales every file, and is measured against the original. One half of the
pictures (B100) makes the ranking of `upscale_cli.models.suitable`, which is printed, and says what one is worth for an
original that it has not seen; the other half (Kodak24), 312 files for each scale, says what the choice is worth, and
what it costs in work and time. Writes benchmarks/chooser.json and the table in docs/quality.md.

--rows keeps what was measured, picture by picture, so that a further model, or other groups, cost no more than they
have to. --fit makes the ranking anew and keeps what is known of the other half. --quick takes a few pictures and writes
nothing.
"""

import argparse
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks import chooser_pictures, report
from upscale_cli.evaluation.cases import pictures_in
from upscale_cli.evaluation.metrics import (
    Shrinking,
    crop_border,
    crop_to_multiple,
    ms_ssim,
    psnr,
    studio_luma,
)
from upscale_cli.evaluation.reference import Protocol, read_picture, shrunk
from upscale_cli.frames.appearance import Appearance
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.media.image.look import look_at
from upscale_cli.models.registry import MODELS, rows_of
from upscale_cli.models.suitable import RANKING, Group, group_of, ranked

PAGE = report.REPOSITORY / "docs/quality.md"
START, STOP = "<!-- from benchmarks/chooser.json by benchmarks/chooser.py -->\n", "<!-- end of chooser -->\n"

Picture = NDArray[np.uint8]
Figures = dict[str, Any]

SCALES = (2, 4)

SOURCES: Mapping[str, tuple[str, int, int, int]] = {"fit": ("B100", 14, 5, 0), "held out": ("Kodak24", 12, 4, 100)}
"""Of each half: the set, how many of its pictures, how many of each kind are rendered, and the first seed."""

RANKED = frozenset(ranked(Group("unknown")))
"""The bundled nets but for `swift-robust`, which is for clips: in photographs the least work is not worth 0.05 dB."""

METRICS = ("psnr_y", "ms_ssim_y")

TIE = 0.1
"""dB, which nobody sees: of models that are no further from the best one, that with the least work is chosen."""


def encoded(picture: Picture, format: str, **options: Any) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format, **options)
    return file.getvalue()


def decoded(data: bytes) -> Picture:
    """Its pixels, as anything decodes them."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def noisy(picture: Picture, sigma: float) -> Picture:
    """With Gaussian noise of that many levels, the same in every run."""
    noise = np.random.default_rng(0).normal(0, sigma, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def blurred(picture: Picture, radius: float) -> Picture:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


SHRINKING: Mapping[str, Shrinking] = {"shrunk by area": "area", "shrunk without antialiasing": "bicubic-aliased"}
"""Where it is not the field's bicubic."""

DAMAGES: Mapping[str, Callable[[Picture], bytes]] = {
    "none": lambda lr: encoded(lr, "PNG"),
    **dict.fromkeys(SHRINKING, lambda lr: encoded(lr, "PNG")),
    "JPEG 90": lambda lr: encoded(lr, "JPEG", quality=90),
    "JPEG 75": lambda lr: encoded(lr, "JPEG", quality=75),
    "JPEG 60": lambda lr: encoded(lr, "JPEG", quality=60),
    "JPEG 30": lambda lr: encoded(lr, "JPEG", quality=30),
    "JPEG 15, then 95": lambda lr: encoded(decoded(encoded(lr, "JPEG", quality=15)), "JPEG", quality=95),
    "JPEG 40, then 90": lambda lr: encoded(decoded(encoded(lr, "JPEG", quality=40)), "JPEG", quality=90),
    "JPEG 60, then PNG": lambda lr: encoded(decoded(encoded(lr, "JPEG", quality=60)), "PNG"),
    "noise of 8 levels": lambda lr: encoded(noisy(lr, 8), "PNG"),
    "blur of 1 pixel": lambda lr: encoded(blurred(lr, 1), "PNG"),
    "WebP 60": lambda lr: encoded(lr, "WEBP", quality=60),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """A picture without damage, and what it is of."""

    half: str
    name: str
    kind: str
    hr: Picture


def sources(folder: Path, *, halves: Sequence[str], quick: bool) -> Iterator[Source]:
    """Photographs of the sets, and rendered pictures."""
    for half in halves:
        group, photos, rendered, seed = SOURCES[half]
        paths = pictures_in(folder / group)
        for path in paths[:: len(paths) // photos][: 2 if quick else photos]:
            yield Source(half, path.stem, "photograph", middle_of(read_picture(path, print)))
        for kind, draw in chooser_pictures.KINDS.items():
            for number in range(1 if quick else rendered):
                yield Source(half, f"{kind} {seed + number}", kind, draw(seed + number))


def middle_of(picture: Picture) -> Picture:
    """What of a photograph is as large as what is rendered."""
    top, left = (max(0, (side - most) // 2) for side, most in zip(picture.shape, chooser_pictures.SIZE, strict=False))
    return picture[top : top + chooser_pictures.SIZE[0], left : left + chooser_pictures.SIZE[1]]


def measured(hr: Picture, sr: Picture, scale: int, metrics: Iterable[str]) -> dict[str, float]:
    """Of luma, as the field measures it."""
    a, b = (crop_border(studio_luma(one), scale) for one in (sr, hr))
    how: Mapping[str, Callable[[], float]] = {
        "psnr_y": lambda: round(psnr(a, b), 3), "ms_ssim_y": lambda: round(ms_ssim(a, b), 4),
    }  # fmt: skip
    return {metric: how[metric]() for metric in metrics}


def rows_of_pictures(
    folder: Path, models: Sequence[str], kept: Path | None, *, halves: Sequence[str], quick: bool
) -> list[Figures]:
    """One row per picture and scale: what it is, what was seen, and how each model does."""
    before: dict[str, dict[str, dict[str, float]]] = {}
    if kept is not None and kept.exists():
        before = json.loads(kept.read_text(encoding="utf-8"))
    nets = {model: Upscaler(model, device="cpu", engine="openvino", precision="fp32") for model in models}
    rows = []
    for source in sources(folder, halves=halves, quick=quick):
        metrics = METRICS if source.half == "held out" else METRICS[:1]
        for scale in SCALES:
            hr = crop_to_multiple(source.hr, scale)
            for damage, damaged in DAMAGES.items():
                data = damaged(shrunk(hr, scale, Protocol(shrinking=SHRINKING.get(damage, "bicubic"))))
                lr, key = decoded(data), f"{source.half}/{source.name}/{scale}/{damage}"
                values = before.setdefault(key, {})
                for model, net in nets.items():
                    if _identity(model) not in values:
                        values[_identity(model)] = measured(hr, net(lr, scale=scale), scale, metrics)
                rows.append({
                    "half": source.half, "name": source.name, "kind": source.kind, "scale": scale, "damage": damage,
                    "seen": look_at(data), "values": {model: values[_identity(model)] for model in models},
                })  # fmt: skip
        if kept is not None:
            kept.write_text(json.dumps(before), encoding="utf-8")
        print(source.half, source.name, flush=True)
    return rows


def _identity(model: str) -> str:
    """A model and its weights."""
    return " ".join([model, *(spec.sha256[:8] for spec in rows_of(model))])


# What follows from the rows


def work_of(model: str, scale: int) -> int:
    """Multiply-adds per LR pixel of the pass that makes a scale; of a net for a larger one, what it makes is shrunk."""
    return min(spec.macs for spec in rows_of(model) if spec.scale >= scale)


def ranking(rows: Iterable[Figures]) -> dict[Group, tuple[str, ...]]:
    """Models by their mean PSNR over the pictures of each group, the best first; of those within `TIE` of it, the one
    that takes the least work."""
    sums: dict[Group, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for model, values in row["values"].items():
            group = group_of(row["seen"], row["scale"])
            sums[group][model].append(values["psnr_y"])
            if row["kind"] == "photograph":  # as most pictures are that are not looked into
                sums[Group("unknown", is_far=group.is_far)][model].append(values["psnr_y"])
    return {
        group: _ordered({model: float(np.mean(values)) for model, values in means.items()}, group)
        for group, means in sorted(sums.items(), key=lambda item: (item[0].damage, item[0].is_drawn, item[0].is_far))
    }


def _ordered(means: Mapping[str, float], group: Group) -> tuple[str, ...]:
    scale = max(SCALES) if group.is_far else min(SCALES)
    best = max(means.values())
    near = [model for model in means if means[model] >= best - TIE]
    first = min(near, key=lambda model: (work_of(model, scale), -means[model]))
    return (first, *sorted(means.keys() - {first}, key=lambda model: -means[model]))


def choices(rows: Iterable[Figures], ranks: Mapping[Group, tuple[str, ...]]) -> list[str]:
    """The model that each picture gets."""
    return [ranked(group_of(row["seen"], row["scale"]), ranks)[0] for row in rows]


def choices_by_others(rows: Sequence[Figures]) -> list[str]:
    """The model that each picture gets by the ranking of all pictures that were not made of the same original."""
    by_others = {name: ranking(row for row in rows if row["name"] != name) for name in {row["name"] for row in rows}}
    return [one for row in rows for one in choices([row], by_others[row["name"]])]


def verdict(rows: Sequence[Figures], choice: Sequence[str], metric: str) -> Figures:
    """How often the choice is the best by a metric, what a wrong one costs, and what fixed choices are worth.

    All means are over pictures.
    """
    models = list(rows[0]["values"])
    table = np.array([[row["values"][model][metric] for model in models] for row in rows])
    chosen = np.array([models.index(model) for model in choice])
    took, best = table[np.arange(len(rows)), chosen], table.max(axis=1)
    wrong = took < best
    work = np.array([[work_of(model, row["scale"]) for model in models] for row in rows])[np.arange(len(rows)), chosen]
    digits = 2 if metric == "psnr_y" else 4
    return {
        "pictures": len(rows),
        "took_the_best_percent": round(100 * float((~wrong).mean()), 1),
        **(
            {"within_the_tie_percent": round(100 * float((took >= best - TIE).mean()), 1)} if metric == "psnr_y" else {}
        ),
        "cost_of_a_wrong_choice": round(float((best - took)[wrong].mean()) if wrong.any() else 0.0, digits),
        "worst_cost": round(float((best - took).max()), digits),
        "chosen": round(float(took.mean()), digits),
        "best_possible": round(float(best.mean()), digits),
        "always": {model: round(float(table[:, at].mean()), digits) for at, model in enumerate(models)},
        "multiply_adds_of_the_chosen": round(float(work.mean())),
    }


def by_damage(rows: Sequence[Figures], ranks: Mapping[Group, tuple[str, ...]]) -> list[Figures]:
    """`verdict` by PSNR of each damage of each scale, photographs and what is drawn apart."""
    found = []
    for scale in SCALES:
        for damage in DAMAGES:
            for is_drawn in (False, True):
                own = [
                    row for row in rows
                    if (row["scale"], row["damage"], row["kind"] != "photograph") == (scale, damage, is_drawn)
                ]  # fmt: skip
                taken = choices(own, ranks)
                found.append({
                    "scale": scale, "damage": damage, "drawn": is_drawn, "taken": dict(Counter(taken)),
                    **verdict(own, taken, "psnr_y"),
                })  # fmt: skip
    return found


def of_fit(models: Sequence[str], rows: Sequence[Figures], ranks: Mapping[Group, tuple[str, ...]]) -> Figures:
    """The ranking, and what one is worth for pictures whose original had no part in it, taken in turn."""
    taken = choices_by_others(rows)
    return {
        "models": models,
        "ranking": [{**asdict(group), "models": list(order)} for group, order in ranks.items()],
        "differs_from_the_table_in_use": [str(group) for group in ranks if RANKING.get(group) != ranks[group]],
        "left_out_in_turn": {
            f"x{scale}": verdict(
                [row for row in rows if row["scale"] == scale],
                [model for row, model in zip(rows, taken, strict=True) if row["scale"] == scale],
                "psnr_y",
            )
            for scale in SCALES
        },
    }


def of_held_out(models: Sequence[str], rows: Sequence[Figures], ranks: Mapping[Group, tuple[str, ...]]) -> Figures:
    """What the choice is worth for the other half, and what the look at it sees."""
    facts = report.machine()
    of_scales = {scale: [row for row in rows if row["scale"] == scale] for scale in SCALES}
    return {
        "models": models, "commit": facts["commit"], "date": facts["date"],
        **{f"x{scale}": {metric: verdict(own, choices(own, ranks), metric) for metric in METRICS}
           for scale, own in of_scales.items()},
        "by_damage": by_damage(rows, ranks),
        "sight": sight(rows),
    }  # fmt: skip


def sight(rows: Sequence[Figures]) -> Figures:
    """How right the look is: kinds, and JPEG qualities."""
    confused: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    qualities: dict[str, list[int]] = defaultdict(list)
    missed: dict[str, int] = defaultdict(int)
    false = 0
    for row in rows:
        seen: Appearance = row["seen"]
        confused[row["kind"]][str(seen.kind)] += 1
        if row["damage"].startswith("JPEG"):
            if seen.jpeg_quality is None:
                missed[row["damage"]] += 1
            else:
                qualities[row["damage"]].append(seen.jpeg_quality)
        elif seen.jpeg_quality is not None:
            false += 1
    return {
        "kinds_seen": {kind: dict(seen) for kind, seen in confused.items()},
        "jpeg_quality_seen": {
            damage: {
                "least": min(found),
                "median": float(np.median(found)),
                "most": max(found),
                "missed": missed[damage],
            }
            for damage, found in qualities.items()
        },
        "jpeg_seen_where_there_was_none": false,
        "noise_seen": {
            damage: round(float(np.median([row["seen"].noise for row in rows if row["damage"] == damage])), 1)
            for damage in DAMAGES
        },
    }


def speed(models: Sequence[str], folder: Path) -> Figures:
    """What each model takes, in relation to espcn, on a photograph: by engine, the median of paired runs."""
    picture = read_picture(pictures_in(folder / "Kodak24")[0], print)[:256, :384]
    found: Figures = {}
    for engine in ("torch", "openvino"):
        nets = {model: Upscaler(model, device="cpu", engine=engine, precision="fp32") for model in models}
        for scale in SCALES:
            runs = {model: partial(net, picture, scale=scale) for model, net in nets.items()}
            seconds = report.alternating(runs, repeats=9)
            found[f"{engine}, x{scale}"] = {
                model: {
                    "seconds": round(min(seconds[model]), 4),
                    "times_espcn": report.ratio(seconds[model], seconds["espcn"]),
                    "multiply_adds": work_of(model, scale),
                }
                for model in models
            }
    return found


def as_code(ranks: Mapping[Group, tuple[str, ...]]) -> str:
    """The ranking as it stands in `upscale_cli.models.suitable`."""
    lines = []
    for group, models in ranks.items():
        pictures, enlarged = "drawn" if group.is_drawn else "photograph", "far" if group.is_far else "near"
        lines.append(f"{group.damage:<18}  {pictures:<10}  {enlarged:<4}  {' '.join(models)}")
    return "\n".join(lines)


def table_of(result: Figures) -> str:
    """The page's table as Markdown: of the pictures held out, by damage."""
    head = ["scale", "damage", "pictures", *result["models"], "chosen", "best of all", "takes the best"]
    lines = [f"| {' | '.join(head)} |\n", "| --- " * len(head) + "|\n"]
    for row in result["by_damage"]:
        always = " | ".join(f"{row['always'][model]:.2f}" for model in result["models"])
        kind = "drawn" if row["drawn"] else "photographs"
        lines.append(
            f"| x{row['scale']} | {row['damage']} | {row['pictures']} {kind} | {always} | {row['chosen']:.2f} | "
            f"{row['best_possible']:.2f} | {row['took_the_best_percent']:.0f} % |\n"
        )
    return "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eval", type=Path, default=report.SHARED / "eval", help="has B100 and Kodak24")
    parser.add_argument("--rows", type=Path, help="a JSON file: what was measured before, and is now")
    parser.add_argument("--models", nargs="*", help="default: those that are ranked already")
    parser.add_argument("--fit", action="store_true", help="rank alone, and keep what is known of pictures held out")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    models = given.models or [model for model in dict.fromkeys(spec.model for spec in MODELS) if model in RANKED]
    rows = rows_of_pictures(
        given.eval, models, given.rows, halves=["fit"] if given.fit else list(SOURCES), quick=given.quick
    )
    fit, held_out = ([row for row in rows if row["half"] == half] for half in SOURCES)
    ranks = ranking(fit)
    print(as_code(ranks))
    result = of_fit(models, fit, ranks)
    if given.fit:
        kept = report.json_of("chooser")
        result |= {part: kept[part] for part in ("held_out", "speed")}
    else:
        result |= {"held_out": of_held_out(models, held_out, ranks), "speed": speed(models, given.eval)}
    if given.quick:
        print(json.dumps(result, indent=2))
        return
    report.write(
        "chooser",
        "Which model is nearest to the original, by what a look at the file shows (ranking, from B100 and pictures "
        "rendered here); how often the choice is the best one for other pictures, 312 for each scale, and what a wrong "
        "one costs (dB of PSNR, MS-SSIM of luma; multiply-adds per LR pixel; time on a CPU in relation to espcn).",
        result,
    )
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(report.with_tables(page, table_of(result["held_out"]), START, STOP), encoding="utf-8")


if __name__ == "__main__":
    main()
