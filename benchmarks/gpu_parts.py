"""The parts of `gpu.py`, each a function of a `Setting` that gives what it found.

python -m benchmarks.gpu_parts PART cuda|cpu FOUND.json
"""

import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.gpu_setting import SETTINGS, Setting
from benchmarks.gpu_variants import variants
from benchmarks.nets import random_rrdbnet, row
from benchmarks.peers_nets import picture, weights
from benchmarks.report import REPOSITORY
from benchmarks.speed import share_of_a_product, tiled_net
from upscale_cli.models.interface import LoadedNet, Precision
from upscale_cli.models.loading import load_net

Found = dict[str, Any]

NEAREST_DB: Final = 50
SHARE: Final = 0.5
FPS: Final = 60

NETS: Final = (("realesrgan", 4), ("realesr-general", 4), ("espcn", 2))


def net_of(model: str, scale: int) -> tuple[LoadedNet, str]:
    """A net, and "real" or "random" for its weights.

    Raises:
        FileNotFoundError: there are no weights, and random ones say nothing about this net.
    """
    path = weights(row(model, scale))
    if path is not None:
        return load_net(path), "real"
    if model == "realesrgan":
        return random_rrdbnet(23), "random"
    raise FileNotFoundError(f"{model}: no weights")


def tests(setting: Setting) -> Found:
    """tests/test_cuda.py; without a GPU its tests are skipped."""
    environment = os.environ | ({"FAIL_WITHOUT_CUDA": "1"} if setting.is_cuda else {})
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "tests/test_cuda.py", "-q", f"--junitxml={report}", "-p",
                   "no:cacheprovider"]  # fmt: skip
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
        if not report.exists():
            raise RuntimeError(f"pytest: {(done.stderr or done.stdout).strip()[-300:]}")
        suite = next(ET.parse(report).getroot().iter("testsuite"))
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    bad = [
        f"{case.get('name')}: {(case.find(kind).get('message') or '')[:200]}"  # type: ignore[union-attr]
        for case in suite.iter("testcase")
        for kind in ("failure", "error")
        if case.find(kind) is not None
    ]
    return {**counts, "bad": bad, "met": not bad}


def nearness(setting: Setting) -> Found:
    """PSNR in dB of half precision against fp32 on the same device, and of its fp32 against the CPU's."""
    nets: Found = {}
    for model, scale in NETS:
        try:
            net, kind = net_of(model, scale)
        except FileNotFoundError as error:
            nets[model] = {"left_out": str(error)}
            continue
        side = min(setting.side, 256)
        lr = levels(side, luma=net.descriptor.channels == 1)
        answers = {
            name: tiled_net(net, precision, device).upscale(lr, np.float32)
            for name, precision, device in (
                ("half", half_of(setting), setting.device), ("full", "fp32", setting.device), ("cpu", "fp32", "cpu"),
            )
        }  # fmt: skip
        near = decibels(answers["half"], answers["full"])
        nets[model] = {
            "weights": kind,
            f"{setting.half}_to_fp32_db": near,
            "fp32_to_the_cpu_s_greatest_difference": float(np.abs(answers["full"] - answers["cpu"]).max()),
            "met": near >= NEAREST_DB,
        }
    return {"above_db": NEAREST_DB, "nets": nets}


def share(setting: Setting) -> Found:
    """realesrgan in half precision, from pixels to pixels, as a share of a plain product of two matrices."""
    net, kind = net_of("realesrgan", 4)
    found = share_of_a_product(
        net, setting.device, half_of(setting), setting.side, setting.matrix_side, 2 * setting.repeats
    )
    return {"weights": kind, **found, "at_least": SHARE, "met": found["share"] >= SHARE}


def alone(setting: Setting) -> Found:
    """Channels last, a CUDA graph and torch.compile, each alone and with channels last, on bare nets."""
    sizes = {"realesrgan": (setting.side // 2,) * 2, "espcn": (setting.height, setting.width)}
    found: Found = {}
    for model, scale in (("realesrgan", 4), ("espcn", 2)):
        net, kind = net_of(model, scale)
        found[model] = {"weights": kind, "picture": sizes[model], **variants(net, setting, *sizes[model])}
    return found


def clip(setting: Setting) -> Found:
    """espcn at scale 2 from file to file, with the settings of --realtime on a GPU, in turn with one ffmpeg command."""
    from benchmarks.clips import make_clip, pan
    from benchmarks.video_espcn import compared, nearness

    with tempfile.TemporaryDirectory() as folder:
        source = make_clip(Path(folder, "clip.mp4"), pan(setting.height, setting.width, setting.frames))
        found = compared(source, setting.device, setting.frames, min(setting.repeats, 3))
        if setting.is_cuda:
            found["fp16_to_fp32_worst_psnr_db"] = round(nearness(source), 1)
    return {**found, "at_least_fps": FPS, "met": found["espcn"]["fps"] >= FPS}


def codecs(setting: Setting) -> Found:
    """NVENC and NVDEC through our pipeline (`codec`, `hwaccel`), and ffmpeg alone with the same; the CPU's beside."""
    from benchmarks.gpu_codecs import codecs as measured

    return measured(setting)


def streams(setting: Setting) -> Found:
    """Two pictures at a time: on one CUDA stream and on two, and by one and two threads that share an `Upscaler`."""
    from benchmarks.gpu_streams import streams as measured

    return measured(setting)


def memory(setting: Setting) -> Found:
    """Memory runs out on purpose: the picture comes out all the same, and what the user reads."""
    from benchmarks.gpu_memory import memory as measured

    return measured(setting)


def half_of(setting: Setting) -> Precision:
    """Of the device."""
    return "fp16" if setting.half == "fp16" else "bf16"


def levels(side: int, *, luma: bool) -> NDArray[np.uint8]:
    """(side, side, C) of a real picture."""
    lr = picture(side, side, luma=luma)[0].transpose(1, 2, 0)
    return np.ascontiguousarray(np.rint(lr * 255).astype(np.uint8))


def decibels(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """PSNR, 1.0 for white; 140 at most."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return round(-10 * float(np.log10(max(error, 1e-14))), 1)


PARTS: Final[dict[str, Callable[[Setting], Found]]] = {
    part.__name__: part for part in (tests, nearness, share, alone, clip, codecs, streams, memory)
}


def facts(setting: Setting) -> Found:
    """Of the GPU and what drives it."""
    if not setting.is_cuda:
        return {"device": "cpu"}
    major, minor = torch.cuda.get_device_capability()
    return {
        "gpu": torch.cuda.get_device_name(),
        "capability": f"{major}.{minor}",
        "memory_gb": round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }


def main() -> None:
    """Runs one part and writes what it found."""
    name, device, path = sys.argv[1:]
    setting = SETTINGS[device]
    if setting.is_cuda and not torch.cuda.is_available():
        sys.exit("torch finds no CUDA device (a CPU build of torch, or no driver)")
    found = {**facts(setting), **PARTS[name](setting)}
    Path(path).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
