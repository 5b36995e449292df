"""How well does each model upscale the field's test sets, and how well compressed pictures?

    UPSCALE_WEIGHTS=FOLDER python -m benchmarks.quality --eval FOLDER

Every row of the registry whose checkpoint is on this machine takes part, and so do ESPCN files of other authors in the
folders of UPSCALE_WEIGHTS. torch computes, in fp32, whatever engines are there; what 8 bits lose is a table of its
own. Writes benchmarks/quality.json and the tables of docs/quality.md. --only measures some nets (sharp, or sharp-x3)
anew and keeps what is known of the others; --int8 does that with the table of 8 bits alone; --quick measures Set5 alone
and writes nothing.
"""

import argparse
import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks import nets, report
from upscale_cli.evaluation.cases import cases_of, pictures_in
from upscale_cli.evaluation.contestants import Contestant
from upscale_cli.evaluation.evaluate import evaluate
from upscale_cli.evaluation.metrics import Shrinking, crop_to_multiple, full_luma, psnr, to_8_bit
from upscale_cli.evaluation.niqe import niqe
from upscale_cli.evaluation.reference import Picture, Protocol, read_picture, read_reference, shrunk, through_jpeg
from upscale_cli.evaluation.rows import Metric, Row, means
from upscale_cli.events import Event, Failed, Note
from upscale_cli.inference.color import rgb_to_ycbcr
from upscale_cli.inference.engines_here import precisions
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.models.interface import Precision
from upscale_cli.models.registry import MODELS, Spec
from upscale_cli.models.store import bundled_folder, cache_folder, locate, weights_folders

PAGE = report.REPOSITORY / "docs/quality.md"
START, STOP = "<!-- from benchmarks/quality.json by benchmarks/quality.py -->\n", "<!-- end -->\n"

SETS = ("Set5", "Set14", "B100", "Urban100", "Kodak24")
"""Those whose folders are there take part."""

IN_8_BITS = ("Set5", "Set14")
SCALES = (2, 3, 4)
COMPRESSED_SET, COMPRESSED_SCALE = "Set14", 2
QUALITIES: tuple[int | None, ...] = (None, 90, 75, 50, 30)
KERNELS: tuple[Shrinking, ...] = ("bicubic", "area", "bilinear", "lanczos", "bicubic-aliased")

VDSR = "as cited by Kim et al., CVPR 2016 (VDSR)"
ESPCN = "Shi et al., CVPR 2016, trained on ImageNet"
PUBLISHED: Mapping[tuple[str, int, str], tuple[str, str]] = {
    ("bicubic", 2, "Set5"): ("33.66 / 0.9299", VDSR),
    ("bicubic", 3, "Set5"): ("30.39 / 0.8682", VDSR),
    ("bicubic", 4, "Set5"): ("28.42 / 0.8104", VDSR),
    ("bicubic", 2, "Set14"): ("30.24 / 0.8688", VDSR),
    ("bicubic", 3, "Set14"): ("27.55 / 0.7742", VDSR),
    ("bicubic", 4, "Set14"): ("26.00 / 0.7027", VDSR),
    ("bicubic", 2, "B100"): ("29.56 / 0.8431", VDSR),
    ("bicubic", 3, "B100"): ("27.21 / 0.7385", VDSR),
    ("bicubic", 4, "B100"): ("25.96 / 0.6675", VDSR),
    ("espcn", 3, "Set5"): ("33.13", ESPCN),
    ("espcn", 4, "Set5"): ("30.90", ESPCN),
    ("espcn", 3, "Set14"): ("29.49", ESPCN),
    ("espcn", 4, "Set14"): ("27.73", ESPCN),
}
"""PSNR and SSIM on luma by model, scale and set; and who says so."""

REPORTED: Mapping[tuple[int, str], str] = {
    (2, "Set5"): "38.28", (3, "Set5"): "34.69", (4, "Set5"): "32.06",
    (2, "Set14"): "34.50", (3, "Set14"): "31.32", (4, "Set14"): "29.29",
    (2, "B100"): "34.34", (3, "B100"): "31.35", (4, "B100"): "29.73",
}  # fmt: skip
"""By scale and set: the README of Nhat-Thanh/ESPCN-Pytorch, of the files espcn-ycbcr."""

