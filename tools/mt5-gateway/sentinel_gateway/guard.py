"""The guard: is this the account that the client means, and may it trade? Asked immediately before sending."""

from dataclasses import dataclass

from sentinel_gateway.facts import Account, TerminalFacts
from sentinel_gateway.protocol import Guard
from sentinel_gateway.retcodes import API_DISABLED, AUTOTRADING_OFF_SERVER, AUTOTRADING_OFF_TERMINAL


@dataclass(frozen=True)
class Expected:
    """The account of the gateway's own configuration. Zero and the empty text expect nothing."""

    login: int = 0
    server: str = ""
    allow_real: bool = False


def mismatch(guard: Guard, account: Account) -> str | None:
    """How the terminal's account differs from the one that the client means."""
    for name in ("login", "server", "trade_mode", "margin_mode"):
        meant, shown = getattr(guard, name), getattr(account, name)
        if meant != shown:
            return f"terminal is on {name} {shown}, not {meant}"
    return None


def another(expected: Expected, account: Account) -> str | None:
    """That the terminal is not on the account of the gateway's configuration, if that names one."""
    if expected.login and account.login != expected.login:
        return f"terminal is on {account.login}, and this gateway is set up for {expected.login}"
    if expected.server and account.server != expected.server:
        return f"terminal is on {account.server}, and this gateway is set up for {expected.server}"
    return None


def unexpected(expected: Expected, account: Account) -> str | None:
    """Why the gateway's configuration lets nobody trade on this account."""
    wrong = another(expected, account)
    if wrong:
        return wrong
    if account.trade_mode not in ("demo", "contest") and not expected.allow_real:
        return "this is a real account: set terminal.allow_real if that is meant"
    return None


def forbidden(terminal: TerminalFacts, account: Account) -> tuple[int, str] | None:
    """Code and text of a permission that is missing."""
    if terminal.tradeapi_disabled:
        return API_DISABLED, "the terminal's option for the Python API is off"
    if not terminal.trade_allowed:
        return AUTOTRADING_OFF_TERMINAL, "Algo Trading is off in the terminal"
    if not account.trade_allowed or not account.trade_expert:
        return AUTOTRADING_OFF_SERVER, "the server does not let programs trade on this account"
    return None


def expired(expires_at: int, now: int) -> str | None:
    """Why it is too late. A request's last millisecond still counts."""
    return f"{now - expires_at} ms late" if now > expires_at else None
