"""The configuration file. A key that is not known is refused."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel_gateway.clock import DstRule, summer
from sentinel_gateway.guard import Expected


class BadConfig(Exception):
    """What to change in the configuration."""


@dataclass(frozen=True)
class Config:
    bind: str
    state: Path
    expected: Expected
    absent_after_s: float = 300
    server_secret: Path | None = None
    clients: Path | None = None
    terminal_path: str | None = None
    rule: DstRule | None = None

    @staticmethod
    def read(path: Path) -> "Config":
        try:
            with path.open("rb") as file:
                said = tomllib.load(file)
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise BadConfig(f"{path} cannot be read: {error}") from error
        return Config.of(said, path.parent)

    @staticmethod
    def of(said: dict[str, Any], base: Path) -> "Config":
        _known(said, "", {"gateway", "terminal", "time", "settle"})
        gateway = _table(said, "gateway", {"bind", "state", "curve"})
        terminal = _table(said, "terminal", {"path", "login", "server", "allow_real"})
        time = _table(said, "time", {"winter_s", "dst"})
        settle = _table(said, "settle", {"absent_after_s"})
        curve = gateway.get("curve")
        if curve is not None:
            _known(curve, "gateway.curve", {"server_secret", "clients"})
            if set(curve) != {"server_secret", "clients"}:
                raise BadConfig("gateway.curve needs server_secret and clients")
        bind = str(gateway.get("bind", "tcp://127.0.0.1:5555"))
        if curve is None and not _is_private(bind):
            raise BadConfig(f"{bind} is open to everybody without curve: bind a loopback or a tunnel's address")
        if "state" not in gateway:
            raise BadConfig("gateway.state is missing: name a directory on a local disk")
        return Config(
            bind=bind,
            state=base / str(gateway["state"]),
            expected=Expected(int(terminal.get("login", 0)), str(terminal.get("server", "")), terminal.get("allow_real") is True),
            absent_after_s=_absent_after(settle.get("absent_after_s", 300)),
            server_secret=base / str(curve["server_secret"]) if curve else None,
            clients=base / str(curve["clients"]) if curve else None,
            terminal_path=terminal.get("path"),
            rule=_rule(time) if time else None,
        )


def _absent_after(seconds: Any) -> float:
    if not isinstance(seconds, (int, float)) or seconds < 60:
        raise BadConfig("settle.absent_after_s must be at least 60: an order may show late")
    return float(seconds)


def _rule(time: dict[str, Any]) -> DstRule:
    winter_s, dst = time.get("winter_s"), time.get("dst")
    if not isinstance(winter_s, int) or winter_s % 1800 != 0 or abs(winter_s) > 14 * 3600:
        raise BadConfig("time.winter_s must be the server's offset in winter, in seconds, a whole half hour")
    if dst != "none":
        try:
            summer(str(dst), 2026)
        except ValueError as error:
            raise BadConfig(f"time.dst: {error}") from error
    return DstRule(winter_s, str(dst))


def _is_private(bind: str) -> bool:
    """Loopback, or an address that a tunnel can have. The internet's addresses need CURVE."""
    import ipaddress

    host = bind.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if bind.startswith("ipc://"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or (address.is_private and not address.is_unspecified)


def _table(said: dict[str, Any], name: str, keys: set[str]) -> dict[str, Any]:
    table = said.get(name, {})
    if not isinstance(table, dict):
        raise BadConfig(f"[{name}] must be a table")
    _known(table, name, keys)
    return table


def _known(table: dict[str, Any], name: str, keys: set[str]) -> None:
    for key in table:
        if key not in keys:
            raise BadConfig(f"{name + '.' if name else ''}{key} is unknown: use {', '.join(sorted(keys))}")
