"""What a return code proves."""

import pytest

from sentinel_gateway.retcodes import LASTING, PASSING, classify, classify_none


@pytest.mark.parametrize(
    ("retcode", "order", "filling", "state"),
    [
        (10009, 9001, "fok", "done"),
        (10009, 0, "fok", "unknown"),
        (10010, 9001, "ioc", "done"),
        (10010, 9001, "return", "placed"),
        (10010, 0, "ioc", "unknown"),
        (10008, 9001, "fok", "placed"),
        (10008, 0, "fok", "unknown"),
        (10004, 0, "fok", "refused"),
        (10004, 9001, "fok", "unknown"),
        (10019, 0, "fok", "refused"),
        (10019, 9001, "fok", "unknown"),
        (10011, 0, "fok", "unknown"),
        (10012, 0, "fok", "unknown"),
        (10031, 0, "fok", "unknown"),
        (0, 0, "fok", "unknown"),
        (10037, 0, "fok", "unknown"),
        (10099, 0, "fok", "unknown"),
    ],
)
def test_a_code_is_final_only_where_it_proves_something(retcode: int, order: int, filling: str, state: str) -> None:
    assert classify(retcode, order, filling).state == state


def test_every_code_of_the_reference_has_one_class() -> None:
    assert not PASSING & LASTING
    proves_nothing = {10008, 10009, 10010, 10011, 10012, 10031, 10005, 10037}
    assert set(range(10004, 10047)) == PASSING | LASTING | proves_nothing


@pytest.mark.parametrize(
    ("code", "text", "state"),
    [
        (-10004, "No IPC connection", "refused"),
        (-2, 'Invalid "comment" argument', "refused"),
        (-2, "Unnamed arguments not allowed", "refused"),
        (-2, "Terminal: Invalid params", "unknown"),
        (-10002, "IPC recv failed", "unknown"),
        (-10001, "IPC send failed", "unknown"),
        (-1, "Terminal: Call failed", "unknown"),
        (-10003, "IPC initialize failed", "unknown"),
    ],
)
def test_none_proves_that_nothing_left_only_where_the_wheel_refused(code: int, text: str, state: str) -> None:
    outcome = classify_none(code, text)
    assert outcome.state == state
    assert outcome.sent is (state == "unknown")