Figures = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """Where it runs, and on what."""

    sets: Mapping[str, Sequence[Path]]
    device: str

    def upscaler(self, model: str, precision: Precision = "fp32") -> Upscaler:
        """By torch; in 8 bits by OpenVINO."""
        engine: Literal["torch", "openvino"] = "openvino" if precision == "int8" else "torch"
        return Upscaler(model, device=self.device, engine=engine, precision=precision)

    def figures(
        self, model: str, scale: int, sets: Iterable[str], protocol: Protocol, precision: Precision = "fp32"
    ) -> list[Figures]:
        """One record per set."""
        with_model = Contestant(self.upscaler(model, precision), Path(model).stem)
        cases = cases_of({name: self.sets[name] for name in sets}, [scale])
        records = [_record(row) for row in means(evaluate(cases, [with_model], protocol, _tell))]
        with_model.upscaler.close()
        for record in records:
            print(json.dumps(record), flush=True)
        return records


def _tell(event: Event) -> None:
    """A benchmark without one of its pictures would lie."""
    if isinstance(event, Failed):
        raise RuntimeError(event.message)
    if isinstance(event, Note):
        print(event.text, flush=True)


def _record(row: Row) -> Figures:
    decimals: Mapping[Metric, int] = {"psnr_y": 3, "psnr_rgb": 3}
    values: Figures = {}
    for metric, value in row.values.items():
        values[metric] = None if value is None else round(value, decimals.get(metric, 4))
    speed = {"seconds": round(row.seconds, 4), "megapixels_per_second": round(row.megapixels_per_second or 0, 2)}
    return {"model": row.model, "scale": row.scale, "set": row.group, **values, **speed}


def specs_here(only: Sequence[str] = ()) -> list[Spec]:
    """The rows of the registry that can run on this machine.

    Args:
        only: of these models, or rows such as "sharp-x3"; none: all.
    """
    return [
        spec for spec in MODELS
        if locate(spec) and (not only or spec.model in only or f"{spec.model}-x{spec.scale}" in only)
    ]  # fmt: skip


def registry_models(bench: Bench, only: Sequence[str] = ()) -> tuple[list[Figures], list[Figures]]:
    """Every row here, bicubic first: in colour as users have it; luma nets on luma alone too, as they are published."""
    in_colour: list[Figures] = []
    on_luma: list[Figures] = []
    names = bench.sets
    luma = Protocol(channels="luma")
    for scale in SCALES if not only or "bicubic" in only else ():
        in_colour += bench.figures("bicubic", scale, names, Protocol())
        on_luma += bench.figures("bicubic", scale, names, luma)
    for spec in specs_here(only):
        size = {"parameters": parameters(spec), "macs": spec.macs, "bytes": spec.size}
        in_colour += [size | record for record in bench.figures(spec.model, spec.scale, names, Protocol())]
        if spec.channels == "luma":
            on_luma += bench.figures(spec.model, spec.scale, names, luma)
    return in_colour, on_luma


def parameters(spec: Spec) -> int:
    """Of a row's net."""
    return sum(tensor.numel() for tensor in nets.trained(spec).state_dict.values())


def files_of_others(pattern: str) -> list[Path]:
    """Checkpoints in the user's folders."""
    ours = (bundled_folder(), cache_folder())
    folders = [folder for folder in weights_folders() if folder not in ours]
    return [path for folder in folders for path in sorted(folder.glob(f"{pattern}.safetensors"))]


def espcn_of_others(bench: Bench) -> list[Figures]:
    """ESPCN files of others: on the field's LR, and on aliased LR, which some were trained on."""
    records = []
    for path in files_of_others("espcn-*"):
        scale = int(Upscaler(path, device=bench.device).default_scale)
        for kernel in ("bicubic", "bicubic-aliased"):
            protocol = Protocol(shrinking=kernel)
            for record in bench.figures(str(path), scale, ("Set5",), protocol):
                records.append({"kernel": kernel, **record})
    return records


