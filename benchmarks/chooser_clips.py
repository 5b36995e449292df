"""Which net suits a clip, by its codec and how many bits it has for a pixel; what the choice without -m is worth.

    python -m benchmarks.chooser_clips --eval FOLDER [--rows FILE] [--quick]

Views that move over photographs (Kodak24) are shrunk to a half in two ways and encoded by seven codecs at seven
qualities, or not at all; the nets upscale some frames, and are measured against the original. By one half of the
photographs those limits of bits per pixel are found, above which the nets for clean pictures are the better ones, the
usual one and the fast one together; the other half says what the choice is worth. Writes benchmarks/chooser_clips.json.

--rows keeps what was measured. --quick takes two photographs and writes nothing.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from upscale_cli.evaluation.cases import pictures_in
from upscale_cli.evaluation.metrics import Shrinking, crop_border, full_luma, psnr, resized, to_8_bit
from upscale_cli.evaluation.reference import read_picture
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.models.registry import rows_of
from upscale_cli.models.resolve import CLIP_LIMITS, FAST_CLIP_NETS, USUAL_CLIP_NETS, ClipNets

SCALE = 2
FRAMES = 24
MEASURED = (11, 20)
STEP = 3
"""HR pixels that the view moves by from frame to frame, across and down: it lies at every phase of the LR grid."""

WIDTH, HEIGHT = 512, 352
KERNELS: tuple[Shrinking, ...] = ("bicubic", "area")
PHOTOS = 8

MARGIN = 0.1
"""dB that the clean net has to be better by: on what was shrunk without antialiasing it is worse by two and more."""

WAYS: Mapping[str, ClipNets] = {"usual": USUAL_CLIP_NETS, "realtime": FAST_CLIP_NETS}
NETS = (*(net for way in WAYS.values() for net in (way.clean, way.compressed)), "espcn", "espcn-robust")
USUAL = USUAL_CLIP_NETS.compressed
UNCODED = "none"

Plane = NDArray[np.uint8]


def _by_crf(preset: str) -> Callable[[int], dict[str, str]]:
    return lambda crf: {"preset": preset, "crf": str(crf), "threads": "1"}


def _by_quantiser(quantiser: int) -> dict[str, str]:
    return {"qmin": str(quantiser), "qmax": str(quantiser)}


ENCODERS: Mapping[str, tuple[str, Callable[[int], dict[str, str]], Sequence[int]]] = {
    "h264": ("libx264", _by_crf("veryfast"), (4, 8, 12, 16, 20, 24, 30)),
    "hevc": ("libx265", lambda crf: {**_by_crf("veryfast")(crf), "x265-params": "log-level=none"},
             (4, 8, 12, 16, 20, 24, 30)),
    "vp9": ("libvpx-vp9", lambda crf: {"deadline": "realtime", "cpu-used": "6", "crf": str(crf), "b": "0"},
            (4, 10, 16, 22, 28, 36, 46)),
    "av1": ("libsvtav1", lambda crf: {"preset": "10", "crf": str(crf), "svtav1-params": "lp=1"},
            (4, 10, 16, 22, 28, 36, 46)),
    "mpeg4": ("mpeg4", _by_quantiser, (1, 2, 3, 4, 5, 7, 10)),
    "mpeg2video": ("mpeg2video", _by_quantiser, (1, 2, 3, 4, 5, 7, 10)),
    "mjpeg": ("mjpeg", _by_quantiser, (1, 2, 3, 4, 5, 7, 10)),
}  # fmt: skip
"""By the decoder's name: the encoder, its options by quality, and the qualities."""


@dataclass(frozen=True, slots=True)
class Row:
    """A clip: what it is, and PSNR of luma by each net."""

    photo: str
    kernel: str
    codec: str
    quality: int
    bits_per_pixel: float
    values: Mapping[str, float]

    def gain(self, net: str, over: str) -> float:
        """dB that a net is better by than another."""
        return self.values[net] - self.values[over]


