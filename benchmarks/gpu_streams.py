"""Two pictures at a time on one device."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_setting import Setting
from benchmarks.nets import row
from benchmarks.peers_nets import picture, weights
from benchmarks.report import alternating, ratio, summary
from upscale_cli import Upscaler
from upscale_cli.inference.backends.torch_eager import DTYPES
from upscale_cli.models.loading import build_net, load_net

PICTURES = 8


def streams(setting: Setting) -> dict[str, Any]:
    """photo-lite: bare on one CUDA stream and on two; through `Upscaler` by one thread and by two that share it."""
    side = min(setting.side, 256)
    settle = torch.cuda.synchronize if setting.is_cuda else (lambda: None)
    lr = np.rint(picture(side, side, luma=False)[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    upscaler = Upscaler("photo-lite", device=setting.device)
    expected = upscaler(lr, 4)
    wrong: list[int] = []

    def through(threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            for number, sr in enumerate(pool.map(lambda _: upscaler(lr, 4), range(PICTURES))):
                if np.abs(sr.astype(int) - expected).max() > 1:
                    wrong.append(number)

    runs = {"one_thread": lambda: through(1), "two_threads": lambda: through(2)}
    if setting.is_cuda:
        path = weights(row("photo-lite"))
        assert path is not None, "photo-lite is bundled"
        module = build_net(load_net(path)).eval().requires_grad_(False).to("cuda", DTYPES["fp16"])
        batch = torch.rand(1, 3, side, side, device="cuda", dtype=torch.float16)
        apart = [torch.cuda.Stream() for _ in range(2)]  # type: ignore[no-untyped-call]

        def bare(number: int) -> None:
            for turn in range(PICTURES):
                with (
                    torch.inference_mode(),
                    torch.cuda.stream(apart[turn % 2]) if number == 2 else contextlib.nullcontext(),
                ):
                    module(batch)

        runs |= {"one_stream": lambda: bare(1), "two_streams": lambda: bare(2)}
    seconds = alternating(runs, repeats=setting.repeats, settle=settle)
    found: dict[str, Any] = {name: summary(values) for name, values in seconds.items()}
    found["two_threads_to_one"] = ratio(seconds["two_threads"], seconds["one_thread"])
    if setting.is_cuda:
        found["two_streams_to_one"] = ratio(seconds["two_streams"], seconds["one_stream"])
    return {"pictures": PICTURES, "side": side, **found, "wrong_answers": len(wrong), "met": not wrong}
