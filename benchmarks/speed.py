"""How fast: realesr-general against the same net through spandrel's plain call, and seconds per LR megapixel.

    python -m benchmarks.speed [--device cuda] [--threads 2]

Needs spandrel, and UPSCALE_WEIGHTS with realesr-general-x4v3. On the CPU both run in turn with the same threads of
the same torch, spandrel in a process of its own: in ours it would profit from `keep_memory_between_layers`. On CUDA:
realesrgan (random weights) in fp16, as a share of what the GPU does in a plain product.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.nets import checkpoint, random_rrdbnet, row, trained
from benchmarks.report import alternating, photo, ratio, summary, write
from upscale_cli.inference.backends.torch_eager import DTYPES
from upscale_cli.inference.device import CPU, Device, choose_precision
from upscale_cli.inference.profile import profile
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.interface import LoadedNet, Precision

SIDE = 512
MATRIX_SIDE = 8192
REPEATS = 5

Pixels = NDArray[np.uint8]


def main() -> None:
    """Writes benchmarks/speed.json, or speed-cuda.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.device == "cuda":
        write("speed-cuda", f"{SIDE}x{SIDE} pictures, from pixels in host memory to pixels in host memory.", on_cuda())
    else:
        question = f"{SIDE}x{SIDE} pictures, from pixels to pixels, alternating, {arguments.threads} threads."
        write("speed", question, {"threads": arguments.threads, **on_cpu()})


def tiled_net(net: LoadedNet, precision: Precision, device: str = "cpu") -> TiledNet:
    """As `Upscaler` makes it without options."""
    return TiledNet(net, Device(device), precision, say=print)


def on_cpu() -> dict[str, Any]:
    """Ours and spandrel's in turn, then seconds per megapixel of each kind of net."""
    spec = row("realesr-general")
    lr = photo(SIDE, SIDE)
    auto = choose_precision("auto", CPU, bits=8, bf16_is_close="torch" in spec.bf16)
    peer = Peer(lr, torch.get_num_threads())
    fp32 = ours(tiled_net(trained(spec), "fp32"), lr)
    candidates: dict[str, Callable[[], object]] = {
        "spandrel": peer,
        "ours_fp32": fp32,
        "ours_bf16": ours(tiled_net(trained(spec), "bf16"), lr),
    }
    seconds = alternating(candidates, repeats=REPEATS)
    difference = int(np.abs(fp32().astype(int) - peer.sr.astype(int)).max())
    to_spandrel = ratio(seconds["ours_fp32"], seconds["spandrel"])
    return {
        "repeats": REPEATS,
        "realesr_general": {
            **{name: summary(values) for name, values in seconds.items()},
            "auto_precision": auto,
            "fp32_to_spandrel": to_spandrel,
            "bf16_to_spandrel": ratio(seconds["ours_bf16"], seconds["spandrel"]),
            "levels_of_difference_fp32": difference,
        },
        "seconds_per_lr_megapixel_fp32": per_megapixel(),
        "requirement": {"fp32_to_spandrel_at_most": 1.0, "met": to_spandrel <= 1.0},
    }


class Peer:
    """spandrel's plain call in a process of its own; calling it upscales and gives the seconds that took there."""

    def __init__(self, lr: Pixels, threads: int) -> None:
        path = checkpoint(row("realesr-general"))
        assert path is not None, "name the folder of realesr-general-x4v3 in UPSCALE_WEIGHTS"
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, str(path), lr, threads), daemon=True)
        self._process.start()
        self.sr: Pixels = self._ours.recv()

    def __call__(self) -> float:
        self._ours.send(None)
        return float(self._ours.recv())


def serve(pipe: "Connection[Any, Any]", path: str, lr: Pixels, threads: int) -> None:
    """The whole picture at once in fp32, as spandrel's README has it, and back to pixels; again for each message."""
    import spandrel

    torch.set_num_threads(threads)
    model = spandrel.ModelLoader(device="cpu").load_from_file(path).eval()

    def run() -> Pixels:
        with torch.inference_mode():
            unit = torch.from_numpy(lr).permute(2, 0, 1)[None].float() / 255
            sr: Pixels = (model(unit)[0].permute(1, 2, 0) * 255).round().byte().numpy()
            return sr

    pipe.send(run())
    while True:
        pipe.recv()
        begin = time.perf_counter()
        run()
        pipe.send(time.perf_counter() - begin)


def ours(upscaler: TiledNet, lr: Pixels) -> Callable[[], Pixels]:
    """Tiles, checks for blank tiles and rounding included."""

    def run() -> Pixels:
        sr: Pixels = upscaler.upscale(lr, np.uint8)
        return sr

    return run


def per_megapixel() -> dict[str, float]:
    """Seconds per LR megapixel, the best of three; the large nets on a smaller picture."""
    found = {}
    for name, net, side in (
        ("espcn_x4", trained(row("espcn")), 1024),
        ("espcn_x2", trained(row("espcn", 2)), 1024),
        ("realesr_animevideo_x4", trained(row("realesr-animevideo")), 384),
        ("realesrgan_anime_x4", random_rrdbnet(6), 192),
        ("realesrgan_x4", random_rrdbnet(23), 192),
        ("realesrgan_x2", random_rrdbnet(23, unshuffle=2), 256),
    ):
        run = ours(tiled_net(net, "fp32"), photo(side, side))
        seconds = alternating({name: run}, repeats=3)[name]
        found[name] = round(min(seconds) / (side**2 / 1e6), 2)
    return found


def on_cuda() -> dict[str, Any]:
    """realesrgan in fp16 against the fp16 product of two 8192-cubed matrices on the same GPU, in turn."""
    gpu = torch.cuda.get_device_name()
    return {"gpu": gpu, **share_of_a_product(random_rrdbnet(23), "cuda", "fp16", SIDE, MATRIX_SIDE, 4 * REPEATS)}


def share_of_a_product(
    net: LoadedNet, device: str, precision: Precision, side: int, matrix_side: int, repeats: int
) -> dict[str, Any]:
    """A net of scale 4, from pixels to pixels, in turn with the product of two square matrices of the same precision.

    Args:
        side: LR pixels of the square picture.
    """
    macs = profile(net, 4).macs * side**2
    dtype = DTYPES[precision]
    left, right = (torch.randn(matrix_side, matrix_side, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(left)
    seconds = alternating(
        {
            "net": ours(tiled_net(net, precision, device), photo(side, side)),
            "matrix_product": lambda: torch.matmul(left, right, out=product),
        },
        repeats=repeats,
        settle=torch.cuda.synchronize if device == "cuda" else lambda: None,
    )
    # Unrounded: a product is over in less than a millisecond.
    tflops = 2 * macs / statistics.median(seconds["net"]) / 1e12
    peak = 2 * matrix_side**3 / statistics.median(seconds["matrix_product"]) / 1e12
    return {
        "repeats": repeats,
        **{name: summary(values) for name, values in seconds.items()},
        "net_tflops_per_s": float(f"{tflops:.4g}"),
        "matrix_product_tflops_per_s": float(f"{peak:.4g}"),
        "share": float(f"{tflops / peak:.4g}"),
    }


if __name__ == "__main__":
    main()
