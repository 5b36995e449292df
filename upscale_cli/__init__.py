"""Upscale photos and clips with Real-ESRGAN and ESPCN.

    from upscale_cli import Upscaler
    sr = Upscaler("realesrgan")(image, scale=4)  # a PIL image or an array; the same kind comes back

    from upscale_cli import export_model, upscale_file, upscale_folder, upscale_frames, upscale_video
    upscale_file("photo.jpg", "large.jpg", scale=4, model="realesrgan")
    upscale_video("clip.mp4", "large.mp4")
    upscale_folder("photos", "large", recursive=True).failures
    export_model("realesrgan", "net.onnx")
    for frame in upscale_frames("clip.mp4"): ...  # frame.seconds, frame.planes, frame.to_rgb()
    load_model("net.safetensors").net(lr)  # a torch module in its reference's own range of values

What a name stands for is imported when it is first used, so that `import upscale_cli` costs nothing.
"""

from typing import TYPE_CHECKING, Any

from upscale_cli._version import __version__

if TYPE_CHECKING:
    from upscale_cli.api import upscale_file, upscale_folder, upscale_frames, upscale_video
    from upscale_cli.errors import UpscaleError
    from upscale_cli.export.exporter import export_model
    from upscale_cli.inference.sizing import Target
    from upscale_cli.inference.upscaler import Upscaler
    from upscale_cli.jobs.job import PhotoOptions
    from upscale_cli.jobs.video_facts import ClipOptions
    from upscale_cli.media.video.encoding import EncodeOptions
    from upscale_cli.media.video.reader_arguments import DecodeOptions
    from upscale_cli.models.bare import load_model

__all__ = [
    "ClipOptions", "DecodeOptions", "EncodeOptions", "PhotoOptions", "Target", "UpscaleError", "Upscaler",
    "__version__", "export_model", "load_model", "upscale_file", "upscale_folder", "upscale_frames", "upscale_video",
]  # fmt: skip

_HOMES = {
    "ClipOptions": "jobs.video_facts", "DecodeOptions": "media.video.reader", "EncodeOptions": "media.video.encoding",
    "PhotoOptions": "jobs.job", "Target": "inference.sizing", "UpscaleError": "errors",
    "Upscaler": "inference.upscaler",
    "export_model": "export.exporter", "load_model": "models.bare",
    "upscale_file": "api", "upscale_folder": "api", "upscale_frames": "api", "upscale_video": "api",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
