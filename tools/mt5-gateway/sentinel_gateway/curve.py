"""CURVE: which keys may speak to this gateway.

The answer to libzmq's question (ZAP, RFC 27) is given in the one thread. A request by an unknown key never leaves its
client, because the handshake ends first.
"""

import contextlib
from pathlib import Path

import zmq
import zmq.auth
from zmq.utils import z85

from sentinel_gateway.config import BadConfig

ZAP_ADDRESS = "inproc://zeromq.zap.01"


class Curve:
    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", server_secret: Path, clients: Path) -> None:
        try:
            public, secret = zmq.auth.load_certificate(server_secret)
        except (OSError, ValueError) as error:
            raise BadConfig(f"{server_secret} holds no keys: {error}") from error
        if secret is None:
            raise BadConfig(f"{server_secret} holds no secret key: name the file that ends with .key_secret")
        self._public, self._secret = public, secret
        self._clients = clients
        if not clients.is_dir():
            raise BadConfig(f"{clients} is no directory: put the clients' .key files there")
        self.socket: zmq.Socket[bytes] = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind(ZAP_ADDRESS)

    def secure(self, socket: "zmq.Socket[bytes]") -> None:
        """Must be called before the socket is bound."""
        socket.curve_server = True
        socket.curve_publickey = self._public
        socket.curve_secretkey = self._secret
        socket.zap_domain = b"sentinel"

    def answer(self) -> bool:
        """Answers one question of libzmq. Whether the key was known."""
        frames = self.socket.recv_multipart()
        version, request_id, mechanism = frames[0], frames[1], frames[5] if len(frames) > 5 else b""
        key = z85.encode(frames[6]) if mechanism == b"CURVE" and len(frames) > 6 else b""
        known = version == b"1.0" and key != b"" and key in self._known()
        status, text = (b"200", b"OK") if known else (b"400", b"unknown key")
        self.socket.send_multipart([b"1.0", request_id, status, text, b"", b""])
        return known

    def _known(self) -> set[bytes]:
        """Read at every handshake, so that a key can be added or taken away while the gateway runs."""
        keys = set()
        for path in self._clients.glob("*.key"):
            # One that is half written, or gone by now, lets nobody in and ends nothing.
            with contextlib.suppress(OSError, ValueError):
                keys.add(zmq.auth.load_certificate(path)[0])
        return keys
