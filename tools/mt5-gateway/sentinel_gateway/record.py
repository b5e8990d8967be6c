"""The Record: the `data` of every effect and of ORDER_STATUS."""

from collections.abc import Mapping
from typing import Any

from sentinel_gateway.carriers import split_magic

FINAL = frozenset({"done", "refused", "absent"})


def new_record(state: str, payload: Mapping[str, Any], magic63: int | None, comment: str | None) -> dict[str, Any]:
    """A Record that knows what was asked and nothing yet of what became of it."""
    tag, magic = split_magic(magic63) if magic63 is not None else (None, payload.get("magic"))
    return {
        "state": state,
        "final": state in FINAL,
        "sent": False,
        "replayed": False,
        "proof": None,
        "retcode": None,
        "retcode_external": None,
        "lasting": False,
        "text": "",
        "order": None,
        "deals": [],
        "position": None,
        "volume": payload.get("volume"),
        "filled": None,
        "price": None,
        "sl": payload.get("sl"),
        "tp": payload.get("tp"),
        "levels_missing": False,
        "filling": None,
        "magic": magic,
        "tag": tag,
        "comment": comment,
        "sent_at": None,
    }


def set_state(record: dict[str, Any], state: str, **more: Any) -> None:
    """Moves a Record on. What was not executed filled nothing."""
    record["state"] = state
    record["final"] = state in FINAL
    record.update(more)
    if state in ("refused", "absent"):
        record["filled"] = "0"
    if state != "held":
        record.pop("candidates", None)
