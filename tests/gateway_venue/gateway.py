"""A gateway that speaks `order-send` with pyzmq, as gateways in the field do: a REP socket and an id memory.

Usage: gateway.py PORT [swallow]     (PORT 0: a free one)

Prints `port N` when it listens and `order REQ_ID TICKET` for each order that it carries out. With `swallow`, the reply to the
first order is lost: the socket is closed and bound again. Ends with its standard input.
"""

import json
import re
import sys
import threading
import uuid

import zmq

REQUIRED = ("symbol", "type", "volume", "magic", "comment", "sl", "tp")


def reply(retcode, msg, ticket=0, **data):
    return {"error": retcode != 10009, "ticket": ticket, "msg": msg, "retcode": retcode, **data}


class Gateway:
    def __init__(self):
        self.memory = {}
        self.next_ticket = 50_001

    def answer(self, raw):
        try:
            request = json.loads(raw)
            req_id = str(uuid.UUID(request["req_id"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return reply(-1, "parse error")
        if req_id in self.memory:
            return reply(10009, "Cached result", self.memory[req_id])
        if request.get("action") != "ORDER_SEND":
            return reply(-2, "missing or unknown action")
        order = request.get("payload", {})
        missing = [name for name in REQUIRED if name not in order]
        if missing:
            return reply(-2, f"missing field: {missing[0]}")
        fault = self.fault(raw, order)
        if fault:
            return reply(-3, fault)
        ticket, self.next_ticket = self.next_ticket, self.next_ticket + 1
        self.memory[req_id] = ticket
        print("order", req_id, ticket, flush=True)
        return reply(10009, "Request executed", ticket, data={"volume": order["volume"], "price": 1.10007})

    @staticmethod
    def fault(raw, order):
        """The first field that is out of range, or None."""
        if not re.search(rb'"volume": ?\d+\.\d\d[,}]', raw) or not 0.01 <= order["volume"] <= 100:
            return "volume"
        if order["type"] not in ("OP_BUY", "OP_SELL"):
            return "type"
        if not isinstance(order["magic"], int) or not 0 <= order["magic"] <= 2147483647:
            return "magic"
        if not isinstance(order["comment"], str) or len(order["comment"]) > 31:
            return "comment"
        return None


def bind(port):
    socket = zmq.Context().socket(zmq.REP)
    socket.bind(f"tcp://127.0.0.1:{port or '*'}")
    return socket, int(socket.last_endpoint.decode().rsplit(":", 1)[1])


def main():
    socket, port = bind(int(sys.argv[1]))
    swallow = sys.argv[2:] == ["swallow"]
    print("port", port, flush=True)
    gateway = Gateway()
    while True:
        raw = socket.recv()
        answer = gateway.answer(raw)
        if swallow:
            swallow = False
            socket.context.destroy(linger=0)  # returns when the port is free again
            socket, port = bind(port)
            continue
        socket.send_string(json.dumps(answer))


if __name__ == "__main__":
    threading.Thread(target=main, daemon=True).start()
    sys.stdin.read()
