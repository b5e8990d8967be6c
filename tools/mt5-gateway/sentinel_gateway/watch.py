"""A watch over calls that may never return.

The wheel reads its pipe without a limit and holds the interpreter's lock, so that no Python thread can end the call.
faulthandler's watchdog is a thread in C: it ends the process, and the ledger knows what was being sent. The parent that
`sentinel-gateway run` is hears each limit too, and kills at twice that.
"""

import faulthandler
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Watch:
    def __init__(self, announce: TextIO | None = None) -> None:
        self._announce = announce

    @contextmanager
    def limit(self, call: str, seconds: float) -> Iterator[None]:
        """Ends this process where the block lasts longer."""
        self._tell({"call": call, "limit_s": seconds})
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._tell({"call": None})

    def _tell(self, what: dict[str, object]) -> None:
        if self._announce is not None:
            print(json.dumps(what), file=self._announce, flush=True)


class NoWatch(Watch):
    """For calls in simulated time, which cannot hang."""

    @contextmanager
    def limit(self, call: str, seconds: float) -> Iterator[None]:  # noqa: ARG002
        yield
