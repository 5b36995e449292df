"""Whether the owner's devices are there: asked where a service starts, and not by its first job."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final

from upscale_cli.errors import DeviceError, OptionError
from upscale_cli.messages import Message, marked, option

ALWAYS_HERE: Final = ("auto", "cpu")


def check_devices(names: Sequence[str], engine: str, *, called: str = "device") -> None:
    """
    Args:
        names: of the workers, as `UpscalerOptions.device`.
        engine: as `UpscalerOptions.engine`.
        called: the option that they were given by.

    Raises:
        OptionError: one of them is not here, or does not go with the engine; in the words of `upscale --device`.
    """
    for name in dict.fromkeys(names):
        if name in ALWAYS_HERE:
            continue
        # In a process of its own: to ask for a GPU loads torch, which this one then needs no more.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            try:
                message = pool.submit(refusal, name, engine).result()
            except BrokenProcessPool as error:
                raise OptionError(
                    f"{option(called, name)}: its driver ended the program that asked for it. Choose another device."
                ) from error
        if message is not None:
            raise OptionError(marked(message).replace(option("device", name), option(called, name)))


def refusal(name: str, engine: str) -> Message | None:
    """Why a device cannot be used; None where it can."""
    from upscale_cli.inference.options import BY_OPENVINO
    from upscale_cli.inference.upscaler import Upscaler

    try:
        upscaler = Upscaler("espcn", device=name, engine=engine)
        if name.strip().lower() in BY_OPENVINO:  # torch does not know these: whether they are here, their engine says
            upscaler.engines.choice(4, 8)
    except (OptionError, DeviceError) as error:
        return error.message
    return None
