"""A gateway that speaks with pyzmq as gateways in the field do: a REP socket.

Usage: gateway.py PORT [swallow] [command [TRAP] | advisor [TRAP]]     (PORT 0: a free one)

It speaks `order-send` and has an id memory; `command` as the public service does, which reports whatever its terminal said as a
success; or it is an advisor that takes every message with "magic" or "action" for a trade. The traps are named in the classes.

Prints `port N` when it listens and `order ID TICKET` for each order that it carries out. With `swallow`, the reply to the first
order is lost: the socket is closed and bound again. Ends with its standard input.
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


class Service:
    """`command`. Traps: inner-error, hollow, stranger, blind, cannot-close, constants, stub."""

    def __init__(self, trap):
        self.trap = trap
        self.open = {}
        self.next_ticket = 70_001

    def answer(self, raw):
        request = json.loads(raw)
        req_id = request["req_id"]
        handler = {
            "OPEN_ORDER": self.open_order,
            "CLOSE_POSITION": self.close_position,
            "GET_POSITIONS": self.positions,
            "GET_ACCOUNT_INFO": self.account,
        }[request["action"]]
        data = handler(req_id, request["payload"])
        if self.trap == "stranger" and request["action"] == "OPEN_ORDER":
            req_id = str(uuid.UUID(int=0))
        # The handler ran: that is all that it says.
        return {"req_id": req_id, "status": "SUCCESS", "timestamp": request["timestamp"], "data": data, "error": None}

    def open_order(self, req_id, order):
        for name in ("volume", "price", "sl", "tp"):
            if not isinstance(order[name], float):
                return {"status": "ERROR", "error": f"'{name}' must be a float"}
        if self.trap == "inner-error":
            return {"status": "ERROR", "error": "Symbol not found"}
        if self.trap == "hollow":  # the terminal refused
            return {"status": "SUCCESS", "ticket": 0, "volume": 0.0, "price": 0.0}
        if self.trap == "stub":
            return {"status": "SUCCESS", "ticket": 12345, "volume": order["volume"], "price": 1.1}
        ticket, self.next_ticket = self.next_ticket, self.next_ticket + 1
        # Without a type it is a buy.
        self.open[ticket] = (order["symbol"], order.get("type", "BUY"), order["volume"])
        print("order", req_id, ticket, flush=True)
        return {"status": "SUCCESS", "ticket": ticket, "volume": order["volume"], "price": 1.1}

    def close_position(self, req_id, payload):
        if self.trap == "cannot-close":
            return {"status": "ERROR", "error": "module 'MetaTrader5' has no attribute 'Close'"}
        self.open.pop(payload["ticket"])
        ticket, self.next_ticket = self.next_ticket, self.next_ticket + 1
        print("order", req_id, ticket, flush=True)
        return {"status": "SUCCESS", "ticket": ticket}

    def positions(self, _req_id, _payload):
        if self.trap == "blind":
            return []
        names = ("ticket", "symbol", "type", "volume", "open_price", "current_price", "profit")
        return [dict(zip(names, (ticket, *position, 1.1, 1.1, 0.0))) for ticket, position in self.open.items()]

    def account(self, _req_id, _payload):
        if self.trap == "blind":
            return {"error": "not connected"}
        margin = 110.0 * len(self.open)
        data = {"balance": 1e4, "equity": 1e4, "free_margin": 1e4 - margin, "used_margin": margin, "currency": "USD"}
        if self.trap == "constants":
            data |= {"trade_mode": 2, "server_name": "UNKNOWN"}
        return data


class Advisor:
    """Searches the text. Traps: any-code (FILLED with a refusal), hollow (FILLED with ticket 0)."""

    def __init__(self, trap):
        self.trap = trap

    def answer(self, raw):
        text = raw[:1023].decode()
        if "magic" not in text and "action" not in text:
            return {"status": "ERROR", "msg": "Unknown message"}
        side = "SELL" if '"SELL"' in text else "BUY"
        volume = re.search(r'"volume":([0-9.]+)', text)
        print("order", side, volume.group(1) if volume else 0, flush=True)
        if self.trap == "any-code":
            return {"status": "FILLED", "ticket": 0, "retcode": 10018, "deal": 0}
        if self.trap == "hollow":
            return {"status": "FILLED", "ticket": 0}
        return {"status": "FILLED", "ticket": 80_001, "retcode": 10009, "deal": 80_002}


def far_side(arguments):
    """Whom it plays."""
    kind, trap = (arguments + [None, None])[:2]
    return {None: lambda _: Gateway(), "command": Service, "advisor": Advisor}[kind](trap)


def bind(port):
    socket = zmq.Context().socket(zmq.REP)
    socket.bind(f"tcp://127.0.0.1:{port or '*'}")
    return socket, int(socket.last_endpoint.decode().rsplit(":", 1)[1])


def main():
    socket, port = bind(int(sys.argv[1]))
    arguments = sys.argv[2:]
    swallow = arguments[:1] == ["swallow"]
    print("port", port, flush=True)
    gateway = far_side(arguments[1:] if swallow else arguments)
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
