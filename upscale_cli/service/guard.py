"""Who may ask: before a request is looked at by anything else.

- Host has to be a name that the service is known by, so that a page of another site cannot reach it by a name that it
  makes point here (DNS rebinding).
- Origin, where a browser sends one, has to be that of the request's own Host, port and all: another program's page on
  the same machine is another site. What browsers say of where a request comes from (Sec-Fetch-Site) has to be this
  site too, but for links to it that are followed (CSRF).
- The token, where there is one, comes as `Authorization: Bearer`, or in the cookie that `POST /api/session` gives. It
  is compared in a time that says nothing about it.
"""

import hashlib
import hmac
import ipaddress
import logging
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from upscale_cli.service.problem import Problem
from upscale_cli.service.problems import response_of
from upscale_cli.service.settings import ServiceSettings

log: Final = logging.getLogger("upscale_cli.service")

COOKIE: Final = "upscale_session"

SAFE: Final = ("GET", "HEAD", "OPTIONS")

OPEN: Final = ("/health", "/health-check", "/api/session")
"""Without a token: what says no more than that the service is up; and where one is given."""

PAGE: Final = ("/", "/page/")
"""Without one, too: the page is the same for all, and asks for the token."""

HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def session_of(token: str) -> str:
    """What the cookie holds: not the token itself."""
    return hmac.new(token.encode(), b"upscale session", hashlib.sha256).hexdigest()


def is_token(given: str, token: str) -> bool:
    """Whether it is the token, compared in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


class Guard:
    """ASGI middleware that lets through what may be asked.

    Args:
        token: that is asked for; None: none is.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings, token: str | None) -> None:
        self._app, self._token = app, token
        self._names = settings.host_names
        self._takes_addresses = settings.host in ("0.0.0.0", "::")
        self._session = None if token is None else session_of(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        hosts = sum(name == b"host" for name, _ in scope["headers"])
        problem = self._refusal(scope["method"], scope["path"], headers, hosts)
        if problem is not None:
            client = (scope.get("client") or ("",))[0]
            log.warning("refused", extra={"status": problem.status, "path": scope["path"], "client": client})
            await response_of(problem)(scope, receive, _with(HEADERS, send))
            return
        await self._app(scope, receive, _with(HEADERS, send))

    def _refusal(self, method: str, path: str, headers: dict[str, str], hosts: int) -> Problem | None:
        host = headers.get("host", "")
        if hosts != 1 or not self.is_ours(host):
            return Problem(
                421, f'Host "{host[:100]}" is no name of this service. Call it by the address it is bound to, or have '
                "the owner allow the name.",
            )  # fmt: skip
        origin = headers.get("origin")
        if origin is not None and not _is_same(origin, host):
            return Problem(
                403, f'Origin "{origin[:100]}" is another site than Host "{host[:100]}". Call the service from its own '
                "page; a reverse proxy has to pass Host on.",
            )  # fmt: skip
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not _is_link(method, headers):
            return Problem(403, "another site's page has sent this. Call the service from its own page.")
        if self._token is None or path in OPEN or (method in SAFE and _is_page(path)):
            return None
        return None if self._has_token(headers) else Problem(
            401, "a token is needed. Send it as Authorization: Bearer TOKEN.", headers={"WWW-Authenticate": "Bearer"}
        )  # fmt: skip

    def is_ours(self, host: str) -> bool:
        """Whether a Host, with or without port, is this service; a service on all addresses is known by any of them,
        for what is no name cannot be rebound."""
        name = _name_of(host)
        if name is None:
            return False
        if name in self._names:
            return True
        if not self._takes_addresses:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_token(self, headers: dict[str, str]) -> bool:
        assert self._token is not None
        assert self._session is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return is_token(given.strip(), self._token)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and is_token(cookie.value, self._session)


def _is_same(origin: str, host: str) -> bool:
    """Whether an Origin is the site that a Host belongs to. Browsers leave the usual port out of both."""
    try:
        parts = urlsplit(origin)
        usual = {"http": 80, "https": 443}[parts.scheme]
        other = urlsplit(f"//{host}")
        return "@" not in origin and (parts.hostname, parts.port or usual) == (other.hostname, other.port or usual)
    except (KeyError, ValueError):
        return False


def _is_link(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser follows a link to this site, in a window of its own."""
    return (
        method in SAFE
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest", "document") == "document"
    )


def _is_page(path: str) -> bool:
    return path == PAGE[0] or path.startswith(PAGE[1])


def _name_of(host: str) -> str | None:
    """The name in a Host, lower case, without port and brackets; None where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        port = parts.port
    except ValueError:
        return None
    if "@" in host or "/" in host or parts.hostname is None or (port is not None and port > 65535):
        return None
    return parts.hostname


def _with(headers: Iterable[tuple[bytes, bytes]], send: Send) -> Send:
    """Adds headers to a response that has none of these names."""

    async def sending(message: dict[str, object]) -> None:  # type: ignore[type-arg,unused-ignore]
        if message["type"] == "http.response.start":
            there: list[tuple[bytes, bytes]] = list(message.get("headers", []))  # type: ignore[call-overload]
            names = {name.lower() for name, _ in there}
            message["headers"] = [*there, *((name, value) for name, value in headers if name not in names)]
        await send(message)

    return sending  # type: ignore[return-value]
