"""A service, until it is told to end."""

import asyncio
import contextlib
import json
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from upscale_cli.errors import OptionError
from upscale_cli.messages import option
from upscale_cli.service.app import create_app
from upscale_cli.service.service import Service
from upscale_cli.service.settings import ServiceSettings

GRACE_SECONDS: Final = 5
"""How long requests in progress may take once the service is told to end."""

MOST_FILES: Final = 8192

_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """A JSON object per line: time, level, message, and what else a record has."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"), "level": record.levelname.lower(),
            "logger": record.name, "message": record.getMessage(),
        }  # fmt: skip
        fields |= {name: value for name, value in vars(record).items() if name not in _USUAL}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def log_to_stderr() -> None:
    """Lines of JSON on standard error, of this program and of uvicorn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("upscale_cli.service", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)


def serve(settings: ServiceSettings, tell: Callable[[str, str | None], None]) -> None:
    """Runs a service until SIGINT or SIGTERM.

    Args:
        tell: is called once with the address, and the token where one is asked for.

    Raises:
        OutputError: the data folder cannot be used.
        OptionError: the address cannot be bound.
    """
    log_to_stderr()
    _allow_many_files()
    listening = bound(settings)
    with listening:
        service = Service(settings)
        service.start()
        config = configured(create_app(service), settings)
        server = _Server(config, service)
        listening.listen(config.backlog)  # who is told the address may call it at once, and waits for the event loop
        port = listening.getsockname()[1]
        name = "localhost" if settings.host in ("0.0.0.0", "::") else settings.host
        tell(f"http://{f'[{name}]' if ':' in name else name}:{port}/", service.token)
        # uvicorn raises the signal that ended it once more when it is done, and the command line's handlers take it.
        with (
            contextlib.suppress(KeyboardInterrupt, SystemExit),
            asyncio.Runner(loop_factory=config.get_loop_factory()) as runner,
        ):
            runner.run(server.serve(sockets=[listening]))


def configured(app: ASGIApp, settings: ServiceSettings) -> uvicorn.Config:
    """How an application is served: by Python's own event loop, than which uvloop was no faster with uploads.

    And by h11: httptools, which uvicorn takes where it finds it, loses the body of a request that offers to upgrade
    (`Upgrade: h2c`, as Java's client does by itself), and bounds no header.
    """
    return uvicorn.Config(
        app, http="h11", loop="asyncio", log_config=None, access_log=False, server_header=False,
        proxy_headers=bool(settings.trust_proxy), forwarded_allow_ips=list(settings.trust_proxy),
        timeout_graceful_shutdown=GRACE_SECONDS, lifespan="on",
    )  # fmt: skip


class _Server(uvicorn.Server):
    """Ends streams of events first: they would not end by themselves."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.hub.close()
        await super().shutdown(sockets)


def _allow_many_files() -> None:
    """Each connection is an open file, and of the usual 1,024 a thousand idle listeners leave too few."""
    if sys.platform != "win32":
        import resource

        least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_FILES if most == resource.RLIM_INFINITY else min(MOST_FILES, most)
        if least < wanted:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def bound(settings: ServiceSettings) -> socket.socket:
    """The socket.

    Raises:
        OptionError: the address is not this machine's, or is in use.
    """
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        # asyncio sets TCP_NODELAY only where it reads that a socket is of TCP, which the default protocol does not
        # say; without it each answer on a connection that is kept waits for the client's delayed ACK, 40 ms.
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if sys.platform != "win32":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((settings.host, settings.port))
    except OSError as error:
        raise OptionError(
            f"{option('host', settings.host)}, {option('port', settings.port)}: cannot be bound "
            f"({error.strerror or error}). Choose another {option('port')}, or an address of this machine."
        ) from error
    return made
