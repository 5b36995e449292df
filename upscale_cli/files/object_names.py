"""Names of objects in stores: s3://BUCKET/KEY and the like, and of prefixes, which end with a slash. Pure."""

from pathlib import Path, PurePosixPath
from typing import Final

SCHEMES: Final = {
    "s3": '"upscale-cli[s3]"',
    **dict.fromkeys(("gs", "gcs"), '"upscale-cli[gs]"'),
    **dict.fromkeys(("az", "abfs"), "adlfs"),
}
"""What URLs of objects begin with, and what pip installs for it."""


def is_object(name: str | Path) -> bool:
    """Whether a name is that of an object, or of a prefix.

    >>> is_object("s3://bucket/a.jpg"), is_object("s3:/a.jpg"), is_object("rtsp://camera/1")
    (True, False, False)
    """
    scheme, mark, _ = name.partition("://") if isinstance(name, str) else ("", "", "")
    return bool(mark) and scheme in SCHEMES


def key_of(url: str) -> str:
    """What comes after the bucket.

    >>> key_of("s3://bucket/a/b.jpg"), key_of("s3://bucket")
    ('a/b.jpg', '')
    """
    return url.partition("://")[2].partition("/")[2]


def bucket_of(url: str) -> str:
    """The bucket, as a prefix.

    >>> bucket_of("s3://bucket/a/b.jpg")
    's3://bucket/'
    """
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/"


def is_prefix_name(url: str) -> bool:
    """Whether it can only be that of a prefix: it ends with a slash, or is a bucket."""
    return url.endswith("/") or not key_of(url)


def as_prefix(url: str) -> str:
    """With one slash at its end."""
    return f"{url.rstrip('/')}/"


def parent(url: str) -> str:
    """The prefix that an object lies in, with a slash at its end.

    >>> parent("s3://bucket/a/b.jpg"), parent("s3://bucket/b.jpg")
    ('s3://bucket/a/', 's3://bucket/')
    """
    return url[: url.rindex("/") + 1]


def joined(prefix: str, path: str | PurePosixPath) -> str:
    """An object below a prefix; empty and "." parts of the path are left out.

    >>> joined("s3://bucket/large", "./sub//a.jpg")
    's3://bucket/large/sub/a.jpg'
    """
    parts = [part for part in str(path).split("/") if part not in ("", ".")]
    return as_prefix(prefix) + "/".join(parts)


def normal(url: str) -> str:
    """The same, without empty and "." parts after the bucket; a slash at its end stays."""
    return joined(bucket_of(url), key_of(url)) + ("/" if key_of(url).endswith("/") else "")
