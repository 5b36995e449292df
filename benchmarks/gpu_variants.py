"""A bare net by plain torch, and what channels last, a CUDA graph and torch.compile do for it, each alone."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_setting import Setting
from benchmarks.report import alternating, ratio, summary
from upscale_cli.inference.backends.torch_eager import DTYPES
from upscale_cli.inference.cuda_frames import WARM_UPS
from upscale_cli.models.interface import LoadedNet
from upscale_cli.models.loading import build_net

Run = Callable[[], Tensor]


def variants(net: LoadedNet, setting: Setting, height: int, width: int) -> dict[str, Any]:
    """Seconds of each variant, its ratio to plain torch, and the greatest difference of its answer.

    One that cannot be made is recorded with the reason.
    """
    dtype = DTYPES["fp16" if setting.half == "fp16" else "bf16"]
    module = build_net(net).eval().requires_grad_(False).to(setting.device, dtype)
    other = build_net(net).eval().requires_grad_(False).to(setting.device, dtype)
    other.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks the keyword
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(1, net.descriptor.channels, height, width, generator=generator).to(setting.device, dtype)
    wide = lr.contiguous(memory_format=torch.channels_last)

    def compiled(one: torch.nn.Module, given: Tensor) -> Run:
        made = torch.compile(one)
        return lambda: made(given)

    makers: dict[str, Callable[[], Run]] = {
        "plain": lambda: lambda: module(lr),
        "channels_last": lambda: lambda: other(wide),
        "graph": lambda: recorded(module, lr),
        "channels_last_graph": lambda: recorded(other, wide),
        "compile": lambda: compiled(module, lr),
        "channels_last_compile": lambda: compiled(other, wide),
    }
    if not setting.is_cuda:  # a graph needs a GPU, and to compile takes minutes here
        makers = {name: makers[name] for name in ("plain", "channels_last")}
    settle = torch.cuda.synchronize if setting.is_cuda else (lambda: None)
    found: dict[str, Any] = {}
    ready: dict[str, Run] = {}
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=True):
        expected = module(lr).float()
        for name, make in makers.items():
            try:
                run = make()
                difference = float((run().float() - expected).abs().max())
            except Exception as error:  # torch.compile fails in many ways; whichever it is, the others go on
                found[name] = {"failed": f"{type(error).__name__}: {str(error).strip()[:200]}"}
                continue
            ready[name], found[name] = run, {"greatest_difference": round(difference, 5)}
        seconds = alternating(ready, repeats=setting.repeats, settle=settle)
    for name, values in seconds.items():
        found[name] |= {**summary(values), "to_plain": ratio(values, seconds["plain"])}
    return found


def recorded(module: torch.nn.Module, lr: Tensor) -> Run:
    """The net as one CUDA graph.

    Raises:
        RuntimeError: something in it cannot be recorded.
    """
    apart = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    apart.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(apart):
        for _ in range(WARM_UPS):
            module(lr)
    torch.cuda.current_stream().wait_stream(apart)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        sr = module(lr)

    def replay() -> Tensor:
        graph.replay()
        answer: Tensor = sr
        return answer

    return replay
