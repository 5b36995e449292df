"""What the owner of a service has decided, as a value. Imports neither torch nor FastAPI."""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upscale_cli.errors import OptionError
from upscale_cli.media.image.formats import MAX_PIXELS
from upscale_cli.messages import option

GIB: Final = 2**30

LEAST_TOKEN: Final = 16
"""Characters of a token that the owner chooses: fewer can be tried one after the other."""

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """How a service is run, and what its clients may do.

    Attributes:
        data: the folder of the queue, of uploads and of results. One service at a time uses it.
        host, port: the address that is bound; port 0: any that is free.
        token: what clients have to know; None: nothing on loopback, else one that is made and kept in `data`.
        allow_host: further names that clients may call the service by, such as that of a reverse proxy.
        trust_proxy: addresses, or networks, of reverse proxies: what they say of where a request comes from, and by
            which scheme (X-Forwarded-For, X-Forwarded-Proto), is believed.
        allow_folder: folders whose files clients may name as inputs.
        watch_folder: folders whose files are done as they come, with all folders in them.
        watch_output: the folder that mirrors them; None: results lie next to the inputs.
        watch_options: what is done with them, as JSON of a job.
        allow_url: hosts that inputs, and webhooks, may lie at; "*" stands for any public one.
        device: one worker each, as `UpscalerOptions.device`.
        engine: as `UpscalerOptions.engine`.
        ray: the address of a Ray cluster that does the jobs instead of workers on this machine.
        jobs: photos in progress in each worker; None: by the machine.
        max_upload: bytes of an input.
        max_pixels: of a frame of an input.
        max_result_pixels: of a frame of a result.
        max_memory: bytes of host memory that a worker may take; None: what is free.
        max_queue: jobs that wait or run.
        max_streams: open streams of events.
        min_free: bytes that stay free on the disk of `data`.
        keep_days: how long a job that has ended is kept, with its result.
        keep_size: that all of them may take together; the oldest go first.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8477
    token: str | None = None
    allow_host: tuple[str, ...] = ()
    trust_proxy: tuple[str, ...] = ()
    allow_folder: tuple[Path, ...] = ()
    allow_url: tuple[str, ...] = ()
    watch_folder: tuple[Path, ...] = ()
    watch_output: Path | None = None
    watch_options: str = "{}"
    device: tuple[str, ...] = ("auto",)
    engine: str = "auto"
    ray: str | None = None
    jobs: int | None = None
    max_upload: int = 8 * GIB
    max_pixels: int = MAX_PIXELS
    max_result_pixels: int = MAX_PIXELS
    max_memory: int | None = None
    max_queue: int = 1000
    max_streams: int = 200
    min_free: int = GIB
    keep_days: float = 7.0
    keep_size: int = 50 * GIB

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise OptionError(f"{option('port', self.port)} is none. Choose 0 to 65535.")
        if self.token is not None and (len(self.token) < LEAST_TOKEN or not self.token.isascii()):
            raise OptionError(
                f"{option('token')} takes {LEAST_TOKEN} ASCII characters or more, and this one has {len(self.token)}. "
                "Choose a longer one, or leave it out: one is made then."
            )
        positive = (
            ("max_upload", self.max_upload), ("max_pixels", self.max_pixels), ("max_queue", self.max_queue),
            ("max_result_pixels", self.max_result_pixels), ("max_streams", self.max_streams),
            ("max_memory", self.max_memory), ("jobs", self.jobs),
        )  # fmt: skip
        for name, number in positive:
            if number is not None and number < 1:
                raise OptionError(f"{option(name, number)} leaves room for nothing. Choose 1 or more.")
        for name, least in (("min_free", self.min_free), ("keep_days", self.keep_days), ("keep_size", self.keep_size)):
            if least < 0:
                raise OptionError(f"{option(name, least)} is negative. Choose 0 or more.")
        for folder in self.allow_folder:
            if not os.path.isdir(folder):
                raise OptionError(f"{option('allow_folder', folder)} is no folder. Name one that is there.")
        for address in self.trust_proxy:
            try:
                ipaddress.ip_network(address)
            except ValueError as error:
                raise OptionError(
                    f"{option('trust_proxy', address)} is neither an address nor a network. Give one such as "
                    "127.0.0.1 or 172.16.0.0/12."
                ) from error
        self._check_watched()
        if not self.device:
            raise OptionError(f"{option('device')} names none. Choose auto, cpu, cuda, or several.")

    def _check_watched(self) -> None:
        given = (("watch_output", self.watch_output is not None), ("watch_options", self.watch_options != "{}"))
        for name, is_given in given:
            if is_given and not self.watch_folder:
                raise OptionError(f"{option(name)} is for {option('watch_folder')}, and there is none. Name one.")
        if self.watch_output is not None and "{" in str(self.watch_output):
            raise OptionError(f"{option('watch_output', self.watch_output)} takes a folder, and no template.")
        for folder in self.watch_folder:
            if not os.path.isdir(folder):
                raise OptionError(f"{option('watch_folder', folder)} is no folder. Name one that is there.")
            if Path(os.path.realpath(self.data)).is_relative_to(os.path.realpath(folder)):
                raise OptionError(
                    f"{option('watch_folder', folder)} has the service's own files in it ({self.data}). "
                    f"Choose another {option('data')}."
                )

    @property
    def first_device(self) -> str:
        """What the first worker computes on; "auto" where a cluster does the jobs."""
        return "auto" if self.ray is not None else self.device[0]

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def host_names(self) -> frozenset[str]:
        """What a request's Host may say, lower case, without port."""
        own = () if self.host in ("0.0.0.0", "::") else (self.host,)
        return frozenset(name.lower().strip("[]") for name in (*LOOPBACK_NAMES, *own, *self.allow_host))
