"""Upscale photos with Real-ESRGAN and ESPCN.

    from upscale_cli import Upscaler
    sr = Upscaler("realesrgan")(image, scale=4)  # a PIL image or an array; the same kind comes back

    from upscale_cli import upscale_file
    upscale_file("photo.jpg", "large.jpg", scale=4, model="realesrgan")

What a name stands for is imported when it is first used, so that `import upscale_cli` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upscale_cli.api import upscale_file
    from upscale_cli.chain import Target
    from upscale_cli.errors import UpscaleError
    from upscale_cli.upscaler import Upscaler

__version__ = "0.1.0"
__all__ = ["Target", "UpscaleError", "Upscaler", "__version__", "upscale_file"]

_HOMES = {"Upscaler": "upscaler", "Target": "chain", "UpscaleError": "errors", "upscale_file": "api"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
