"""`sentinel-gateway serve`: the process that owns ledger, terminal and socket, all in one thread."""

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import zmq

from sentinel_gateway.clock import SET_BACK_MAX_S, Clock
from sentinel_gateway.config import BadConfig, Config
from sentinel_gateway.curve import Curve
from sentinel_gateway.gateway import Gateway
from sentinel_gateway.killpoints import KillPoint
from sentinel_gateway.ledger import Ledger
from sentinel_gateway.log import Log
from sentinel_gateway.protocol import REQUEST_BYTES_MAX
from sentinel_gateway.waits import Waits
from sentinel_gateway.watch import Watch

# libzmq drops what is longer, so that the gateway can still say `too_large` for what is a little too long.
MESSAGE_BYTES_MAX = 4 * REQUEST_BYTES_MAX


def serve(config: Config, time_factor: float = 1.0, announce: bool = False, with_parent: bool = False) -> int:
    """Serves until it is killed, or until its parent is gone."""
    waits = Waits.scaled(time_factor, config.absent_after_s)
    log = Log(config.state / "log", to_stderr=not announce)
    ledger = Ledger(config.state / "gateway.db")
    watch = Watch(sys.stdout if announce else None)
    gateway = Gateway(
        wheel(),
        ledger,
        steady_clock(ledger, log),
        waits,
        watch,
        log,
        path=config.terminal_path,
        expected=config.expected,
        rule=config.rule,
        kill=KillPoint(),
    )
    if with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    curve = None
    if config.server_secret is not None and config.clients is not None:
        curve = Curve(context, config.server_secret, config.clients)
    socket = context.socket(zmq.REP)
    socket.linger = 0
    socket.maxmsgsize = MESSAGE_BYTES_MAX
    if curve is not None:
        curve.secure(socket)
    socket.bind(config.bind)
    address = socket.getsockopt(zmq.LAST_ENDPOINT)
    told = address.decode().rstrip("\0") if isinstance(address, bytes) else config.bind
    print(f"listening on {told}", flush=True)
    log.info("the gateway serves", address=told, boot=ledger.boot, ledger=ledger.name)
    _loop(gateway, socket, curve, waits, log)
    return 0


def steady_clock(ledger: Ledger, log: Log, wall: Callable[[], float] = time.time) -> Clock:
    """A clock that does not go back behind what earlier processes saw."""
    clock = Clock(wall, witnessed=ledger.witnessed())
    if clock.set_back_s > SET_BACK_MAX_S:
        log.alarm("the machine's clock is far behind the ledger and is taken as it is", behind_s=round(clock.set_back_s))
    elif clock.set_back_s > 1:
        log.alarm("the machine's clock was set back and is not followed", behind_s=round(clock.set_back_s))
    ledger.put_meta("clock", vars(clock.witness()))
    return clock


def wheel() -> Any:
    """The official package; there is one for Windows only."""
    try:
        return importlib.import_module("MetaTrader5")
    except ModuleNotFoundError as error:
        raise BadConfig("the package MetaTrader5 is missing: install it with pip; there is one for Windows only") from error


def _loop(gateway: Gateway, socket: "zmq.Socket[bytes]", curve: Curve | None, waits: Waits, log: Log) -> None:
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    if curve is not None:
        poller.register(curve.socket, zmq.POLLIN)
    while True:
        ready = dict(poller.poll(waits.settle_every_ms))
        if curve is not None and curve.socket in ready and not curve.answer():
            log.info("a client with an unknown key was sent away")
        if socket in ready:
            frames = socket.recv_multipart()
            # All frames must be taken before a reply can be sent. More than one is no message of this protocol.
            reply = gateway.handle(frames[0] if len(frames) == 1 else b"")
            socket.send(reply)
            gateway.kill("replied")
        gateway.idle()


def _end_with_parent() -> None:
    """The parent keeps this process's stdin open for as long as it lives."""
    # Not through the buffered stdin, which the end of the interpreter waits for.
    while os.read(0, 4096):
        pass
    os._exit(0)