def in_8_bits(bench: Bench, on_luma: Sequence[Figures], only: Sequence[str] = ()) -> list[Figures]:
    """PSNR on luma alone, in fp32 and in 8 bits; nothing where this processor or machine cannot compute so.

    Args:
        on_luma: what the nets reach in fp32; see `registry_models`.
    """
    if importlib.util.find_spec("openvino") is None or "int8" not in precisions("openvino"):
        return []
    in_fp32 = {(record["model"], record["scale"], record["set"]): record["psnr_y"] for record in on_luma}
    names = [name for name in IN_8_BITS if name in bench.sets]
    return [
        {
            "model": spec.model, "scale": spec.scale, "set": record["set"],
            "fp32": in_fp32[spec.model, spec.scale, record["set"]], "int8": record["psnr_y"],
        }
        for spec in specs_here(only) if spec.int8
        for record in bench.figures(spec.model, spec.scale, names, Protocol(channels="luma"), "int8")
    ]  # fmt: skip


def compressed(bench: Bench, name: str, only: Sequence[str] = ()) -> list[Figures]:
    """LR through JPEG and made by other kernels: bicubic and every luma net of that scale."""
    models = [spec.model for spec in specs_here(only) if spec.channels == "luma" and spec.scale == COMPRESSED_SCALE]
    return [
        {"kernel": kernel, "jpeg": quality, **record}
        for kernel in KERNELS
        for quality in QUALITIES
        for model in (*(() if only and "bicubic" not in only else ("bicubic",)), *models)
        for record in bench.figures(model, COMPRESSED_SCALE, (name,), Protocol(shrinking=kernel, jpeg=quality))
    ]


def espcn_as_reported(bench: Bench) -> list[Figures]:
    """PSNR of Y, Cb and Cr together, in full range, no border cut: how the project of espcn-ycbcr measures."""
    records = []
    for path in files_of_others("espcn-ycbcr-*"):
        net = Contestant(bench.upscaler(str(path)), path.stem)
        scale = int(net.upscaler.default_scale)
        for case in cases_of(bench.sets, [scale]):
            reference = read_reference(case, Protocol(), print)
            if reference.hr.shape[2] == 3:
                sr, _ = net.upscale(reference.frame(), scale)
                value = psnr(_ycbcr(sr.pixels), _ycbcr(reference.hr), peak=1.0)
                records.append(Row(case.group, scale, net.name, case.path.name, 1, {"psnr_rgb": value}, 0.0, 0.0))
    means_of = means(records)
    return [
        {"file": row.model, "scale": row.scale, "set": row.group, "psnr_ycbcr": round(row.values["psnr_rgb"] or 0, 3)}
        for row in means_of
    ]


def _ycbcr(picture: Picture) -> NDArray[np.float32]:
    rgb = torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]
    ycbcr: NDArray[np.float32] = torch.cat(rgb_to_ycbcr(rgb, "full"), dim=1).numpy()
    return ycbcr


def niqe_of_damage(folder: Path) -> list[Figures]:
    """Mean NIQE of photographs as they are, and damaged."""
    photos = [read_picture(path, print) for path in pictures_in(folder)] if folder.is_dir() else []
    if not photos:
        return []
    random = np.random.default_rng(0)

    def blurred(picture: Picture, radius: float) -> Picture:
        return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))

    def noisy(picture: Picture, sigma: float) -> Picture:
        return np.clip(picture + random.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)

    damages: dict[str, Callable[[Picture], Picture]] = {
        "none": lambda picture: picture,
        "blur of 1 pixel": lambda picture: blurred(picture, 1),
        "blur of 2 pixels": lambda picture: blurred(picture, 2),
        "noise of 5 levels": lambda picture: noisy(picture, 5),
        "noise of 15 levels": lambda picture: noisy(picture, 15),
        "JPEG 75": lambda picture: through_jpeg(picture, 75),
        "JPEG 30": lambda picture: through_jpeg(picture, 30),
        "JPEG 10": lambda picture: through_jpeg(picture, 10),
        "shrunk and enlarged, x2": lambda picture: _there_and_back(picture, 2),
        "shrunk and enlarged, x4": lambda picture: _there_and_back(picture, 4),
    }
    return [
        {"damage": name, "niqe": round(float(np.mean([niqe(to_8_bit(full_luma(do(photo)))) for photo in photos])), 2)}
        for name, do in damages.items()
    ]


def _there_and_back(picture: Picture, scale: int) -> Picture:
    return Upscaler("bicubic", device="cpu")(shrunk(crop_to_multiple(picture, scale), scale, Protocol()), scale=scale)


# The page


