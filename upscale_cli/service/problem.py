"""A request that cannot be met, as a value: what RFC 9457 calls a problem. Pure."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

MEDIA_TYPE: Final = "application/problem+json"


class Problem(Exception):  # noqa: N818  # RFC 9457's word
    """A request that cannot be met, and why.

    Args:
        status: of HTTP.
        detail: one line: the value, the rule, the remedy.
        field: of the request that it is about.
        headers: of the answer.
    """

    def __init__(
        self, status: int, detail: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.field, self.headers = status, detail, field, dict(headers or {})

    def as_dict(self) -> dict[str, Any]:
        """The members of the JSON."""
        members = {
            "type": "about:blank", "title": HTTPStatus(self.status).phrase, "status": self.status,
            "detail": self.detail,
        }  # fmt: skip
        return members if self.field is None else {**members, "field": self.field}
