"""This process's connection to a Ray cluster: an address that is given, found, or started here."""

import contextlib
import logging
import os
import socket
from typing import Any, Final

from upscale_cli.errors import DeviceError, OptionError
from upscale_cli.events import Say
from upscale_cli.executors.ray.library import one_line, ray
from upscale_cli.messages import option

AUTO: Final = "auto"

REACHING_SECONDS: Final = 5.0
"""How long a cluster may take to answer."""

OBJECT_STORE_BYTES: Final = 80 * 2**20
"""Of a cluster that we start: jobs and events are small, and pixels never go through it."""


def connect(address: str, say: Say, *, start: bool = True) -> dict[str, Any]:
    """Connects this process to a cluster; gives what Ray reports of it.

    Args:
        start: begin one on this machine, where none is named and none runs.

    Raises:
        OptionError, DeviceError: as `open_ray_executor`.
    """
    given = os.environ.get("RAY_ADDRESS", AUTO) if address == AUTO else address
    if "://" in given:
        raise OptionError(
            f"{option('address', given)}: run this on a machine of the cluster, and give HOST:PORT of its head."
        )
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    _silence_ray()
    if given == AUTO:
        with contextlib.suppress(ConnectionError):
            return dict(ray.init(address=AUTO, **options).address_info)
        if not start:
            raise DeviceError("no Ray cluster runs here. Start one with `ray start --head`, or give HOST:PORT.")
        context = ray.init(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **options)
        say("no Ray cluster runs here; one was started on this machine, for this run.")
        return dict(context.address_info)
    _check_reachable(given)
    try:
        return dict(ray.init(address=given, **options).address_info)
    except (RuntimeError, ValueError, OSError, AssertionError) as error:
        raise DeviceError(f"{option('address', given)}: {one_line(error)} Give HOST:PORT of the head node.") from error


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes, and then end the process.

    Raises:
        OptionError: it is no address.
        DeviceError: no cluster answers there.
    """
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 2**16):
        raise OptionError(
            f"{option('address', address)} is no address. Give auto, or HOST:PORT of the head node (often :6379)."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHING_SECONDS).close()
    except OSError as error:
        raise DeviceError(
            f"{option('address', address)}: no cluster answers there ({error.strerror or error}). Start one with "
            "`ray start --head`, or give the address of its head node."
        ) from error


def _silence_ray() -> None:
    """Ray prints about dying workers to standard output, which is ours; we report them ourselves."""
    worker: Any = getattr(ray, "_private", None) and ray._private.worker
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None