def tables(result: Mapping[str, Any]) -> str:
    """The page's tables as Markdown."""
    parts = [
        ("### In colour, as users have it", quality_table(result["in_colour"])),
        ("### Size", size_table(result["in_colour"])),
        ("### On luma alone, as it is published", luma_table(result["on_luma"])),
        ("### In 8 bits: PSNR on luma alone", int8_table(result["in_8_bits"])),
        ("### ESPCN files of others, Set5", others_table(result["espcn_of_others"])),
        (
            f"### LR made otherwise, and compressed: PSNR, {set_of(result['compressed'])} x{COMPRESSED_SCALE}",
            compressed_table(result["compressed"]),
        ),
        (
            "### espcn-ycbcr as its project measures it: PSNR of Y, Cb and Cr together",
            report.table(
                ("file", "set", "ours", "reported"),
                [
                    (row["file"], row["set"], f"{row['psnr_ycbcr']:.2f}", REPORTED.get((row["scale"], row["set"]), ""))
                    for row in result["espcn_as_reported"]
                ],
            ),
        ),
        (
            "### NIQE of damaged photos, Kodak24",
            report.table(("damage", "mean NIQE"), [(row["damage"], row["niqe"]) for row in result["niqe_of_damage"]]),
        ),
    ]
    return "\n".join(f"{heading}\n\n{table}" for heading, table in parts)


def set_of(records: Sequence[Figures]) -> str:
    """The one that all of them are about."""
    return str(records[0]["set"]) if records else COMPRESSED_SET


def quality_table(records: Sequence[Figures]) -> str:
    """A row per model and scale, a column per set."""
    sets = list(dict.fromkeys(record["set"] for record in records))
    found = {(record["model"], record["scale"], record["set"]): record for record in records}
    nets = dict.fromkeys((record["model"], record["scale"]) for record in records)
    rows = [
        (model, f"x{scale}", *(_pair(found.get((model, scale, name))) for name in sets))
        for model, scale in sorted(nets, key=_by_scale)
    ]
    return report.table(("model", "scale", *(f"{name}, PSNR / SSIM" for name in sets)), rows)


def luma_table(records: Sequence[Figures]) -> str:
    """Published figures next to ours."""
    rows = []
    for record in sorted(records, key=lambda record: (SETS.index(record["set"]), record["scale"])):
        published, source = PUBLISHED.get((record["model"], record["scale"], record["set"]), ("", ""))
        place = f"{record['set']} x{record['scale']}"
        rows.append((place, record["model"], _pair(record), published, source))
    return report.table(("set", "model", "ours, PSNR / SSIM", "published", "source"), rows)


def int8_table(records: Sequence[Figures]) -> str:
    """A row per net and scale."""
    sets = list(dict.fromkeys(record["set"] for record in records))
    found = {(record["model"], record["scale"], record["set"]): record for record in records}
    rows = []
    for model, scale in sorted(dict.fromkeys((record["model"], record["scale"]) for record in records), key=_by_scale):
        both = [found[model, scale, name] for name in sets]
        rows.append((f"{model} x{scale}", *(f"{one['fp32']:.2f}, {one['int8']:.2f}" for one in both)))
    return report.table(("model", *(f"{name}: fp32, int8" for name in sets)), rows)


def _by_scale(net: tuple[str, int]) -> int:
    return net[1]


def size_table(records: Sequence[Figures]) -> str:
    """Of the nets; how fast they are, quieter benchmarks say."""
    sizes = {
        (record["model"], f"x{record['scale']}"): (f"{record['parameters']:,}", f"{record['macs']:,}")
        for record in records
        if "parameters" in record
    }
    rows = [(*net, *size) for net, size in sizes.items()]
    return report.table(("model", "scale", "parameters", "multiply-adds per LR pixel"), rows)


def others_table(records: Sequence[Figures]) -> str:
    """A row per file: on the field's LR, and on aliased LR."""
    files = dict.fromkeys((record["model"], record["scale"]) for record in records)
    found = {(record["model"], record["scale"], record["kernel"]): _pair(record) for record in records}
    rows = [
        (model, f"x{scale}", found[model, scale, "bicubic"], found[model, scale, "bicubic-aliased"])
        for model, scale in files
    ]
    return report.table(("file", "scale", "LR by bicubic", "LR by bicubic-aliased"), rows)


