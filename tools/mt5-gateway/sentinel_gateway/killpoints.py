"""Places at which a test lets the gateway die as by `kill -9`. For tests only.

`SENTINEL_GATEWAY_KILL_AT=sending:2` kills it at the second passing of `sending`.
"""

import os
import signal

POINTS = ("received", "checked", "sending", "guarded", "sent", "result", "completed", "barred", "replying", "replied")


class KillPoint:
    def __init__(self, place: str | None = None) -> None:
        place = place if place is not None else os.environ.get("SENTINEL_GATEWAY_KILL_AT", "")
        name, _, count = place.partition(":")
        if name and name not in POINTS:
            raise ValueError(f"there is no place {name!r} to be killed at: {', '.join(POINTS)}")
        self._name = name
        self._left = int(count or "1")

    def __call__(self, name: str) -> None:
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
