"""The verb `upscale serve`: the application as a service. Imports neither torch nor FastAPI until it is called."""

import importlib.util
from typing import Final

from upscale_cli.cli.grouped import grouped
from upscale_cli.cli.lines import put_error
from upscale_cli.cli.option_values import gigabytes
from upscale_cli.cli.serve_options import AccessGroup, AddressGroup, LimitsGroup, WatchGroup, WorkGroup
from upscale_cli.errors import OptionError, printable

NEEDED: Final = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "zipstream")


@grouped
def serve(
    *, address: AddressGroup, access: AccessGroup, watched: WatchGroup, work: WorkGroup, limits: LimitsGroup
) -> None:
    """Serve photos and clips over HTTP: a queue that survives anything, a page, an API.

    [bold]upscale serve[/bold], [bold]upscale serve --host 0.0.0.0 --allow-folder /media[/bold]
    """
    check_extra()
    if work.worker and work.device != "auto":
        raise OptionError(f"--worker and --device {printable(work.device)} exclude each other. Give one of them.")
    from upscale_cli.models.settings import user_data
    from upscale_cli.service.devices import check_devices
    from upscale_cli.service.run import serve as run
    from upscale_cli.service.settings import ServiceSettings

    settings = ServiceSettings(
        data=work.data or user_data() / "service",
        host=address.host,
        port=address.port,
        token=address.token,
        allow_host=tuple(address.allow_host or ()),
        trust_proxy=tuple(address.trust_proxy or ()),
        allow_folder=tuple(folder.absolute() for folder in access.allow_folder or ()),
        allow_url=tuple(access.allow_url or ()),
        watch_folder=tuple(folder.absolute() for folder in watched.watch_folder or ()),
        watch_output=None if watched.watch_output is None else watched.watch_output.absolute(),
        watch_options=watched.watch_options,
        device=tuple(work.worker or (work.device,)),
        engine=work.engine,
        ray=work.ray,
        jobs=work.jobs,
        max_memory=None if work.max_memory is None else gigabytes("--max-memory", work.max_memory),
        max_upload=gigabytes("--max-upload", limits.max_upload),
        max_pixels=limits.max_pixels,
        max_result_pixels=limits.max_result_pixels,
        max_queue=limits.max_queue,
        max_streams=limits.max_streams,
        min_free=gigabytes("--min-free", limits.min_free),
        keep_days=limits.keep_days,
        keep_size=gigabytes("--keep-size", limits.keep_size),
    )
    if settings.ray is None:
        check_devices(settings.device, settings.engine, called="worker" if work.worker else "device")
    run(settings, _show)


def _show(address: str, token: str | None) -> None:
    put_error(f"upscale serves at {address}")
    if token is not None:
        put_error(f"with the token in it: {address}#token={token}")


def check_extra() -> None:
    """
    Raises:
        OptionError: what the verb needs is not installed.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise OptionError(f"{missing[0]} is not installed, and serving needs it. pip install 'upscale-cli[serve]'")