def compressed_table(records: Sequence[Figures]) -> str:
    """PSNR on luma: a row per kernel and quality, a column per model."""
    models = list(dict.fromkeys(record["model"] for record in records))
    found = {(record["kernel"], record["jpeg"], record["model"]): record["psnr_y"] for record in records}
    rows = [
        (kernel, quality or "none", *(_figure(found.get((kernel, quality, model))) for model in models))
        for kernel, quality in dict.fromkeys((record["kernel"], record["jpeg"]) for record in records)
    ]
    return report.table(("LR by", "JPEG", *models), rows)


def _figure(value: float | None) -> str:
    """Nothing where it was not measured."""
    return "" if value is None else f"{value:.2f}"


def _pair(record: Figures | None) -> str:
    return f"{record['psnr_y']:.2f} / {record['ssim_y']:.4f}" if record else ""


def renewed(kept: Mapping[str, Any], found: Mapping[str, Any], only: Sequence[str]) -> Figures:
    """What was known, with what was found in its place; each in the order of the registry."""
    order = {name: place for place, name in enumerate(dict.fromkeys(["bicubic", *(spec.model for spec in MODELS)]))}
    ways = [(kernel, quality) for kernel in KERNELS for quality in QUALITIES]

    def place(record: Figures) -> tuple[int, int, int, int]:
        """What tells records from each other, and what they are ordered by."""
        way = ways.index((record["kernel"], record["jpeg"])) if "kernel" in record else 0
        return way, order[record["model"]], record["scale"], SETS.index(record["set"])

    result = {name: value for name, value in kept.items() if name not in ("question", "machine")}
    for name, records in found.items():
        known = {place(record): record for record in kept.get(name, []) if record["model"] in order}
        known |= {place(record): record for record in records}
        result[name] = [known[key] for key in sorted(known)]
    facts = report.machine()
    since = {model: {key: facts[key] for key in ("commit", "date")} for model in only}
    return {**result, "renewed": kept.get("renewed", {}) | since}


def measured(bench: Bench, only: Sequence[str], *, quick: bool) -> Figures:
    """What is known of every net of the registry."""
    in_colour, on_luma = registry_models(bench, only)
    of_set = SETS[0] if quick else COMPRESSED_SET
    return {
        "in_colour": in_colour,
        "on_luma": on_luma,
        "compressed": compressed(bench, of_set, only) if of_set in bench.sets else [],
        "in_8_bits": [] if quick else in_8_bits(bench, on_luma, only),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--eval", type=Path, default=report.SHARED / "eval", help="folder of test sets, one folder each"
    )
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    parser.add_argument("--sets", nargs="+", default=SETS, help="default: %(default)s, those that are there")
    parser.add_argument("--only", nargs="+", default=[], metavar="NET", help="renew the figures of these models alone")
    parser.add_argument("--int8", action="store_true", help="renew the table of 8 bits alone")
    parser.add_argument("--quick", action="store_true", help="Set5 alone, and nothing is written")
    parser.add_argument("--page", action="store_true", help="renew the page from the JSON, and measure nothing")
    arguments = parser.parse_args(argv)
    if not arguments.page:
        names = SETS[:1] if arguments.quick else arguments.sets
        folders = {name: arguments.eval / name for name in names if (arguments.eval / name).is_dir()}
        bench = Bench({name: pictures_in(folder) for name, folder in folders.items()}, arguments.device)
        kept = report.json_of("quality")
        if arguments.int8:
            result = {"in_8_bits": in_8_bits(bench, kept["on_luma"], arguments.only)}
        else:
            result = measured(bench, arguments.only, quick=arguments.quick)
        if (arguments.only or arguments.int8) and not arguments.quick:
            result = renewed(kept, result, arguments.only or ["in 8 bits"])
        else:
            result |= {
                "espcn_of_others": espcn_of_others(bench),
                "espcn_as_reported": espcn_as_reported(bench),
                "niqe_of_damage": niqe_of_damage(arguments.eval / "Kodak24"),
            }
        if arguments.quick:
            print(tables(result))
            return
        question = "How well does each model upscale the field's test sets?"
        report.write("quality", question, {"device": arguments.device, **result})
    result = report.json_of("quality")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(report.with_tables(page, tables(result), START, STOP), encoding="utf-8")


if __name__ == "__main__":
    main()
