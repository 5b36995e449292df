"""Which device, which precision, and what to do when memory runs out. Imports torch where it is asked something."""

import ctypes
import functools
import itertools
import os
import platform
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

from upscale_cli.errors import DeviceError, OptionError
from upscale_cli.inference import cgroups
from upscale_cli.inference.options import BY_OPENVINO, Wanted
from upscale_cli.messages import option
from upscale_cli.models.interface import Precision

ELEMENT_BYTES: Final[dict[Precision, int]] = {"fp16": 2, "bf16": 2, "fp32": 4, "int8": 4}
"""Of a value in that precision; of int8's the layers that remain in fp32 decide."""

CPU_BUDGET: Final = 1536 * 2**20
"""Bytes of activations at a time on the CPU. More makes nothing faster, and other programs need memory too."""

GPU_SHARE: Final = 0.7
"""Part of the free GPU memory that a tile may be planned for; convolution workspaces and fragmentation take some."""

_CUDNN_LOCK = threading.RLock()
"""cuDNN's settings belong to the process; two threads must not restore each other's. It is held for the launches."""

_DEVICE_ERRORS: Final = ("cuda error", "cudnn error", "cublas error", "hip error", "mps backend")
"""What torch's errors contain, in lower case, when it is the device that fails."""

KERNELS: Final = 24
"""Compiled by oneDNN, which runs torch's convolutions on a CPU, that it keeps. By itself it keeps 1024, each for one
shape: a thousand pictures of different sizes were measured to leave 0.2 MB each. Fewer make no net slower that we
have: to compile one is little beside running it once."""

os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KERNELS))  # it is read when the first is compiled

_GPU_TRACES: Final = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/kfd", "/dev/dxg")

TRIM_EVERY: Final = 8
"""Pictures after which the heap is tidied up: often enough for its size, too seldom to be seen in the time."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEEP: Final = 2**30


class Device(str):
    """A device by torch's name for it: "cpu", "mps", "cuda:0". torch takes it as it is, and need not be loaded."""

    __slots__ = ()

    @property
    def type(self) -> str:
        """Its kind: "cpu", "mps" or "cuda"."""
        return self.partition(":")[0]


CPU: Final = Device("cpu")


def may_have_gpu() -> bool:
    """Whether there is a trace of a GPU that torch could use. Where there is none, torch need not be loaded to say so.

    The devices of NVIDIA's and AMD's drivers on Linux, and of Windows' own within WSL; elsewhere torch has to know.
    """
    if sys.platform != "linux" or "torch" in sys.modules:
        return True
    return any(os.path.exists(path) for path in _GPU_TRACES)


def choose_device(name: str) -> Device:
    """Where torch is to keep pictures: the device a user asked for, auto, cpu, mps, cuda or cuda:N, or the host.

    Raises:
        OptionError: no such kind of device.
        DeviceError: the kind exists, but not on this machine.
    """
    if name.strip().lower() in BY_OPENVINO:  # pictures stay on the host
        return CPU
    match = re.fullmatch(r"(auto|cpu|mps|cuda)(?::(\d+))?", name.strip().lower())
    if not match or (match[2] is not None and match[1] != "cuda"):
        raise OptionError(
            f"{option('device', name)} is unknown. Choose auto, cpu, mps, cuda, cuda:N, {' or '.join(BY_OPENVINO)}."
        )
    kind, number = match[1], int(match[2] or 0)
    if kind == "cpu" or (kind == "auto" and not may_have_gpu()):
        return CPU
    import torch

    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if kind == "cuda" and number >= torch.cuda.device_count():
        raise DeviceError(_no_cuda(name))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(
            f"device mps needs an Apple GPU and a torch build for it. Choose {option('device', 'cpu')} or auto."
        )
    return Device(f"{kind}:{number}" if kind == "cuda" else kind)


def choose_devices(names: str) -> list[Device]:
    """The devices a user asked for: one, as `choose_device` has it; several GPUs ("cuda:0,cuda:1"), or "all" of them.

    Raises:
        OptionError: no such kind of device, or several that are not different GPUs.
        DeviceError: one of them is not on this machine.
    """
    if names.strip().lower() == "all":
        import torch

        return [Device(f"cuda:{number}") for number in range(torch.cuda.device_count())] or [choose_device("auto")]
    devices = [choose_device(name) for name in names.split(",")]
    if len(devices) == 1:
        return devices
    for device in devices:
        if device.type != "cuda":
            raise OptionError(
                f"{option('device', names)}: work is divided among GPUs only, and {device} is none. Leave it out."
            )
        if devices.count(device) > 1:
            raise OptionError(f"{option('device', names)}: {device} is named twice. Name it once.")
    return devices


def _no_cuda(name: str) -> str:
    import torch

    count = torch.cuda.device_count()
    if count:
        return f"device {name} is not there: this machine has cuda:0 to cuda:{count - 1}. Choose one of them."
    if torch.version.cuda is None and torch.version.hip is None:
        why, remedy = "this torch is a CPU build", "Install a CUDA build of torch"
    else:
        why, remedy = "torch finds no GPU (see `upscale doctor`)", "Check the driver"
    return f"device {name}: {why}. {remedy}, or choose {option('device', 'cpu')}."


