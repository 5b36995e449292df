"""Addresses on the web, as text. Imports no torch."""

import urllib.parse


def is_web_address(text: str) -> bool:
    """Whether it is an http or https address.

    >>> is_web_address("https://a.example/b"), is_web_address("file:///etc/passwd"), is_web_address("https://a:x")
    (True, False, False)
    """
    try:
        parts = urllib.parse.urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def host_of(url: str) -> str:
    """Of an address, without a password in it; the whole address is long, and signed ones are secret."""
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2]
