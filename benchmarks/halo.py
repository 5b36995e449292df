"""What the halo of a net is worth on real weights and hard texture, and what it costs.

    python -m benchmarks.halo [NET ...] [--quick]

Strips of pictures as LR. A cut through a strip shows how far a net sees: what the part left of the cut is made into,
against the same columns of the whole, by their distance from the cut. From that follows, for any halo and overlap, the
PSNR that tiles of 128 pixels have against the whole picture; and what they cost. Nets whose halo is not their whole
field are then run in such tiles as well, along one axis. In fp32, on a CPU.
"""

import argparse
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.nets import checkpoint, row, trained
from benchmarks.report import SHARED, json_of, write
from upscale_cli.evaluation.metrics import psnr
from upscale_cli.inference.device import Device
from upscale_cli.inference.tile_layout import geometry_of
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.interface import LoadedNet
from upscale_cli.models.loading import load_net

FILES: Final = ("RealESRGAN_x4plus", "RealESRGAN_x4plus_anime_6B")
ROWS: Final = (
    ("realesr-general", 4), ("realesr-animevideo", 4), ("photo-lite", 4), ("espcn", 2), ("espcn-robust", 2),
)  # fmt: skip

TEXTURES: Final = {
    "gravel": "B100/86016", "fur": "Set14/baboon", "foxes": "B100/159008", "stones": "B100/175043",
    "stream": "Kodak24/kodim13", "houses": "Kodak24/kodim08",
}  # fmt: skip
IN_TILES: Final = ("gravel", "fur")
"""Of them, those that nets are run in tiles on: they show a cut from furthest."""

HEIGHT: Final = 64
WIDTH: Final = 336
CUT: Final = 168
"""LR pixels of a strip; of the part left of the cut."""

DISTANCES: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96)
MARGINS: Final = (0, 8, 16, 32, 48, 64, 72, 80, 88, 96, 104, 112, 128)
"""2 * halo + overlap, which is what work depends on."""

