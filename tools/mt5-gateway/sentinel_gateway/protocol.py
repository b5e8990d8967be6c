"""Protocol `sentinel/1`: what a request may say, and what a reply says.

One JSON object per message. A request with an unknown key is refused, because a key that is not understood may be one that
limits the order. Prices, volumes and money are decimal strings.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sentinel_gateway.carriers import ID_PATTERN, MAGIC_MAX

VERSION = "sentinel/1"
REQUEST_BYTES_MAX = 16 * 1024
REPLY_BYTES_MAX = 60_000
EXPIRY_AHEAD_MAX_MS = 60_000
DEALS_MAX = 150

EFFECTS = frozenset({"OPEN", "CLOSE", "MODIFY", "FLATTEN"})
TRADE_MODES = ("demo", "contest", "real")
MARGIN_MODES = ("netting", "exchange", "hedging")

_HALF_PAIR = re.compile("[\ud800-\udfff]")
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,10})?")


class Refusal(Exception):
    """An error reply. It says that this message did nothing."""

    def __init__(self, code: str, text: str, *, lasting: bool = False, data: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.lasting = lasting
        self.data = data


@dataclass(frozen=True)
class Guard:
    """The account that the client means. It is compared immediately before sending."""

    login: int
    server: str
    trade_mode: str
    margin_mode: str


@dataclass(frozen=True)
class Request:
    id: str
    action: str
    payload: Mapping[str, Any]
    expires_at: int = 0
    guard: Guard | None = None
    ledger: str | None = None
    seen: int | None = None

    @property
    def is_effect(self) -> bool:
        return self.action in EFFECTS

    @property
    def digest(self) -> str:
        """Two requests with one id must be the same request."""
        guard = vars(self.guard) if self.guard else None
        return digest_of(self.action, self.payload, guard)


def digest_of(action: str, payload: Mapping[str, Any], guard: Mapping[str, Any] | None) -> str:
    said = {"action": action, "payload": payload, "guard": guard}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


Rule = Callable[[Any], bool]


def _is_int(low: int, high: int) -> Rule:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_text(longest: int) -> Rule:
    # Half a surrogate pair is JSON and no text that could be stored.
    return lambda value: isinstance(value, str) and 0 < len(value) <= longest and not _HALF_PAIR.search(value)


def _is_decimal(value: Any) -> bool:
    return isinstance(value, str) and _DECIMAL.fullmatch(value) is not None and float(value) > 0


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and ID_PATTERN.fullmatch(value) is not None


def _one_of(*values: str) -> Rule:
    return lambda value: isinstance(value, str) and value in values


def _or_null(rule: Rule) -> Rule:
    return lambda value: value is None or rule(value)


def _list_of(rule: Rule, most: int) -> Rule:
    return lambda value: isinstance(value, list) and len(value) <= most and all(rule(item) for item in value)


def _is_object(fields: Mapping[str, "Field"]) -> Rule:
    def fits(value: Any) -> bool:
        return isinstance(value, dict) and _complaint(fields, value) is None

    return fits


@dataclass(frozen=True)
class Field:
    rule: Rule
    says: str
    required: bool = True


_TIME = Field(_is_int(0, 1 << 53), "milliseconds UTC")
_SYMBOL = Field(_is_text(64), "a symbol")
_SIDE = Field(_one_of("buy", "sell"), "buy or sell")
_VOLUME = Field(_is_decimal, "lots as a decimal string above 0")
_LEVEL = Field(_or_null(_is_decimal), "a price as a decimal string, or null")
_MAGIC = Field(_is_int(0, MAGIC_MAX), "a number below 2^31")
_TICKET = Field(_is_int(1, (1 << 63) - 1), "a ticket")
_DEVIATION = Field(_is_int(0, 100_000), "points")
_NAME = Field(_is_text(64), "at most 64 characters")


def _optional(field: Field) -> Field:
    return Field(_or_null(field.rule), field.says, required=False)


GUARD = {
    "login": Field(_is_int(1, 1 << 53), "an account number"),
    "server": Field(_is_text(128), "a server's name"),
    "trade_mode": Field(_one_of(*TRADE_MODES), " or ".join(TRADE_MODES)),
    "margin_mode": Field(_one_of(*MARGIN_MODES), " or ".join(MARGIN_MODES)),
}

_ORDER_SAID = {
    "action": Field(_one_of("OPEN", "CLOSE", "MODIFY", "FLATTEN"), "the action asked about"),
    "symbol": _optional(_SYMBOL),
    "side": _optional(_SIDE),
    "volume": _optional(_VOLUME),
    "magic": _optional(_MAGIC),
    "ticket": _optional(_TICKET),
    "sl": _optional(_LEVEL),
    "tp": _optional(_LEVEL),
}

PAYLOADS: dict[str, dict[str, Field]] = {
    "HELLO": {"symbols": _optional(Field(_list_of(_SYMBOL.rule, 64), "at most 64 symbols"))},
    "OPEN": {
        "symbol": _SYMBOL,
        "side": _SIDE,
        "volume": _VOLUME,
        "sl": _LEVEL,
        "tp": _LEVEL,
        "magic": _MAGIC,
        "max_deviation_points": _DEVIATION,
    },
    "CLOSE": {
        "ticket": _TICKET,
        "symbol": _SYMBOL,
        "volume": _VOLUME,
        "magic": _MAGIC,
        "max_deviation_points": _DEVIATION,
    },
    "MODIFY": {"ticket": _TICKET, "symbol": _SYMBOL, "sl": _LEVEL, "tp": _LEVEL},
    "FLATTEN": {
        "magics": Field(_or_null(_list_of(_MAGIC.rule, 256)), "at most 256 magic numbers, or null"),
        "symbols": Field(_or_null(_list_of(_SYMBOL.rule, 64)), "at most 64 symbols, or null"),
        "all": Field(lambda value: isinstance(value, bool), "true or false", required=False),
    },
    "ORDER_STATUS": {
        "about": Field(_is_id, "the id of an order"),
        "ledger_at_send": _NAME,
        "sent_at": _TIME,
        "expires_at": _TIME,
        "order": Field(_is_object(_ORDER_SAID), "what was ordered"),
    },
    "POSITIONS": {"symbol": _optional(_SYMBOL)},
    "ACCOUNT": {},
    "DEALS": {
        "since": _TIME,
        "after": _optional(_TICKET),
        "limit": _optional(Field(_is_int(1, DEALS_MAX), f"1 to {DEALS_MAX}")),
    },
    "TICK": {"symbol": _SYMBOL},
    "HEARTBEAT": {},
}

ENVELOPE = {
    "v": Field(_is_text(64), "the protocol's version"),
    "id": _NAME,
    "action": Field(_is_text(32), "an action"),
    "expires_at": _optional(_TIME),
    "guard": _optional(Field(_is_object(GUARD), "login, server, trade_mode and margin_mode")),
    "ledger": _optional(_NAME),
    "seen": _optional(Field(_is_int(0, 1 << 53), "the highest seq seen")),
    "payload": Field(lambda value: isinstance(value, dict), "an object", required=False),
}


def _complaint(fields: Mapping[str, Field], said: Mapping[str, Any]) -> str | None:
    for name in said:
        if name not in fields:
            return f"the key {name!r} is unknown: leave it out"
    for name, field in fields.items():
        if name not in said:
            if field.required:
                return f"the key {name!r} is missing: it says {field.says}"
        elif not field.rule(said[name]):
            return f"{name!r} must be {field.says}"
    return None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def decode(raw: bytes) -> dict[str, Any]:
    """The JSON object of one message."""
    if len(raw) > REQUEST_BYTES_MAX:
        raise Refusal("too_large", f"{len(raw)} bytes are more than {REQUEST_BYTES_MAX}", lasting=True)
    try:
        said = json.loads(raw, object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal("bad_request", f"this is not JSON: {error}", lasting=True) from error
    if not isinstance(said, dict):
        raise Refusal("bad_request", "a message is one JSON object", lasting=True)
    return said


def parse(said: Mapping[str, Any]) -> Request:
    """The request, if every key and value is as the protocol says."""
    if said.get("v") != VERSION:
        raise Refusal("bad_version", f"this gateway speaks {VERSION}", lasting=True)
    complaint = _complaint(ENVELOPE, said)
    if complaint:
        raise Refusal("bad_request", complaint, lasting=True)
    action = said["action"]
    if action not in PAYLOADS:
        raise Refusal("unknown_action", f"there is no action {action!r}", lasting=True)
    payload = said.get("payload", {})
    complaint = _complaint(PAYLOADS[action], payload) or _missing(action, said)
    if complaint:
        raise Refusal("bad_request", f"{action}: {complaint}", lasting=True)
    guard = Guard(**said["guard"]) if said.get("guard") else None
    return Request(said["id"], action, payload, said.get("expires_at") or 0, guard, said.get("ledger"), said.get("seen"))


def _missing(action: str, said: Mapping[str, Any]) -> str | None:
    """What only effects, or only questions about them, must say."""
    needed: tuple[str, ...] = ()
    if action in EFFECTS:
        needed = ("expires_at", "guard", "ledger", "seen")
        if not _is_id(said["id"]):
            return "'id' must be 32 characters of a-z and 2-7"
    elif action == "ORDER_STATUS":
        needed = ("ledger", "seen")
    for name in needed:
        if said.get(name) is None:
            return f"the key {name!r} is missing"
    return None


@dataclass(frozen=True)
class Stamp:
    """What every reply says about the gateway."""

    now: int
    ledger: str
    boot: int
    seq: int


def _reply(stamp: Stamp, id: Any, action: Any, ok: bool) -> dict[str, Any]:
    return {
        "v": VERSION,
        "id": id if isinstance(id, str) else None,
        "action": action if isinstance(action, str) else None,
        "ok": ok,
        "now": stamp.now,
        "ledger": stamp.ledger,
        "boot": stamp.boot,
        "seq": stamp.seq,
    }


def answer(stamp: Stamp, request: Request, data: Mapping[str, Any]) -> bytes:
    reply = _reply(stamp, request.id, request.action, ok=True)
    reply["data"] = data
    raw = json.dumps(reply, separators=(",", ":")).encode()
    if len(raw) > REPLY_BYTES_MAX:
        return refuse(stamp, request.id, request.action, Refusal("too_large", "the answer is too long: ask for less"))
    return raw


def refuse(stamp: Stamp, id: Any, action: Any, refusal: Refusal) -> bytes:
    reply = _reply(stamp, id, action, ok=False)
    reply["error"] = {"code": refusal.code, "text": refusal.text, "lasting": refusal.lasting}
    if refusal.data is not None:
        reply["data"] = refusal.data
    return json.dumps(reply, separators=(",", ":")).encode()
