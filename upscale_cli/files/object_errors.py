"""What stores' errors mean: which of them may pass, and the messages about them. Imports none of their libraries."""

import errno
from collections.abc import Iterator
from typing import Final

from upscale_cli.messages import option


class IncompleteError(ConnectionError):
    """Not all bytes came, or not of one object."""


_PASSING_STATUS: Final = {408, 409, 425, 429, 500, 502, 503, 504, 509}
_PASSING_CODES: Final = {"BadDigest", "IncompleteBody", "RequestTimeout", "XAmzContentSHA256Mismatch"}
"""With status 400: something was lost on the way."""

_NO_CREDENTIALS: Final = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound",
    "TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "DefaultCredentialsError", "RefreshError",
}  # fmt: skip
"""Classes of botocore and google.auth."""

_NETWORK: Final = {
    "aiohttp.ClientConnectionError", "aiohttp.ClientPayloadError", "botocore.HTTPClientError",
    "botocore.ConnectionError", "botocore.IncompleteReadError", "botocore.ResponseStreamingError",
    "botocore.ResponseParserError",
}  # fmt: skip


def may_pass(error: Exception) -> bool:
    """Whether it may go well another time."""
    if isinstance(error, (FileNotFoundError, PermissionError, FileExistsError)) or _classes(error) & _NO_CREDENTIALS:
        return False
    if (status := status_of(error)) is not None:
        return status in _PASSING_STATUS or code_of(error) in _PASSING_CODES
    return isinstance(error, (TimeoutError, ConnectionError)) or bool(_classes(error) & _NETWORK)


def reason_of(error: Exception, tries: int) -> str:
    """What is wrong, and the remedy. Only codes and class names: a store's own texts may hold keys."""
    status, code = status_of(error), code_of(error)
    label = " ".join(str(part) for part in (status, code) if part) or type(error).__name__
    if _classes(error) & _NO_CREDENTIALS:
        return f"no credentials for the store are found ({label}). Set them up as its own tools want it."
    if isinstance(error, PermissionError) or status in (401, 403):
        return f"the store denies access ({label}). Check the credentials, and what they allow."
    if code == "NoSuchBucket":
        return "there is no such bucket. Check its name, or make it first."
    if isinstance(error, FileNotFoundError):
        return "there is no such object. Check its name."
    if isinstance(error, IncompleteError):
        return f"does not arrive as a whole ({error}). Try again later."
    if may_pass(error):
        return f"the store does not answer as it should ({label}), after {tries} tries. Try again later."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "no space is left for it on the disk. Free space, or set TMPDIR to a larger place."
    return f"the store cannot do it ({label}). {option('verbose')} shows its answer."


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _classes(error: BaseException) -> set[str]:
    """Names of the classes that an error and its causes have: alone, and with the package they come from."""
    kinds = [
        (kind.__module__.partition(".")[0], kind.__name__) for cause in _chain(error) for kind in type(cause).__mro__
    ]
    return {name for _, name in kinds} | {f"{package}.{name}" for package, name in kinds}


def code_of(error: BaseException) -> str | None:
    """What S3 calls an error."""
    for cause in _chain(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            code = str(response.get("Error", {}).get("Code", ""))
            return None if code.isdecimal() or not code else code
    return None


def status_of(error: BaseException) -> int | None:
    """The HTTP status that a store answered with."""
    for cause in _chain(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            number = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return number if isinstance(number, int) else None
        is_of_gcsfs = type(cause).__module__.startswith("gcsfs")
        for name in ("status_code", "status", *(["code"] if is_of_gcsfs else [])):
            number = getattr(cause, name, None)
            if isinstance(number, int) and 100 <= number < 600:
                return number
    return None
