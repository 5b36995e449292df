"""What is every net of the family worth, beside the figure on its card and the published one?

    python -m benchmarks.family --shared ../shared

Every checkpoint in FOLDER/weights, FOLDER/weights-more and the trained ones of FOLDER/goldens takes part, and the rows
of the registry that are on this machine, each measured in the way that its card describes (`ways`). What does not load
is a row that says why; nets without any trained weights are rows that say so. Of B100 the first 20 pictures; sets that
would take a net more than LIMIT multiply-adds are left out, but for Set5. Writes benchmarks/family.json and the tables
of docs/family.md. --whole leaves nothing out; --only measures some anew and keeps what is known of the others; --quick
measures Set5 with a few files and writes nothing.
"""

import argparse
import fnmatch
import json
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from PIL import Image

from benchmarks import report
from benchmarks.family_published import ORIGIN, PUBLISHED, WHY
from upscale_cli.errors import UpscaleError
from upscale_cli.evaluation.cases import cases_of, pictures_in
from upscale_cli.evaluation.contestants import Contestant
from upscale_cli.evaluation.metrics import Shrinking, crop_border, psnr
from upscale_cli.evaluation.reference import Measured, Protocol, Reference, luma_of, read_reference
from upscale_cli.events import Event, Failed, ignore
from upscale_cli.inference.blur_kernels import parse_kernel
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.upscaler import Recipe
from upscale_cli.models.input_spec import Sampling
from upscale_cli.models.interface import Interval
from upscale_cli.models.loading import load_net
from upscale_cli.models.plugins import architecture
from upscale_cli.models.registry import MODELS
from upscale_cli.models.store import locate

PAGE = report.REPOSITORY / "docs/family.md"
START, STOP = "<!-- from benchmarks/family.json by benchmarks/family.py -->\n", "<!-- end -->\n"

SETS = ("Set5", "Set14", "B100")
FIRST: Final = 20
"""Pictures of B100."""

LIMIT: Final = 1e12
"""Multiply-adds of a net on a set."""

TOLERANCE: Final = 0.03
"""dB between two figures for one thing."""

QUICK = ("espcn-ycbcr-x3", "srcnn-ycbcr-955", "fsrcnn-tf-x2", "fsrcnn-yjn870-x4", "carn-m", "imdn-rtc-x2")

Figures = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """How a checkpoint is measured.

    Attributes:
        options: of `upscale eval`, as they are written.
        kernel, noise, sampling, wrap: what the net is told of it; see `UpscalerOptions`.
        pictures: of Set5, by name; none: all.
        figure: what the line of the card holds that has its figure.
    """

    channels: Measured = "rgb"
    shrinking: Shrinking = "bicubic"
    blur: str = ""
    exact: bool = False
    kernel: str | None = None
    noise: float | None = None
    sampling: Sampling = "bicubic"
    wrap: bool = False
    pictures: tuple[str, ...] = ()
    figure: str = "Set5"

    def protocol(self) -> Protocol:
        blur = parse_kernel(self.blur, "blur") if self.blur else None
        return Protocol(channels=self.channels, shrinking=self.shrinking, blur=blur, exact=self.exact)

    @property
    def options(self) -> str:
        given = [
            f"--channels {self.channels}" if self.channels != "rgb" else "",
            f"--lr-kernel {self.shrinking}" if self.shrinking != "bicubic" else "",
            f"--lr-blur {self.blur}" if self.blur else "",
            "--lr-float" if self.exact else "",
            f"--kernel {self.kernel}" if self.kernel else "",
            f"--noise {self.noise:g}" if self.noise is not None else "",
            f"--kernel-sampling {self.sampling}" if self.sampling != "bicubic" else "",
            "--wrap" if self.wrap else "",
        ]
        return " ".join(filter(None, given))


WAYS: Final[Mapping[str, tuple[Way, ...]]] = {
    "vdsr": (Way("luma", exact=True),),
    "espcn-tf-*": (Way(figure="MATLAB"), Way(shrinking="bicubic-aliased", figure="INTER_CUBIC")),
    "fsrcnn*-tf-*": (Way(figure="MATLAB"), Way(shrinking="bicubic-aliased", figure="INTER_CUBIC")),
    "espcn-tutorial-x3": (Way("luma", exact=True),),
    "raisr-movehand-x2": (Way("luma", "bicubic-corner", exact=True),),
    "raisr-intel-*": (Way("luma", exact=True),),
    "srmdnf-*": (Way(kernel="gauss:0.2"),),
    "srmd-x*": (Way(kernel="gauss:0.2", noise=0),),
    "usrnet*": (
        Way(
            shrinking="every", blur="gauss:1.6", exact=True, kernel="gauss:1.6", noise=0, sampling="every", wrap=True,
            pictures=("bird", "butterfly"),
        ),
    ),
}  # fmt: skip
"""By file name; all others go in as users have them."""