OVERLAPS: Final = (0, 16, 32)
WINDOWS: Final = (256, 384, 512, 1024)
TILE: Final = 128
FORMER_HALO: Final = 16
LIMIT_DB: Final = 50

Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut does to one strip.

    Attributes:
        texture: the strip.
        mean_square: by the SR column's distance from the cut, the mean square of the difference, in levels of 8 bits.
        worst: the greatest difference there, in levels.
    """

    texture: str
    mean_square: Pixels
    worst: Pixels


def main() -> None:
    """Every net with published weights that is on this machine."""
    parser = argparse.ArgumentParser()
    parser.add_argument("net", nargs="*", help="only these; the figures of others stay as they are")
    parser.add_argument("--quick", action="store_true", help="two textures, and the largest net left out")
    given = parser.parse_args()
    quick, report = given.quick, "halo_quick" if given.quick else "halo"
    torch.set_num_threads(2)
    textures = {name: strip(TEXTURES[name]) for name in (IN_TILES if quick else TEXTURES)}
    found = json_of(report).get("nets", {}) if given.net else {}
    for name, net in nets(quick=quick):
        if given.net and name not in given.net:
            continue
        begin = time.perf_counter()
        found[name] = measured(net, textures)
        print(name, f"{time.perf_counter() - begin:.0f} s", found[name].get("in_tiles"), flush=True)
        show(report, found)


def show(report: str, found: Mapping[str, Any]) -> None:
    """Writes what is there so far."""
    met = {
        name: min(one["psnr_db"] for one in facts["in_tiles"] if one["halo"] == facts["default"]["halo"])
        for name, facts in found.items()
        if "in_tiles" in facts
    }
    by_window = {name: worst_by_window(facts) for name, facts in found.items() if "in_tiles" in facts}
    lowest = {name: min(of_windows.values()) for name, of_windows in by_window.items()}
    write(
        report,
        f"How far a cut is seen, strips of {WIDTH} x {HEIGHT} LR pixels, fp32; tiles of {TILE} against the whole.",
        {
            "textures": TEXTURES,
            "distances": DISTANCES,
            "nets": found,
            "work_by_margin_and_window": {
                margin: {window: work(window, margin) for window in WINDOWS} for margin in MARGINS
            },
            "requirement": {
                "above_db": LIMIT_DB, "in_tiles_db": met, "worst_texture_db_by_window": by_window,
                "met": all(value > LIMIT_DB for value in (*met.values(), *lowest.values())),
            },
        },
    )  # fmt: skip


def worst_by_window(facts: Mapping[str, Any]) -> dict[int, float]:
    """dB of pictures in windows of several sides at the default, on the worst texture: the larger, the fewer edges."""
    halo, overlap = facts["default"]["halo"], facts["default"]["overlap"]
    in_tiles = next(one for one in facts["choices"] if (one["halo"], one["overlap"]) == (halo, overlap))
    margin = 2 * halo + overlap
    return {
        window: round(in_tiles["worst_db"] + 10 * math.log10((window - margin) / (TILE - overlap)), 1)
        for window in WINDOWS
    }


def nets(*, quick: bool) -> Iterator[tuple[str, LoadedNet]]:
    """By name."""
    for name in FILES[1:] if quick else FILES:
        path = SHARED / "weights-more" / f"{name}.safetensors"
        if path.is_file():
            yield name, load_net(path)
    for model, scale in ROWS:
        if checkpoint(row(model, scale)):
            yield f"{model}-x{scale}", trained(row(model, scale))


def strip(picture: str) -> Pixels:
    """The middle of a picture."""
    with Image.open(SHARED / "eval" / Path(picture).with_suffix(".png")) as image:
        left, top = (image.width - WIDTH) // 2, (image.height - HEIGHT) // 2
        return np.asarray(image.convert("RGB").crop((left, top, left + WIDTH, top + HEIGHT)))


def measured(net: LoadedNet, textures: dict[str, Pixels]) -> dict[str, Any]:
    """The figures of a net."""
    scale = net.descriptor.only_scale
    assert isinstance(scale, int)
    shape = geometry_of(net.descriptor, scale, TILE, None)
    wholes, cuts, seconds = {}, [], []
    for texture, lr in textures.items():
        begin = time.perf_counter()
        wholes[texture] = upscaled(net, lr, tile=lr.size)
        seconds.append(time.perf_counter() - begin)
        cuts.append(cut(texture, net, lr, wholes[texture], scale))
    facts: dict[str, Any] = {
        "default": {"halo": shape.halo, "overlap": shape.overlap, "exact": net.descriptor.exact},
        "seconds_per_megapixel": round(min(seconds) * 1e6 / (HEIGHT * WIDTH)),
        "db_by_distance": {one.texture: by_distance(one.mean_square, scale) for one in cuts},
        "worst_level_by_distance": {
            one.texture: [round(float(one.worst[distance * scale :].max()), 1) for distance in DISTANCES]
            for one in cuts
        },
        "choices": list(choices(cuts, scale)),
        "work_of_the_default": {window: work(window, 2 * shape.halo + shape.overlap) for window in WINDOWS},
    }  # fmt: skip
    if not net.descriptor.exact:
        facts["in_tiles"] = [
            in_tiles(net, texture, textures[texture], wholes[texture], halo)
            for texture in IN_TILES
            for halo in (shape.halo, FORMER_HALO)
        ]
    return facts


def cut(texture: str, net: LoadedNet, lr: Pixels, whole: Pixels, scale: int) -> Cut:
    """What becomes of the columns left of a cut."""
    left = upscaled(net, lr[:, :CUT], tile=lr.size)
    difference = ((left - whole[:, : CUT * scale]) * 255)[:, ::-1].astype(np.float64)
    return Cut(texture, (difference**2).mean(axis=(0, 2)), np.abs(difference).max(axis=(0, 2)))


def by_distance(mean_square: Pixels, scale: int) -> list[float]:
    """dB of 4 LR columns from each of DISTANCES on."""
    return [
        decibels(mean_square[distance * scale : (distance + 4) * scale].mean())
        for distance in DISTANCES
    ]  # fmt: skip


def choices(cuts: Sequence[Cut], scale: int) -> Iterator[dict[str, Any]]:
    """For each margin, halo and overlap: dB of tiles over a picture, on the worst texture and on the middle one."""
    for margin in MARGINS:
        for overlap in OVERLAPS:
            halo = (margin - overlap) // 2
            if halo < 0:
                continue
            by_texture = {one.texture: tiles_db(one.mean_square, halo, overlap, TILE, scale) for one in cuts}
            worst = min(by_texture, key=lambda texture: by_texture[texture])
            middle = round(float(np.median(list(by_texture.values()))), 1)
            yield {
                "margin": margin, "halo": halo, "overlap": overlap,
                "worst_db": by_texture[worst], "on": worst, "median_db": middle,
            }  # fmt: skip


def tiles_db(mean_square: Pixels, halo: int, overlap: int, tile: int, scale: int) -> float:
    """dB of a picture in tiles, by what one cut does.

    Each of two neighbours counts as `blend_weights` says: not at all up to the halo, then rising as sin squared.
    """
    distance = (np.arange(len(mean_square)) + 0.5) / scale
    risen = np.clip((distance - halo) / overlap, 0, 1) if overlap else (distance >= halo).astype(float)
    weight = np.where(distance >= halo, np.sin(risen * math.pi / 2) ** 2, 0)
    one_edge = float((weight**2 * mean_square).sum()) / scale  # LR columns times levels squared
    edges = 2 * 2 / (tile - overlap)  # both neighbours, both axes
    return decibels(one_edge * edges)


def decibels(mean_square: float) -> float:
    """Of levels of 8 bits; 120 stands for no difference."""
    return round(min(10 * math.log10(255**2 / max(float(mean_square), 1e-12)), 120.0), 1)


def work(window: int, margin: int) -> float | None:
    """How often a pixel is computed, for windows of that side; None where nothing is left to keep.

    Args:
        margin: LR pixels of a side that are not kept, or kept by two: 2 * halo + overlap.
    """
    kept = window - margin
    return round((window / kept) ** 2, 2) if kept > 0 else None


def in_tiles(net: LoadedNet, texture: str, lr: Pixels, whole: Pixels, halo: int) -> dict[str, Any]:
    """The strip in tiles, by the program's own tiling and blending."""
    begin = time.perf_counter()
    tiled = upscaled(net, lr, tile=TILE, halo=halo)
    seconds = time.perf_counter() - begin
    as_levels, whole_levels = (np.rint(sr * 255) for sr in (tiled, whole))
    return {
        "texture": texture, "halo": halo, "psnr_db": round(psnr(as_levels, whole_levels), 1),
        "max_levels": int(np.abs(as_levels - whole_levels).max()), "seconds": round(seconds, 1),
    }  # fmt: skip


def upscaled(net: LoadedNet, lr: Pixels, *, tile: int, halo: int | None = None) -> Pixels:
    """(H, W, 3) of 8 bits to float32 in [0, 1], with the overlap of the net."""
    return TiledNet(net, Device("cpu"), "fp32", tile=tile, halo=halo, say=print).upscale(lr, np.float32)


if __name__ == "__main__":
    main()
