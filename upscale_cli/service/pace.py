"""Whether what is being sent comes fast enough to end some day. Pure; the clock is passed in."""

from dataclasses import dataclass
from typing import Final

IDLE_SECONDS: Final = 60.0
"""How long a client may send nothing."""

LEAST_BYTES: Final = 64 * 1024
"""That have to come in as many seconds: who sends a byte now and then would never end."""


@dataclass(slots=True)
class Pace:
    """Whether enough comes.

    Attributes:
        since: when the time that is looked at began, in seconds of a monotonic clock; `came`: bytes since then.
    """

    since: float
    came: int = 0

    def keeps(self, size: int, now: float) -> bool:
        """Takes so many bytes more; gives whether it goes on fast enough."""
        self.came += size
        if now - self.since < IDLE_SECONDS:
            return True
        is_enough = self.came >= LEAST_BYTES
        self.since, self.came = now, 0
        return is_enough