@dataclass(frozen=True)
class Checkpoint:
    """What is measured.

    Attributes:
        name: for people, and what `WAYS` goes by.
        model: what an upscaler is made of: a path, or a name of the registry.
        card: what is known of it.
    """

    name: str
    model: str
    card: Mapping[str, Any]

    @property
    def ways(self) -> tuple[Way, ...]:
        return next((ways for pattern, ways in WAYS.items() if fnmatch.fnmatch(self.name, pattern)), (Way(),))


@dataclass(frozen=True)
class Bench:
    """On what it runs.

    Attributes:
        limit: multiply-adds of a net on a set.
    """

    sets: Mapping[str, Sequence[Path]]
    engine: str
    limit: float
    made: dict[Any, list[Reference]] = field(default_factory=dict)

    def rows(self, checkpoint: Checkpoint) -> Iterator[Figures]:
        """One for each scale and way; what does not load is one that says why."""
        about: Figures = {"name": checkpoint.name, "licence": checkpoint.card.get("licence", "")}
        if "tensors" in checkpoint.card and "arch" not in checkpoint.card and "input" not in checkpoint.card:
            return  # a matrix that a net needs, and no net
        try:
            net = load_net(Path(checkpoint.model)) if checkpoint.model.endswith(".safetensors") else None
            for way in checkpoint.ways:
                for scale in self._scales(checkpoint):
                    row = {**about, "scale": scale, "way": way.options}
                    if net is not None:
                        about_net = architecture(net.descriptor.arch).about
                        year = re.search(r"\b(?:19|20)\d\d\b", about_net)
                        row |= {"net": net.descriptor.name, "year": int(year[0]) if year else None}
                        row["parameters"] = sum(tensor.numel() for tensor in net.state_dict.values())
                    yield row | self._figures(checkpoint, way, scale)
        except UpscaleError as error:
            yield {**about, "fails": str(error).removeprefix(f"{checkpoint.model}: ")}

    def _scales(self, checkpoint: Checkpoint) -> tuple[int, ...]:
        if not checkpoint.model.endswith(".safetensors"):
            return tuple(sorted(spec.scale for spec in MODELS if spec.model == checkpoint.model and locate(spec)))
        scales = load_net(Path(checkpoint.model)).descriptor.scales
        if isinstance(scales, Interval):
            return tuple(scale for scale in (2, 3, 4) if scales.least <= scale <= scales.most)
        return tuple(int(scale) for scale in scales if scale > 1)

    def _figures(self, checkpoint: Checkpoint, way: Way, scale: int) -> Figures:
        options = UpscalerOptions(
            engine=self.engine,
            device="cpu",
            kernel=way.kernel,
            noise=way.noise,
            kernel_sampling=way.sampling,
            wrap=way.wrap,
        )
        upscaler = Recipe(checkpoint.model, options).make(ignore)
        model = Contestant(upscaler, checkpoint.name)
        (step,) = upscaler.plan(64, 64, upscaler.target(scale)).passes
        macs = upscaler.net(step, 8).cost.macs
        here: dict[str, float] = {}
        row: Figures = {"macs": round(macs)}
        for name, pictures in self.sets.items():
            paths = [path for path in pictures if not way.pictures or path.stem in way.pictures]
            if name != "Set5" and (way.pictures or macs * _pixels(paths) / scale**2 > self.limit):
                continue
            figures = [_psnr(model, reference, scale) for reference in self._references(paths, scale, way)]
            here[name] = round(statistics.mean(psnr for psnr, _ in figures), 3)
            if name == "Set5":
                row["seconds"] = round(statistics.mean(seconds for _, seconds in figures), 3)
        upscaler.close()
        row |= {"here": here, "published": {}, "card": card_figures(checkpoint.card, way.figure).get(scale)}
        published = PUBLISHED.get(_system(checkpoint.name), {}).get(scale) if way == checkpoint.ways[0] else None
        if published:
            row["published"] = dict(zip(SETS, published, strict=False))
            row["source"] = ORIGIN[_system(checkpoint.name)]
        row["why"] = next((why for pattern, why in WHY.items() if fnmatch.fnmatch(checkpoint.name, pattern)), "")
        return row

    def _references(self, paths: Sequence[Path], scale: int, way: Way) -> list[Reference]:
        """LR and HR, made once for all nets that are measured alike."""
        key = tuple(paths), scale, (way.channels, way.shrinking, way.blur, way.exact)
        if key not in self.made:
            cases = cases_of({"": paths}, [scale])
            self.made[key] = [read_reference(case, way.protocol(), ignore_text) for case in cases]
        return self.made[key]


