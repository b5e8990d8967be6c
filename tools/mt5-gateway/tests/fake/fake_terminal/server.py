"""The fake terminal's socket: one call after the other, as the real pipe; what an old caller left comes first."""

import json
import os
import select
import signal
import socket
import struct
import time
from pathlib import Path
from typing import Any

from fake_terminal.broker import Broker, Result
from fake_terminal.calls import Calls

PEER = struct.Struct("3i")


class Server:
    def __init__(self, broker: Broker, path: Path) -> None:
        self._calls = Calls(broker)
        self._broker = broker
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        self._listener.listen(16)
        # In the order of their arrival, so that a dead caller's last request is done before a new caller's first.
        self._callers: dict[socket.socket, bytes] = {}
        self._hung: list[socket.socket] = []

    def serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._listener, *self._callers], [], [], 0.05)
            self._broker.advance()
            for caller in list(self._callers):
                if caller in ready:
                    self._hear(caller)
            if self._listener in ready:
                caller, _ = self._listener.accept()
                self._callers[caller] = b""
            self._hung = [caller for caller in self._hung if not _is_gone(caller)]

    def _hear(self, caller: socket.socket) -> None:
        try:
            heard = caller.recv(1 << 16)
        except OSError:
            heard = b""
        if not heard:
            self._drop(caller)
            return
        self._callers[caller] += heard
        while caller in self._callers and len(self._callers[caller]) >= 4:
            waiting = self._callers[caller]
            length = int.from_bytes(waiting[:4], "big")
            if len(waiting) < 4 + length:
                return
            self._callers[caller] = waiting[4 + length :]
            self._answer(caller, json.loads(waiting[4 : 4 + length]))

    def _answer(self, caller: socket.socket, asked: dict[str, Any]) -> None:
        pid = PEER.unpack(caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))[0]
        result = self._calls.answer(asked["call"], asked["args"], pid)
        if result.then == "hang":
            del self._callers[caller]
            self._hung.append(caller)
            return
        if result.then == "kill":
            _kill(pid)
        if result.then:
            self._drop(caller)
            return
        self._say(caller, result)

    def _say(self, caller: socket.socket, result: Result) -> None:
        said = json.dumps({"value": result.value, "error": result.error}).encode()
        try:
            caller.sendall(len(said).to_bytes(4, "big") + said)
        except OSError:
            self._drop(caller)

    def _drop(self, caller: socket.socket) -> None:
        self._callers.pop(caller, None)
        caller.close()


def _kill(pid: int) -> None:
    """Ends the caller as `kill -9` does, and sees that it is gone."""
    if pid == os.getpid():
        return
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    until = time.monotonic() + 5
    while time.monotonic() < until and Path(f"/proc/{pid}/fd").exists():
        try:
            if not list(Path(f"/proc/{pid}/fd").iterdir()):
                return
        except OSError:
            return
        time.sleep(0.001)


def _is_gone(caller: socket.socket) -> bool:
    readable, _, _ = select.select([caller], [], [], 0)
    if not readable:
        return False
    try:
        gone = caller.recv(1) == b""
    except OSError:
        gone = True
    if gone:
        caller.close()
    return gone
