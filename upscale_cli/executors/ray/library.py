"""Ray itself, with the settings that it reads as it is imported. The only file that imports ray.

Raises:
    OptionError: by the import, where Ray is not installed.
"""

import os

from upscale_cli.errors import OptionError
from upscale_cli.messages import option

try:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unless the user wants it
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns of what it will do one day
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a late call after the end would start a cluster
    import ray
except ImportError as error:
    raise OptionError(
        f'{option("executor")} needs Ray, which is not installed: pip install "upscale-cli[ray]".'
    ) from error
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

__all__ = [
    "GetTimeoutError",
    "NodeAffinitySchedulingStrategy",
    "RayActorError",
    "RayError",
    "RayTaskError",
    "is_not_installed",
    "one_line",
    "ray",
    "why_gone",
]


def one_line(error: BaseException) -> str:
    """The first sentence of an error of Ray's, which may be pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."


def why_gone(error: BaseException) -> str:
    """Why a worker has gone, in a few words."""
    text = str(error)
    if "OutOfMemory" in type(error).__name__ or "memory monitor" in text.lower():
        return "out of memory"
    if "node" in text.lower() and "died" in text.lower() and "worker process has died" not in text:
        return "its node has gone"
    if "worker process has died" in text or "unexpectedly exits" in text:
        return "its process was killed or crashed"
    return one_line(error).rstrip(".")


def is_not_installed(error: RayError) -> bool:
    """Whether a task failed because its node has no `upscale_cli`: only the traceback that Ray passes on tells."""
    return "upscale_cli" in str(error) and "ModuleNotFoundError" in str(error)