def ignore_text(_: str) -> None:
    """Pictures of the sets are known."""


def _psnr(model: Contestant, reference: Reference, scale: int) -> tuple[float, float]:
    """Of luma in dB, as `evaluate` has it, and the seconds of upscaling."""
    if not model.can(reference.frame(), scale, _tell):
        raise UpscaleError(f"{model.name} does not run")
    sr, seconds = model.upscale(reference.frame(), scale)
    ours, hr = (crop_border(luma_of(picture), scale) for picture in (reference.picture(sr), reference.hr))
    return psnr(ours, hr), seconds


def _pixels(paths: Sequence[Path]) -> int:
    """Of pictures, as their headers have it."""
    total = 0
    for path in paths:
        with Image.open(path) as image:
            total += image.width * image.height
    return total


def _system(name: str) -> str:
    """What published figures go by: the longest beginning of the name that has some."""
    return max((known for known in PUBLISHED if name.startswith(known)), key=len, default="")


def _tell(event: Event) -> None:
    """A table without one of the pictures would lie."""
    if isinstance(event, Failed):
        raise UpscaleError(event.message)


def card_figures(card: Mapping[str, Any], kind: str) -> dict[int, float]:
    """By scale: the PSNR in the first line of a card that holds `kind`.

    >>> card_figures({"verified": ["PSNR on Set5 (float): x2 33.69 -> 37.64, x3 30.41 -> 33.77"]}, "Set5")
    {2: 37.64, 3: 33.77}
    >>> card_figures({"scale": 3, "verified": ["loads", "PSNR on Set5, bicubic -> this net: 30.41 -> 31.8"]}, "Set5")
    {3: 31.8}
    """
    for line in card.get("verified", []):
        if kind in line and "Set5" in line + kind.replace("INTER_CUBIC", "Set5"):
            found = re.findall(r"(?:x(\d) )?(?:bilinear )?\d\d\.\d+ -> (\d\d\.\d+)", line)
            return {int(scale or card["scale"]): float(figure) for scale, figure in found}
    return {}


def checkpoints(shared: Path) -> Iterator[Checkpoint]:
    """Trained ones: files with a card, goldens whose weights are real, and what comes along."""
    for folder in ("weights", "weights-more"):
        for path in sorted((shared / folder).glob("*.safetensors")):
            yield Checkpoint(path.stem, str(path), _read(path.with_suffix(".json")))
    for path in sorted((shared / "goldens").glob("*/weights.safetensors")):
        card = _read(path.with_name("card.json"))
        if str(card.get("weights", "")).startswith("real"):
            licence = card.get("source", {}).get("licence", "")
            yield Checkpoint(path.parent.name, str(path), {"licence": licence, **card})
    for model in dict.fromkeys(spec.model for spec in MODELS if locate(spec)):
        licence = next(spec.licence for spec in MODELS if spec.model == model)
        yield Checkpoint(f"{model} (by name)", model, {"licence": licence})


def without_weights(shared: Path) -> Iterator[Figures]:
    """Systems that nobody here has trained weights of."""
    for path in sorted((shared / "goldens").glob("*/card.json")):
        card = _read(path)
        seeded = str(card.get("weights", "")).startswith(("weights are seeded", "none"))
        if seeded and "weights-more/" not in str(card.get("real_weights", "")):
            yield {
                "name": path.parent.name, "system": card["system"], "licence": card["source"]["licence"],
                "why": "no trained weights to be had here",
            }  # fmt: skip


def _read(path: Path) -> Mapping[str, Any]:
    facts: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return facts


# The page


