"""The fake broker: takes orders, executes them when their time has come, and tells lies according to plan."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fake_terminal.book import BALANCE, CANCELED, FILLED, IN, INOUT, OUT, REJECTED, Book, Order
from fake_terminal.faults import Faults, Plan
from fake_terminal.market import ACCOUNTS, MARGIN_MODES, MARKETS, TICK_EVERY_S, TRADE_MODES
from fake_terminal.truth import Truth

WINTER_S = 7200
REFUSED = 10006
NEVER = 1e12
NO_POSITION = -1
REASON_CLIENT, REASON_EXPERT, REASON_SL = 0, 3, 4


@dataclass(frozen=True)
class Result:
    """What the terminal answers, and what it does to its caller meanwhile."""

    value: Any
    error: tuple[int, str] = (1, "Success")
    # "", "kill", "hang" or "drop".
    then: str = ""


class Broker:
    def __init__(
        self,
        truth: Truth,
        faults: Faults,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        *,
        factor: float = 1.0,
        margin_mode: str = "hedging",
        trade_mode: str = "demo",
    ) -> None:
        self._truth = truth
        self.faults = faults
        self._clock = clock
        self._sleep = sleep
        self._factor = factor
        self.book = Book(margin_mode == "hedging")
        self.margin_mode = MARGIN_MODES[margin_mode]
        self.trade_mode = TRADE_MODES[trade_mode]
        self.account = 0
        self.offset_s = WINTER_S
        self.trade_allowed = True
        self.api_disabled = False
        self._switched_until = 0.0
        self.away_until = 0.0
        self.empty_until = 0.0
        self._frozen_until = 0.0
        self._frozen_at = 0.0
        self._newest_known_at: float | None = None
        self._partial_until = 0.0
        self._partial_before = 0.0
        fresh = True
        for at, kind, data in truth.events():
            fresh = False
            self.book.apply(at, kind, data)
            if kind == "offset":
                self.offset_s = data["offset_s"]
        if fresh:
            for account in range(len(ACCOUNTS)):
                self._deposit(account)

    @property
    def now(self) -> float:
        return self._clock()

    def server_ms(self, at: float) -> int:
        return int((at + self.offset_s) * 1000)

    def advance(self) -> None:
        """Does everything whose time has come."""
        now = self.now
        for order in list(self.book.working.values()):
            while order.ticket in self.book.working and order.steps and order.steps[0][0] <= now:
                self._step(order)

    def tick(self, symbol: str) -> dict[str, Any]:
        at = self._frozen_at if self.now < self._frozen_until else self.now
        every = TICK_EVERY_S * self._factor
        number = int(at / every)
        market = MARKETS[symbol]
        time_ms = self.server_ms(number * every)
        return {"bid": market.bid(number), "ask": market.ask(number), "time_msc": time_ms, "time": time_ms // 1000}

    def current_account(self) -> int:
        """A switch shows when the account is asked for, so that it never falls between a guard and its order."""
        self.account = 1 if self.now < self._switched_until else 0
        return self.account

    def connected(self) -> bool:
        return self.now >= self.away_until

    def lists_are_empty(self) -> bool:
        return self.now < self.empty_until

    def ends_before(self) -> float:
        """The time before which everything is listed, and after which nothing is."""
        return self._partial_before if self.now < self._partial_until else NEVER

    def showed_deals(self, ticket: int, volume: float) -> None:
        """Who was shown every deal of a ticket knows that it is done."""
        order = self.book.orders.get(ticket)
        if order is not None and volume >= order.data["volume"] - 1e-9:
            at = float(order.data["at"])
            self._newest_known_at = max(at, self._newest_known_at or at)

    def send(self, request: dict[str, Any], called_at: float, pid: int) -> Result:
        """`order_send`, with the faults that are planned for it."""
        number = self.book.sent + 1
        plan = self.faults.plan(number)
        said = {"number": number, "pid": pid, "account": self.account, "called_at": called_at, "request": request}
        self._happen("sent", {**said, "plan": plan.shown()})
        if plan.pipe == "kill_before":
            return Result(None, then="kill")
        if plan.pipe == "hang_before":
            return Result(None, then="hang")
        if plan.pipe == "pipe_before":
            return Result(None, then="drop")
        if plan.pipe == "suspend":
            self._sleep(plan.suspend_s * self._factor)
        meant = self._by_identifier(request)
        value = self._levels(meant) if request["action"] == 6 else self._trade(meant, plan, number)
        value["request"] = request
        if plan.pipe == "kill_executed":
            self.advance()
        self._disturb(plan, request)
        then = {"kill_accepted": "kill", "kill_executed": "kill", "hang_after": "hang", "pipe_after": "drop"}
        return Result(value, then=then.get(plan.pipe, ""))

    def _trade(self, request: dict[str, Any], plan: Plan, number: int) -> dict[str, Any]:
        if not self.connected():
            return _result(10031, request, "No connection")
        wrong = self._wrong_close(request)
        if wrong:
            return _result(wrong, request, "Position closed")
        if plan.outcome == "refuse":
            return _result(plan.retcode, request, "Refused")
        if plan.outcome == "requote":
            return _result(10004, request, "Requote")
        if plan.outcome == "unknown_nothing":
            return _result(plan.retcode, request, "Unknown")
        order = self._accept(request, plan, number)
        delayed = plan.pipe != "kill_accepted"
        if delayed:
            self.advance()
        return self._told(request, plan, order)

    def _told(self, request: dict[str, Any], plan: Plan, order: Order) -> dict[str, Any]:
        filled = round(order.data["volume"] - order.left, 8)
        ticket = order.ticket
        if plan.outcome == "unknown_executed":
            return _result(10012, request, "Request canceled by timeout")
        if plan.outcome == "refused_with_ticket":
            return _result(REFUSED, request, "Request rejected", order=ticket)
        if plan.outcome in ("placed_fill", "placed_cancel"):
            return _result(10008, request, "Order placed", order=ticket)
        if plan.outcome == "late":
            return _result(10009, request, "Request executed", order=ticket, volume=order.data["volume"])
        if plan.outcome == "done_without_ticket":
            return _result(10009, request, "Request executed", volume=filled)
        deal = max((deal["ticket"] for deal in self.book.deals if deal["order"] == ticket), default=0)
        price = next((deal["price"] for deal in self.book.deals if deal["order"] == ticket), 0.0)
        if plan.outcome == "zero":
            deal, price = 0, 0.0
        code = 10010 if 0 < filled < order.data["volume"] else 10009
        return _result(code, request, "Request executed", order=ticket, deal=deal, volume=filled, price=price)

    def _accept(self, request: dict[str, Any], plan: Plan, number: int) -> Order:
        volume, now = request["volume"], self.now
        late = plan.late_s * self._factor
        begin = now
        if plan.outcome in ("late", "placed_fill", "placed_cancel") or plan.pipe == "kill_accepted":
            begin = now + late
        steps: list[tuple[float, str, float]] = []
        part = volume
        if plan.outcome == "partial" and request["type_filling"] != 0 and volume >= 0.02:
            part = round(int(volume * 50) / 100, 2)
        if plan.outcome == "placed_cancel":
            part = 0.0
        if part:
            first = round(int(part * 50) / 100, 2) if plan.split and part >= 0.02 else 0.0
            steps = [(begin, "fill", first)] if first else []
            steps.append((begin, "fill", round(part - first, 8)))
        # With RETURN the rest stays in the market for a while.
        rest_at = begin + late if request["type_filling"] == 2 and part < volume else begin
        steps.append((rest_at, "end", 0.0))
        comment, magic = _carried(request, plan)
        return self._new_order(
            request, steps, at=now, comment=comment, magic=magic, number=number, reason=REASON_EXPERT,
            lags=self._lags(plan), dropped=plan.levels_dropped,
        )  # fmt: skip

    def _lags(self, plan: Plan) -> dict[str, float]:
        lags = {name: lag * self._factor for name, lag in plan.lags_s.items()}
        return lags | {"orders": NEVER} if plan.hidden else lags

    def _new_order(
        self,
        request: dict[str, Any],
        steps: list[tuple[float, str, float]],
        *,
        at: float,
        comment: str,
        magic: int,
        number: int,
        reason: int,
        lags: dict[str, float],
        dropped: bool = False,
    ) -> Order:
        """`at` is when it was set up: none of its steps may be older, or a list that ends before it shows its deals."""
        ticket = self.book.next_ticket
        data = {
            "ticket": ticket,
            "number": number,
            "account": self.account,
            "symbol": request["symbol"],
            "type": request["type"],
            "volume": request["volume"],
            "filling": request["type_filling"],
            "position": request.get("position", 0),
            "magic": magic,
            "comment": comment,
            "magic_sent": request.get("magic", 0),
            "comment_sent": request.get("comment", ""),
            "sl": 0.0 if dropped else request.get("sl", 0.0),
            "tp": 0.0 if dropped else request.get("tp", 0.0),
            "steps": steps,
            "lags": lags,
            "reason": reason,
            "at": at,
            "time_msc": self.server_ms(at),
        }
        self._happen("accepted", data, at)
        return self.book.orders[ticket]

    def _step(self, order: Order) -> None:
        at, what, volume = order.steps[0]
        if what == "end":
            state = FILLED if order.left == 0 else CANCELED
            self._happen("ended", {"order": order.ticket, "state": state}, at)
        elif self._wrong_close({**order.data, "volume": volume}):
            self._happen("ended", {"order": order.ticket, "state": REJECTED if not order.deals else CANCELED}, at)
        else:
            self._happen("deal", self._deal(order, at, volume), at)

    def _deal(self, order: Order, at: float, volume: float) -> dict[str, Any]:
        data = order.data
        tick = self.tick(data["symbol"])
        entry, position = self._entry(order, volume)
        return {
            "ticket": self.book.next_ticket,
            "order": order.ticket,
            "account": data["account"],
            "symbol": data["symbol"],
            "type": data["type"],
            "volume": volume,
            "price": tick["ask"] if data["type"] == 0 else tick["bid"],
            "entry": entry,
            "position_id": position,
            "magic": data["magic"],
            "comment": data["comment"],
            "reason": data["reason"],
            "sl": data["sl"],
            "tp": data["tp"],
            "lags": data["lags"],
            "at": at,
            "time_msc": self.server_ms(at),
        }

    def _entry(self, order: Order, volume: float) -> tuple[int, int]:
        data = order.data
        if self.book.hedging:
            return (OUT, data["position"]) if data["position"] else (IN, order.ticket)
        for position in self.book.true.open.values():
            if (position.symbol, position.account) == (data["symbol"], data["account"]):
                if position.side == data["type"]:
                    return IN, position.ticket
                return (INOUT if volume > position.volume else OUT), position.ticket
        return IN, order.ticket

    def _wrong_close(self, request: dict[str, Any]) -> int:
        if not self.book.hedging or not request.get("position"):
            return 0
        position = self.book.true.open.get(request["position"])
        if position is None or position.account != request.get("account", self.account):
            return 10036
        return 10038 if request["volume"] > position.volume + 1e-9 else 0

    def _by_identifier(self, request: dict[str, Any]) -> dict[str, Any]:
        """Orders name a position by its ticket, history names it by its identifier. A ticket of before is no position's."""
        if not self.book.hedging or not request.get("position"):
            return request
        return {**request, "position": self.book.identifier_of(request["position"]) or NO_POSITION}

    def reopen_positions(self) -> None:
        """What some brokers do at the swap: each position goes on under another ticket and keeps its identifier."""
        for position in self.book.true.open.values():
            if self.book.hedging and position.account == self.account:
                self._happen("reopened", {"position": position.ticket, "ticket": self.book.next_ticket})

    def _levels(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["position"] not in self.book.true.open:
            return _result(10036, request, "Position closed")
        position = self.book.true.open[request["position"]]
        if (position.sl, position.tp) == (request["sl"], request["tp"]):
            return _result(10025, request, "No changes")
        self._happen("levels", {name: request[name] for name in ("position", "sl", "tp")})
        return _result(10009, request, "Request executed")

    def _disturb(self, plan: Plan, request: dict[str, Any]) -> None:
        """What happens to the world beside the order."""
        now, factor = self.now, self._factor
        if plan.lookalike_s is not None and request["action"] == 1:
            at = now + plan.lookalike_s * factor
            steps = [(at, "fill", request["volume"]), (at, "end", 0.0)]
            foreign = {**request, "magic": 0, "comment": "", "position": 0}
            self._new_order(foreign, steps, at=now, comment="", magic=0, number=0, reason=REASON_CLIENT, lags={})
        if plan.reopen:
            self.reopen_positions()
        if plan.broker_stop:
            self._stop_a_position()
        if plan.disconnect_s:
            self.away_until = now + plan.disconnect_s * factor
            self.empty_until = self.away_until + plan.empty_s * factor
        if plan.account_switch_s:
            self._switched_until = now + plan.account_switch_s * factor
        if plan.frozen_s:
            self._frozen_at, self._frozen_until = now, now + plan.frozen_s * factor
        if plan.partial_s and self._newest_known_at is not None:
            if now >= self._partial_until:
                self._partial_before = self._newest_known_at
            self._partial_until = max(self._partial_until, now + plan.partial_s * factor)
        if plan.offset:
            self.offset_s = WINTER_S + 3600 if self.offset_s == WINTER_S else WINTER_S
            self._happen("offset", {"offset_s": self.offset_s})

    def _stop_a_position(self) -> None:
        """The broker's own stop closes a position, with the magic number of the order that opened it."""
        for position in self.book.true.open.values():
            if position.account == self.account and self.book.hedging:
                request = {
                    "symbol": position.symbol, "type": 1 - position.side, "volume": position.volume,
                    "type_filling": 0, "position": position.ticket,
                }  # fmt: skip
                now = self.now
                steps = [(now, "fill", position.volume), (now, "end", 0.0)]
                self._new_order(
                    request, steps, at=now, comment="[sl 1.1]", magic=position.magic, number=0, reason=REASON_SL, lags={}
                )
                self.advance()
                return

    def _deposit(self, account: int) -> None:
        now = self.now
        deal = {
            "ticket": self.book.next_ticket, "order": 0, "account": account, "symbol": "", "type": BALANCE,
            "volume": 0.0, "price": 0.0, "entry": IN, "position_id": 0, "magic": 0, "comment": "deposit", "reason": 0,
            "lags": {}, "at": now - 86400, "time_msc": self.server_ms(now - 86400), "profit": 10000.0,
        }  # fmt: skip
        self._happen("deal", deal)

    def _happen(self, kind: str, data: dict[str, Any], at: float | None = None) -> None:
        at = self.now if at is None else at
        self._truth.append(at, kind, data)
        self.book.apply(at, kind, data)


def _carried(request: dict[str, Any], plan: Plan) -> tuple[str, int]:
    comment, magic = request.get("comment", ""), request.get("magic", 0)
    comment = {
        "comment_cut": comment[:18],
        "comment_cut_short": comment[:9],
        "comment_tail": comment[:16] + "[sl 1.1]",
        "comment_emptied": "",
        "comment_replaced": "by broker",
    }.get(plan.comment, comment)
    magic = {"magic_32": magic & 0xFFFFFFFF, "magic_zero": 0}.get(plan.magic, magic)
    return comment, magic


def _result(
    retcode: int,
    request: dict[str, Any],
    comment: str,
    *,
    order: int = 0,
    deal: int = 0,
    volume: float = 0.0,
    price: float = 0.0,
) -> dict[str, Any]:
    return {
        "retcode": retcode, "deal": deal, "order": order, "volume": volume, "price": price, "bid": 0.0, "ask": 0.0,
        "comment": comment, "request_id": 1, "retcode_external": 0, "request": request,
    }  # fmt: skip