def choose_precision(wanted: Wanted, device: Device, *, bits: int, bf16_is_close: bool) -> Precision:
    """The precision to compute in.

    Args:
        wanted: the user's choice; taken as it is unless "auto".
        bits: of the picture's channels. Beyond 8, half precision is too coarse: near 1.0 fp16 steps by 32 of 65,536.
        bf16_is_close: the net was measured to stay above 50 dB of fp32 in bfloat16.
    """
    if wanted != "auto":
        return wanted
    if bits > 8:
        return "fp32"
    if device.type == "cuda":
        return "fp16"
    if device.type == "cpu" and bf16_is_close and cpu_is_fast_at_bf16():
        return "bf16"
    return "fp32"


def cpu_is_fast_at_bf16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (AVX512-BF16 or AMX)."""
    return _cpu_has("avx512_bf16", "amx_bf16")


def cpu_multiplies_int8() -> bool:
    """Whether the processor adds up products of 8-bit integers in 32 bits (VNNI, AMX)."""
    return _cpu_has("avx512_vnni", "avx_vnni", "amx_int8")


def cpu_adds_pairs_of_int8() -> bool:
    """Whether it adds two of them in 16 bits before that (AVX2), at least.

    Which two that are is the engine's choice. Where they are too large together, pictures are wrong at bright edges; of
    the channels that OpenVINO takes together they are not, in our files (`training/neighbours.py`).
    """
    return _cpu_has("avx2")


def _cpu_has(*features: str) -> bool:
    """Whether it has one of them, by the names that Linux has for them."""
    if sys.platform == "linux":  # by the kernel, without torch
        return not set(features).isdisjoint(_processor().get("flags", "").split())
    import torch

    capabilities = getattr(torch.cpu, "get_capabilities", None)  # newer torch only
    found = capabilities() if capabilities is not None else {}
    return any(found.get(name) for name in features)


def processor_name() -> str:
    """The processor, as the system knows it."""
    return _processor().get("model name") or platform.processor() or platform.machine()


@functools.cache
def _processor() -> dict[str, str]:
    """What Linux tells about the first processor; nothing elsewhere."""
    facts: dict[str, str] = {}
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
        for line in itertools.takewhile(str.strip, lines):
            name, _, value = line.partition(":")
            facts[name.strip()] = value.strip()
    return facts


def free_host_memory() -> int:
    """Bytes the system could give without swapping, and the container, if this runs in one, without killing us."""
    available = int(psutil.virtual_memory().available)
    within = cgroups.free_memory()
    return available if within is None else min(available, within)


def tile_budget(device: Device) -> int:
    """Bytes of activations a tile may need on this device, now."""
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int((free + reusable) * GPU_SHARE)
    return min(free_host_memory() // 4, CPU_BUDGET)


def whole_budget() -> int:
    """Bytes of activations that a window may need on the CPU where each smaller one makes the result another."""
    return free_host_memory() // 4


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a failed computation asked for more memory than there is (any device)."""
    torch = sys.modules.get("torch")  # whose error it can only be where it is there
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text or "alloc_failed" in text
    )


def device_failure(error: BaseException, device: Device) -> DeviceError | None:
    """The message about a device that has failed; None where it is not the device that has."""
    if isinstance(error, DeviceError):
        return error
    text = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    accelerator = getattr(sys.modules.get("torch"), "AcceleratorError", None)  # newer torch only
    is_named = isinstance(error, RuntimeError) and any(name in text.lower() for name in _DEVICE_ERRORS)
    if not (is_named or (accelerator is not None and isinstance(error, accelerator))):
        return None
    return DeviceError(f"{device} has failed ({text}). Restart it, or choose another {option('device')}, such as cpu.")


@contextmanager
def memory_explained(device: Device) -> Iterator[None]:
    """What smaller tiles cannot avoid: the net itself, or a buffer, finds no room.

    Raises:
        DeviceError: instead of torch's own error.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(
            f"out of memory on {device}. Close other programs, or choose {option('device', 'cpu')} or a smaller model."
        ) from error


def release_memory(device: Device) -> None:
    """Gives cached blocks back, so that the next, smaller try finds room."""
    if device.type == "cpu":
        return
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@contextmanager
def computing(device: Device, precision: Precision) -> Iterator[None]:
    """The settings a tile is computed under, undone afterwards.

    Full fp32 (no TF32, whose 10 bits of mantissa are too few for 16-bit pictures) and cuDNN's own choice of
    algorithm, which pays because all tiles of a picture have one shape.
    """
    import torch

    if device.type == "cpu":
        keep_memory_between_layers()
    if device.type != "cuda":
        with torch.no_grad():
            yield
        return
    with (
        _CUDNN_LOCK,
        torch.no_grad(),
        torch.backends.cudnn.flags(
            enabled=True,
            benchmark=True,
            deterministic=torch.backends.cudnn.deterministic,
            allow_tf32=precision != "fp32",
        ),
        torch.cuda.device(device),
    ):
        yield


@functools.cache  # the setting stays, and to find out about glibc a file is read
def keep_memory_between_layers() -> None:
    """Lets glibc keep big freed blocks instead of returning them to the system after every layer.

    By default each activation above 32 MB is mapped afresh and its pages are zeroed on first touch, which was
    measured to take nearly half the time of SRVGGNetCompact on a CPU. Elsewhere than on glibc it does nothing.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _KEEP)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEEP)


_pictures_done = itertools.count(1)


def picture_done() -> None:
    """After each picture: now and then what lies free in glibc's heap, between what is used, goes back to the system.

    Pictures of different sizes tear it into pieces that fit no other, and `keep_memory_between_layers` keeps those.
    """
    if next(_pictures_done) % TRIM_EVERY == 0:
        give_back_memory()


def give_back_memory() -> None:
    """Returns what lies free in glibc's heap to the system, which takes milliseconds; elsewhere it does nothing."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
