"""The command line, run in this process."""

import sys
from collections.abc import Callable

import pytest

from upscale_cli import cli
from upscale_cli.messages import MARK


class Outcome:
    """What a run left on the screen."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def line(self) -> str:
        """The one error line; there must be no other, and no traceback."""
        assert "Traceback" not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        return lines[0]


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs `upscale ...` in this process."""

    def run(*args: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["upscale", *map(str, args)])
        monkeypatch.setenv("COLUMNS", "100")
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        assert MARK not in captured.out + captured.err
        return Outcome(ended.value.code if isinstance(ended.value.code, int) else 0, captured.out, captured.err)

    return run
