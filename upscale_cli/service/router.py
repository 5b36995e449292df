"""Routes that answer HEAD wherever they answer GET (RFC 9110, 9.3.2)."""

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter
from fastapi.sse import EventSourceResponse

Route = TypeVar("Route", bound=Callable[..., Any])


class Router(APIRouter):
    """Of each GET there is a HEAD with the same headers. Streams of events have none: they would begin, and nobody
    would listen."""

    def get(self, path: str, **keywords: Any) -> Callable[[Route], Route]:
        """As FastAPI's; `app._document` describes the HEAD."""

        def add(function: Route) -> Route:
            if keywords.get("response_class") is not EventSourceResponse:
                self.head(path, **{**keywords, "include_in_schema": False})(function)
            return super(Router, self).get(path, **keywords)(function)

        return add
