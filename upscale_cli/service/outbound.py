"""Requests that the service itself makes: inputs by address, and webhooks. Only to hosts that the owner allows.

A name is resolved once, every address that it has is looked at, and the connection goes to one of those: so a name that
points elsewhere a moment later gains nothing. "*" allows public addresses only, never this machine or its network
(server-side request forgery); a host that is named is the owner's word, wherever it lies. Redirects are new addresses
and are looked at as such. No proxy is used.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from upscale_cli._version import __version__
from upscale_cli.errors import InputError, printable
from upscale_cli.service.pace import Pace

PUBLIC: Final = "*"

MOST_REDIRECTS: Final = 5

IDLE_SECONDS: Final = 30.0

ANSWER_SECONDS: Final = 60.0
"""Within which an answer's headers have to be here: a server that sends one byte now and then would hold a thread."""

BLOCK: Final = 2**18

PORTS: Final = {"http": 80, "https": 443}

NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses that a gateway translates to those of IPv4 (RFC 6052)."""

AGENT: Final = f"upscale-cli/{__version__}"

Resolve = Callable[[str, int], Sequence[str]]


def check_address(url: str, allowed: Sequence[str]) -> SplitResult:
    """The parts of an address, if a request may go there by its name.

    Raises:
        InputError: it is none of http and https, or its host is not allowed.
    """
    shown = printable(url[:200])
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InputError(f"{shown}: is no address. Write https://HOST/PATH.") from None
    host = (parts.hostname or "").lower()
    if parts.scheme not in PORTS or not host or "@" in parts.netloc or any(ord(char) <= 32 for char in url):
        raise InputError(f"{shown}: is no address. Write https://HOST/PATH.")
    is_named = host in allowed or f"{host}:{port or PORTS[parts.scheme]}" in allowed
    is_public = PUBLIC in allowed and port in (None, PORTS[parts.scheme])
    if not (is_named or is_public):
        raise InputError(
            f"{shown}: the service asks no such host. Send the file itself, or have the owner allow {host}."
        )
    return parts


def resolved(host: str, port: int) -> list[str]:
    """All addresses of a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether an address is one of the internet's, and of nobody's own network."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner: ipaddress.IPv4Address | None = None
    if isinstance(ip, ipaddress.IPv6Address):  # what a gateway makes of it
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1]
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.is_global and not ip.is_multicast and (inner is None or inner.is_global)


class _Pinned(http.client.HTTPConnection):
    """A connection to the address that was looked at, under the name that was asked for."""

    def __init__(self, host: str, port: int, address: str, *, tls: bool, patience: float) -> None:
        super().__init__(host, port, timeout=patience)
        self._address, self._tls, self._is_broken = address, tls, False

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self.timeout)
        if self._tls:
            context = ssl.create_default_context()
            tls = context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock = tls  # before the handshake, which `answered` may have to end
            tls.do_handshake()

    @contextlib.contextmanager
    def answered(self, seconds: float) -> Iterator[None]:
        """Within it, what is not through after so many seconds breaks off.

        Raises:
            TimeoutError: so it did, whatever has been read until then.
        """
        timer = threading.Timer(seconds, self._break_off)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        if self._is_broken:
            raise TimeoutError(f"no answer within {seconds:.0f} seconds")

    def _break_off(self) -> None:
        self._is_broken = True
        with contextlib.suppress(OSError, AttributeError):  # it may not be connected yet, which has a limit of its own
            self.sock.shutdown(socket.SHUT_RDWR)


def _opened(parts: SplitResult, allowed: Sequence[str], resolve: Resolve, patience: float = IDLE_SECONDS) -> _Pinned:
    """A connection for an address that `check_address` let through.

    Args:
        patience: seconds that the other side may be silent.
    """
    host, port = str(parts.hostname).lower(), parts.port or PORTS[parts.scheme]
    try:
        addresses = resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise InputError(f"{printable(host)}: there is no such host ({error}).") from error
    is_named = host in allowed or f"{host}:{port}" in allowed
    if not addresses or not (is_named or all(is_public(address) for address in addresses)):
        raise InputError(f"{printable(host)}: lies in a private network, and such hosts are allowed by name only.")
    return _Pinned(host, port, addresses[0], tls=parts.scheme == "https", patience=patience)


def _target(parts: SplitResult) -> str:
    return f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"


def fetch(
    url: str,
    path: Path,
    allowed: Sequence[str],
    *,
    most: int,
    is_wanted: Callable[[], bool] = lambda: True,
    resolve: Resolve = resolved,
) -> str:
    """Fetches a file; gives its media type, "" for none.

    Args:
        path: where it goes; half of it may be there after an error.
        most: bytes.
        is_wanted: is asked now and then.

    Raises:
        InputError: it may not be fetched, is not there, or is too large.
        OSError: `path` cannot be written.
    """
    for _ in range(MOST_REDIRECTS + 1):
        parts = check_address(url, allowed)
        connection = _opened(parts, allowed, resolve)
        try:
            with connection.answered(ANSWER_SECONDS):
                headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
                connection.request("GET", _target(parts), headers=headers)
                response = connection.getresponse()
            with response:
                if response.status in (301, 302, 303, 307, 308):
                    url = urljoin(url, response.getheader("Location", ""))
                    continue
                if response.status != 200:
                    raise InputError(f"{printable(url[:200])}: its server answers {response.status} {response.reason}.")
                _save(response, url, path, most, is_wanted)
                return response.getheader("Content-Type", "").partition(";")[0].strip().lower()
        except (http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError, socket.gaierror) as error:
            raise InputError(f"{printable(url[:200])}: cannot be fetched ({error or type(error).__name__}).") from error
        finally:
            connection.close()
    raise InputError(f"{printable(url[:200])}: is redirected more than {MOST_REDIRECTS} times.")


def _save(response: http.client.HTTPResponse, url: str, path: Path, most: int, is_wanted: Callable[[], bool]) -> None:
    size, too_large = 0, InputError(f"{printable(url[:200])}: is larger than the {most:,} bytes that are taken here.")
    if (response.length or 0) > most:
        raise too_large
    pace = Pace(time.monotonic())
    with path.open("wb") as file:
        while block := response.read1(BLOCK):
            size += len(block)
            if not pace.keeps(len(block), time.monotonic()):
                raise InputError(f"{printable(url[:200])}: comes too slowly. Try again.")
            if size > most:
                raise too_large
            if not is_wanted():
                raise InputError(f"{printable(url[:200])}: is not wanted any more.")
            file.write(block)
    if response.length:
        raise InputError(f"{printable(url[:200])}: broke off. Try again.")


def send(
    url: str,
    body: bytes,
    allowed: Sequence[str],
    headers: Mapping[str, str] | None = None,
    resolve: Resolve = resolved,
    *,
    seconds: float = IDLE_SECONDS,
) -> int:
    """Sends JSON; gives the status of the answer. Redirects are not followed.

    Args:
        seconds: that it may take, twice at most.

    Raises:
        InputError: it may not be sent there. OSError, http.client.HTTPException: it could not be.
    """
    parts = check_address(url, allowed)
    connection = _opened(parts, allowed, resolve, seconds)
    try:
        fields = {"User-Agent": AGENT, "Content-Type": "application/json", **(headers or {})}
        with connection.answered(seconds):
            connection.request("POST", _target(parts), body, fields)
            with connection.getresponse() as response:
                status = response.status
        return status
    finally:
        connection.close()