def views(luma: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """A view of 512 x 352 that moves over a picture, to and fro."""
    height, width = luma.shape
    for number in range(FRAMES):
        top, left = (
            abs((STEP * number + side // 2) % (2 * side) - side) if side else 0
            for side in (height - HEIGHT, width - WIDTH)
        )
        yield luma[top : top + HEIGHT, left : left + WIDTH]


def through(frames: Sequence[Plane], codec: str, quality: int) -> tuple[list[Plane], int]:
    """Luma, encoded with neutral chroma and decoded again, and how many bytes it took."""
    name, options, _ = ENCODERS[codec]
    height, width = frames[0].shape
    encoder: Any = av.CodecContext.create(name, "w")
    form = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    encoder.width, encoder.height, encoder.pix_fmt = width, height, form
    encoder.time_base, encoder.framerate, encoder.options = Fraction(1, 25), Fraction(25), options(quality)
    packets = []
    for number, luma in enumerate(frames):
        planes = np.concatenate((luma, np.full((height // 2, width), 128, np.uint8)))
        frame = av.VideoFrame.from_ndarray(planes, format=form)
        frame.pts, frame.time_base = number, Fraction(1, 25)
        packets += encoder.encode(frame)
    packets += list(encoder.encode(None))
    decoder: Any = av.CodecContext.create(codec if codec != "av1" else "libdav1d", "r")
    decoder.extradata = encoder.extradata
    found = [frame for packet in packets for frame in decoder.decode(packet)] + list(decoder.decode(None))
    found.sort(key=lambda frame: frame.pts)
    decoded = [frame.to_ndarray()[:height, :width] for frame in found]
    assert len(decoded) == len(frames), (codec, quality, len(decoded))
    return decoded, sum(packet.size for packet in packets)


def measure(photos: Sequence[Path], kept: Path | None) -> list[Row]:
    """The rows of all clips.

    Args:
        kept: a JSON file with what was measured before, by photograph and net.
    """
    before: dict[str, dict[str, dict[str, float]]] = {}
    if kept is not None and kept.exists():
        before = json.loads(kept.read_text(encoding="utf-8"))
    nets = {model: Upscaler(model, device="cpu", engine="torch", precision="fp32") for model in NETS}
    rows = []
    for photo in photos:
        luma = full_luma(read_picture(photo, print))
        luma = luma if luma.shape[1] > luma.shape[0] else luma.T
        hr = list(views(luma))
        for kernel in KERNELS:
            lr = [to_8_bit(resized(view, 1 / SCALE, kernel)).astype(np.uint8) for view in hr]
            for codec, quality in [(UNCODED, 0), *((codec, q) for codec, (_, _, qs) in ENCODERS.items() for q in qs)]:
                known = before.setdefault(f"{photo.stem}/{kernel}/{codec}/{quality}", {})
                wanted = {model: net for model, net in nets.items() if _identity(model) not in known}
                if wanted:
                    decoded, size = (
                        (lr, sum(one.size for one in lr)) if codec == UNCODED else through(lr, codec, quality)
                    )
                    for model, net in wanted.items():
                        value = float(np.mean([_psnr(net(decoded[at], SCALE), hr[at]) for at in MEASURED]))
                        known[_identity(model)] = {"psnr": round(value, 3)}
                    known["size"] = {"bits": round(8 * size / (FRAMES * lr[0].size), 4)}
                values = {model: known[_identity(model)]["psnr"] for model in nets}
                rows.append(Row(photo.stem, kernel, codec, quality, known["size"]["bits"], values))
        if kept is not None:
            kept.write_text(json.dumps(before), encoding="utf-8")
        print(photo.stem, flush=True)
    return rows


def _identity(model: str) -> str:
    """A model and its weights."""
    return " ".join([model, *(spec.sha256[:8] for spec in rows_of(model) if spec.scale == SCALE)])


def _psnr(sr: Plane, hr: NDArray[np.float64]) -> float:
    return psnr(crop_border(sr.astype(np.float64), SCALE), crop_border(hr, SCALE))


def limit_of(rows: Sequence[Row]) -> float | None:
    """Bits per pixel from which on the nets for clean clips are better than the others by `MARGIN`, by the sum of all
    gains; None: never."""
    steps = sorted({row.bits_per_pixel for row in rows})
    gains = {
        step: [
            row.gain(nets.clean, nets.compressed) - MARGIN
            for row in rows if row.bits_per_pixel >= step for nets in WAYS.values()
        ] for step in steps
    }  # fmt: skip
    best = max(steps, key=lambda step: sum(gains[step]))
    return round(best, 2) if sum(gains[best]) > 0 else None


def verdict(rows: Sequence[Row], nets: ClipNets, limit: float | None) -> dict[str, Any]:
    """What a limit is worth."""
    clean, compressed = (np.array([row.values[net] for row in rows]) for net in (nets.clean, nets.compressed))
    takes = np.array([limit is not None and row.bits_per_pixel >= limit for row in rows])
    took, best = np.where(takes, clean, compressed), np.maximum(clean, compressed)
    wrong = took < best
    return {
        "clips": len(rows),
        "takes_the_clean_percent": round(100 * float(takes.mean()), 1),
        "takes_the_best_percent": round(100 * float((~wrong).mean()), 1),
        "cost_of_a_wrong_choice_db": round(float((best - took)[wrong].mean()) if wrong.any() else 0.0, 2),
        "chosen": round(float(took.mean()), 2),
        "best_possible": round(float(best.mean()), 2),
        "always_the_clean": round(float(clean.mean()), 2),
        "always_the_compressed": round(float(compressed.mean()), 2),
    }


def main() -> None:
    """Writes benchmarks/chooser_clips.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eval", type=Path, default=report.SHARED / "eval", help="has Kodak24")
    parser.add_argument("--rows", type=Path, help="a JSON file: what was measured before, and is now")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    paths = pictures_in(given.eval / "Kodak24")
    photos = paths[:: len(paths) // PHOTOS][: 2 if given.quick else PHOTOS]
    rows = measure(photos, given.rows)
    fit = [row for row in rows if row.photo in {photo.stem for photo in photos[::2]}]
    held_out = [row for row in rows if row not in fit]
    limits = {codec: limit_of([row for row in fit if row.codec == codec]) for codec in ENCODERS}
    result = {
        "nets": {way: nets._asdict() for way, nets in WAYS.items()},
        "limits_bits_per_pixel": limits,
        "differs_from_the_limits_in_use": [codec for codec in ENCODERS if CLIP_LIMITS.get(codec) != limits[codec]],
        "held_out": {
            way: {
                codec: verdict([row for row in held_out if row.codec == codec], nets, limits[codec])
                for codec in ENCODERS
            }
            for way, nets in WAYS.items()
        },
        "by_quality": [
            {
                "codec": codec, "quality": quality,
                "bits_per_pixel": round(float(np.mean([row.bits_per_pixel for row in own])), 3),
                **{net: round(float(np.mean([row.values[net] for row in own])), 2) for net in NETS},
                **{f"gain_{kernel}": {
                    net: round(float(np.mean([row.gain(net, USUAL) for row in own if row.kernel == kernel])), 2)
                    for net in NETS if net != USUAL
                } for kernel in KERNELS},
            }
            for codec, qualities in {UNCODED: (0,), **{codec: one[2] for codec, one in ENCODERS.items()}}.items()
            for quality in qualities
            for own in [[row for row in rows if (row.codec, row.quality) == (codec, quality)]]
        ],
    }  # fmt: skip
    if given.quick:
        print(json.dumps(result, indent=2))
        return
    report.write(
        "chooser_clips",
        f"PSNR of luma, dB, x2, of nets on clips by codec and bits per pixel, and what they gain over {USUAL}, by how "
        f"LR was made; from which bits per pixel on, of two nets, the one for clean clips is {MARGIN} dB better than "
        "the one for compressed clips (by half of the photographs), and what these limits are worth (by the others).",
        result,
    )


if __name__ == "__main__":
    main()
