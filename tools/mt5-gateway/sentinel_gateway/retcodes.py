"""What a trade return code proves."""

from dataclasses import dataclass

PLACED = 10008
DONE = 10009
DONE_PARTIAL = 10010
AUTOTRADING_OFF_SERVER = 10026
AUTOTRADING_OFF_TERMINAL = 10027
API_DISABLED = -8

PASSING = frozenset({10004, 10006, 10018, 10020, 10021, 10024, 10028, 10029})
LASTING = frozenset(
    {10007, *range(10013, 10018), 10019, 10022, 10023, *range(10025, 10028), 10030, *range(10032, 10037)}
) | frozenset(range(10038, 10047))

# The wheel's own refusals, and a pipe that was already broken: nothing was written to the terminal.
NOTHING_WRITTEN = -10004
REFUSED_BY_WHEEL = ("Invalid ", "Unnamed ")


@dataclass(frozen=True)
class Outcome:
    """`state` of the record, and whether a refusal will be repeated."""

    state: str
    sent: bool = True
    lasting: bool = False


def classify(retcode: int, order: int, filling: str) -> Outcome:
    """What a result of `order_send` proves. What it does not prove is unknown, and evidence settles it."""
    if retcode in (DONE, DONE_PARTIAL) and order == 0:
        return Outcome("unknown")
    if retcode == DONE:
        return Outcome("done")
    if retcode == DONE_PARTIAL:
        # The rest of an order with filling RETURN stays in the market.
        return Outcome("done") if filling == "ioc" else Outcome("placed")
    if retcode == PLACED:
        return Outcome("placed") if order else Outcome("unknown")
    if order == 0 and retcode in PASSING:
        return Outcome("refused")
    if order == 0 and retcode in LASTING:
        return Outcome("refused", lasting=True)
    return Outcome("unknown")


def classify_none(code: int, text: str) -> Outcome:
    """What `None` from `order_send` proves, by the error that the wheel kept."""
    if code == NOTHING_WRITTEN:
        return Outcome("refused", sent=False)
    if code == -2 and text.startswith(REFUSED_BY_WHEEL):
        return Outcome("refused", sent=False, lasting=True)
    return Outcome("unknown")
