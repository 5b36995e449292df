"""Which net suits a clip, by its codec and how many bits it has for a pixel; what the choice without -m is worth.

    python -m benchmarks.chooser_clips --eval FOLDER [--quick]

Views that move over photographs (Kodak24) are shrunk to a half in two ways and encoded by seven codecs at seven
qualities; both nets upscale some frames, and are measured against the original. By one half of the photographs that
limit of bits per pixel is found, above which the net for clean pictures is the better one; the other half says what the
choice is worth. Writes benchmarks/chooser_clips.json. --quick takes two photographs and writes nothing.
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
from upscale_cli.models.resolve import CLEAN_CLIP_MODEL, CLIP_LIMITS, CLIP_MODEL

SCALE = 2
FRAMES = 24
MEASURED = (11, 20)
STEP = 3
"""HR pixels that the view moves by from frame to frame, across and down: it lies at every phase of the LR grid."""

WIDTH, HEIGHT = 512, 352
KERNELS: tuple[Shrinking, ...] = ("bicubic", "area")
PHOTOS = 4

MARGIN = 0.1
"""dB that the clean net has to be better by: on what was shrunk without antialiasing it is worse by two and more."""

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
    """A clip: what it is, and PSNR of luma by either net."""

    photo: str
    kernel: str
    codec: str
    quality: int
    bits_per_pixel: float
    clean: float
    robust: float


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


def measure(photos: Sequence[Path]) -> list[Row]:
    nets = {model: Upscaler(model, device="cpu", engine="torch", precision="fp32")
            for model in (CLEAN_CLIP_MODEL, CLIP_MODEL)}  # fmt: skip
    rows = []
    for photo in photos:
        luma = full_luma(read_picture(photo, print))
        luma = luma if luma.shape[1] > luma.shape[0] else luma.T
        hr = list(views(luma))
        for kernel in KERNELS:
            lr = [to_8_bit(resized(view, 1 / SCALE, kernel)).astype(np.uint8) for view in hr]
            for codec, (_, _, qualities) in ENCODERS.items():
                for quality in qualities:
                    decoded, size = through(lr, codec, quality)
                    values = {
                        model: float(np.mean([_psnr(net(decoded[at], SCALE), hr[at]) for at in MEASURED]))
                        for model, net in nets.items()
                    }
                    bits = 8 * size / (FRAMES * lr[0].size)
                    rows.append(Row(photo.stem, kernel, codec, quality, round(bits, 4),
                                    round(values[CLEAN_CLIP_MODEL], 3), round(values[CLIP_MODEL], 3)))  # fmt: skip
        print(photo.stem, flush=True)
    return rows


def _psnr(sr: Plane, hr: NDArray[np.float64]) -> float:
    return psnr(crop_border(sr.astype(np.float64), SCALE), crop_border(hr, SCALE))


def limit_of(rows: Sequence[Row]) -> float | None:
    """Bits per pixel from which on the clean net is better by `MARGIN`, by the sum of all gains; None: never."""
    steps = sorted({row.bits_per_pixel for row in rows})
    worth = {step: sum(_gain(row) - MARGIN for row in rows if row.bits_per_pixel >= step) for step in steps}
    best = max(worth, key=lambda step: worth[step])
    return round(best, 2) if worth[best] > 0 else None


def _gain(row: Row) -> float:
    return row.clean - row.robust


def verdict(rows: Sequence[Row], limit: float | None) -> dict[str, Any]:
    """What a limit is worth."""
    clean, robust = (np.array([getattr(row, name) for row in rows]) for name in ("clean", "robust"))
    takes_clean = np.array([limit is not None and row.bits_per_pixel >= limit for row in rows])
    took, best = np.where(takes_clean, clean, robust), np.maximum(clean, robust)
    wrong = took < best
    return {
        "clips": len(rows),
        "takes_the_best_percent": round(100 * float((~wrong).mean()), 1),
        "cost_of_a_wrong_choice_db": round(float((best - took)[wrong].mean()) if wrong.any() else 0.0, 2),
        "chosen": round(float(took.mean()), 2),
        "best_possible": round(float(best.mean()), 2),
        "always_clean": round(float(clean.mean()), 2),
        "always_robust": round(float(robust.mean()), 2),
    }


def main() -> None:
    """Writes benchmarks/chooser_clips.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eval", type=Path, default=report.SHARED / "eval", help="has Kodak24")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    paths = pictures_in(given.eval / "Kodak24")
    photos = paths[:: len(paths) // PHOTOS][: 2 if given.quick else PHOTOS]
    rows = measure(photos)
    fit = [row for row in rows if row.photo in {photo.stem for photo in photos[::2]}]
    held_out = [row for row in rows if row not in fit]
    limits = {codec: limit_of([row for row in fit if row.codec == codec]) for codec in ENCODERS}
    result = {
        "limits_bits_per_pixel": limits,
        "differs_from_the_limits_in_use": [codec for codec in limits if CLIP_LIMITS.get(codec) != limits[codec]],
        "held_out": {
            codec: verdict([row for row in held_out if row.codec == codec], limits[codec]) for codec in ENCODERS
        },
        "by_quality": [
            {
                "codec": codec, "quality": quality,
                **{name: round(float(np.mean([getattr(row, name) for row in own])), 3)
                   for name in ("bits_per_pixel", "clean", "robust")},
                **{f"gain_{kernel}": round(float(np.mean([_gain(row) for row in own if row.kernel == kernel])), 2)
                   for kernel in KERNELS},
            }
            for codec, (_, _, qualities) in ENCODERS.items()
            for quality in qualities
            for own in [[row for row in rows if (row.codec, row.quality) == (codec, quality)]]
        ],
    }  # fmt: skip
    if given.quick:
        print(json.dumps(result, indent=2))
        return
    report.write(
        "chooser_clips",
        f"PSNR of luma, dB, of {CLEAN_CLIP_MODEL} (clean) and {CLIP_MODEL} (robust), x2, on clips by codec and bits "
        "per pixel; which limit of bits per pixel tells them apart (by half of the photographs), and what it is worth "
        "(by the others).",
        result,
    )


if __name__ == "__main__":
    main()