def tables(rows: Sequence[Figures], untrained: Sequence[Figures]) -> str:
    """Markdown."""
    measured = [row for row in rows if "here" in row]
    lines = [
        "| checkpoint | net | year | scale | measured with | parameters | multiply-adds per LR pixel | Set5, card | "
        "Set14 | B100 | published: Set5, Set14, B100 | s | licence |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_line(row) for row in measured),
    ]
    notes = {row["name"]: row["why"] for row in measured if row["why"]}
    lines += ["", "### What is behind a figure", "", *(f"- `{name}`: {why}" for name, why in notes.items())]
    missed = [row for row in measured if _misses(row)]
    lines += [
        "",
        f"Farther than {TOLERANCE} dB from the card: " + (", ".join(_named(row) for row in missed) or "none") + ".",
    ]
    sources = {row["source"] for row in measured if row.get("source")}
    lines += ["", "Published figures: " + "; ".join(sorted(sources)) + "."]
    failing = [row for row in rows if "fails" in row]
    if failing:
        lines += ["", "### What does not load", "", *(f"- `{row['name']}`: {row['fails']}" for row in failing)]
    lines += ["", "### Without trained weights", "", "| net | system | licence of the reference | weights |"]
    lines += ["| --- | --- | --- | --- |"]
    lines += [f"| {one['name']} | {one['system']} | {_short(one['licence'])} | {one['why']} |" for one in untrained]
    return "\n".join(lines) + "\n"


def _line(row: Figures) -> str:
    here, card = row["here"], row["card"]
    beside = f"{here['Set5']:.2f}" + (f", {card:.2f}" if card else "")
    others = [f"{here[name]:.2f}" if name in here else "" for name in SETS[1:]]
    published = " / ".join(f"{row['published'][name]:.2f}" for name in SETS if row["published"].get(name))
    way = f"`{row['way']}`" if row["way"] else ""
    parameters = f"{row['parameters']:,}" if "parameters" in row else ""
    cells = [
        row["name"], row.get("net", ""), row.get("year") or "", f"x{row['scale']}", way, parameters, f"{row['macs']:,}",
        beside, *others, published, f"{row['seconds']:.2f}", _short(row["licence"]),
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def _named(row: Figures) -> str:
    return f"{row['name']} x{row['scale']} ({row['here']['Set5']:.2f} for {row['card']:.2f})"


def _misses(row: Figures) -> bool:
    return bool(row["card"]) and abs(row["here"]["Set5"] - row["card"]) > TOLERANCE + 0.005  # a card has two decimals


def _short(licence: str) -> str:
    """A card's sentence about a licence, as far as a table has room for it."""
    return re.split(r"[;(,]", licence)[0].strip().replace("|", "/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=report.SHARED)
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--page", action="store_true", help="make the tables of the JSON that is there")
    asked = parser.parse_args()
    if asked.page:
        kept = report.json_of("family")
        return write_page(kept["rows"], kept["without_weights"])
    names = SETS[:1] if asked.quick else SETS
    sets = {name: pictures_in(asked.shared / "eval" / name) for name in names}
    if not asked.whole and "B100" in sets:
        sets["B100"] = sets["B100"][:FIRST]
    bench = Bench(sets, asked.engine, float("inf") if asked.whole else LIMIT)
    chosen = asked.only or (QUICK if asked.quick else ["*"])
    rows = []
    for checkpoint in checkpoints(asked.shared):
        if any(fnmatch.fnmatch(checkpoint.name, pattern) for pattern in chosen):
            for row in bench.rows(checkpoint):
                rows.append(row)
                print(json.dumps(row), flush=True)
    if asked.quick:
        return None
    if asked.only:
        kept = report.json_of("family")
        rows = renewed(kept["rows"], rows, [checkpoint.name for checkpoint in checkpoints(asked.shared)])
    untrained = list(without_weights(asked.shared))
    pictures = {name: len(paths) for name, paths in sets.items()}
    question = "What is every net of the family worth, beside the figure on its card and the published one?"
    result = {"pictures": pictures, "engine": asked.engine, "rows": rows, "without_weights": untrained}
    report.write("family", question, result)
    return write_page(rows, untrained)


def renewed(kept: Sequence[Figures], found: Sequence[Figures], names: Sequence[str]) -> list[Figures]:
    """What was known, with the rows of some checkpoints in place of theirs, in the order of all names."""
    measured = {row["name"] for row in found}
    others = [row for row in kept if row["name"] not in measured and row["name"] in names]
    return sorted([*others, *found], key=lambda row: names.index(row["name"]))


def write_page(rows: Sequence[Figures], untrained: Sequence[Figures]) -> None:
    """Puts the tables between the page's marks."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(report.with_tables(page, tables(rows, untrained), START, STOP), encoding="utf-8")


if __name__ == "__main__":
    main()
