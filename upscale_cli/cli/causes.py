"""What lies behind an error, for `--verbose`."""

import sys

from upscale_cli.errors import printable


def print_causes(error: BaseException) -> None:
    cause = error.__cause__
    while cause is not None:
        first_line = str(cause).partition("\n")[0]
        print(f"  because of {type(cause).__name__}: {printable(first_line)}", file=sys.stderr)
        cause = cause.__cause__
