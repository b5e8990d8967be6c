"""How long everything takes, in one place, so that one factor can shorten it all in tests."""

from dataclasses import dataclass

# A busy machine needs this long for a call although nothing hangs.
SHORTEST_LIMIT_S = 1.5


@dataclass(frozen=True)
class Waits:
    """Milliseconds, except what faulthandler takes: seconds."""

    absent_after_ms: int
    connected_ms: int
    apart_ms: int
    deals_ms: int
    complete_ms: int
    settle_every_ms: int
    watch_every_ms: int
    watch_ms: int
    read_limit_s: float
    send_limit_s: float
    initialize_limit_s: float
    restart_first_s: float
    restart_last_s: float

    @staticmethod
    def scaled(factor: float = 1.0, absent_after_s: float = 300) -> "Waits":
        """`factor` is 1 beside a real terminal. Tests shorten every wait, of the fake terminal too, by one factor."""

        def ms(seconds: float) -> int:
            return max(1, int(seconds * 1000 * factor))

        def limit(seconds: float) -> float:
            return seconds if factor == 1.0 else max(SHORTEST_LIMIT_S, seconds * factor)

        return Waits(
            absent_after_ms=ms(absent_after_s),
            connected_ms=ms(30),
            apart_ms=ms(10),
            deals_ms=ms(2),
            complete_ms=ms(60),
            settle_every_ms=max(25, ms(2)),
            watch_every_ms=ms(60),
            watch_ms=ms(24 * 3600),
            read_limit_s=limit(20),
            send_limit_s=limit(45),
            initialize_limit_s=limit(200),
            restart_first_s=1.0 * factor,
            restart_last_s=30.0 * factor,
        )
