"""The fake `MetaTrader5`: the client of a fake terminal, which is a process of its own.

It reads its socket as the wheel reads its pipe: in C, with the interpreter's lock held and without a limit, so that a hung
terminal freezes every Python thread.
"""

import ctypes
import json
import os
import socket
import time
from typing import Any

from wheel import PipeBroken, Wheel

__version__ = "5.0.6231"

_read = ctypes.PyDLL(None).read
_read.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
_read.restype = ctypes.c_ssize_t


class _Pipe:
    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def open(self) -> bool:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(os.environ["FAKE_MT5_SOCKET"])
        except OSError:
            self.close()
            return False
        return True

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def call(self, call: str, args: dict[str, Any]) -> tuple[Any, tuple[int, str]]:
        assert self._socket is not None
        said = json.dumps({"call": call, "args": args}).encode()
        try:
            self._socket.sendall(len(said).to_bytes(4, "big") + said)
        except OSError as error:
            raise PipeBroken from error
        length = int.from_bytes(self._exactly(4), "big")
        heard = json.loads(self._exactly(length))
        return heard["value"], (heard["error"][0], heard["error"][1])

    def _exactly(self, size: int) -> bytes:
        assert self._socket is not None
        heard = ctypes.create_string_buffer(size)
        have = 0
        while have < size:
            got = _read(self._socket.fileno(), ctypes.byref(heard, have), size - have)
            if got <= 0:
                raise PipeBroken
            have += got
        return heard.raw


_wheel = Wheel(_Pipe(), time.time)

initialize = _wheel.initialize
shutdown = _wheel.shutdown
last_error = _wheel.last_error
version = _wheel.version
terminal_info = _wheel.terminal_info
account_info = _wheel.account_info
symbol_info = _wheel.symbol_info
symbol_info_tick = _wheel.symbol_info_tick
symbol_select = _wheel.symbol_select
copy_rates_from_pos = _wheel.copy_rates_from_pos
orders_get = _wheel.orders_get
positions_get = _wheel.positions_get
history_orders_get = _wheel.history_orders_get
history_deals_get = _wheel.history_deals_get
order_check = _wheel.order_check
order_send = _wheel.order_send
