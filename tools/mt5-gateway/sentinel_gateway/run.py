"""`sentinel-gateway run`: starts `serve`, and starts it again.

The child announces each call's limit. One that is still in the call at twice its limit is killed from outside, because
nothing inside could end it.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from sentinel_gateway.log import Log
from sentinel_gateway.waits import Waits

# What `serve` ends with when only its configuration can help.
BAD_CONFIG = 78
# After this long at work the next start waits the shortest time again.
STEADY_S = 60


class Child:
    """One life of `serve`."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self._deadline: float | None = None
        self._call: str | None = None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def wait(self) -> tuple[int, str | None]:
        """Its exit code, and the call in which it had to be killed."""
        hung = None
        while True:
            try:
                return self._process.wait(timeout=0.2), hung
            except subprocess.TimeoutExpired:
                deadline = self._deadline
                if deadline is not None and time.monotonic() > deadline:
                    hung = self._call
                    self._process.kill()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.startswith("{"):
                print(line, end="", flush=True)
                continue
            try:
                told = json.loads(line)
            except ValueError:
                # The last words of one that was killed while it said them.
                continue
            self._call = told["call"]
            self._deadline = time.monotonic() + 2 * told["limit_s"] if told["call"] else None


def run(command: Sequence[str], waits: Waits, log: Log, lives: int | None = None) -> int:
    """Restarts `command` until it is interrupted or cannot start at all, or for a number of lives in tests."""
    pause_s = waits.restart_first_s
    lived = 0
    while lives is None or lived < lives:
        began = time.monotonic()
        child = Child(command)
        try:
            code, hung = child.wait()
        except KeyboardInterrupt:
            child.end()
            return 130
        lived += 1
        if code == BAD_CONFIG:
            log.alarm("the gateway cannot start as it is configured", code=code)
            return code
        log.alarm("the gateway ended and is started again", code=code, hung_in=hung, pause_s=pause_s)
        time.sleep(pause_s)
        steady = time.monotonic() - began > STEADY_S
        pause_s = waits.restart_first_s if steady else min(2 * pause_s, waits.restart_last_s)
    return 0


def command_of(arguments: Sequence[str]) -> list[str]:
    """`serve` under this interpreter, bound to this process."""
    return [sys.executable, "-m", "sentinel_gateway", "serve", *arguments, "--with-parent", "--announce"]
