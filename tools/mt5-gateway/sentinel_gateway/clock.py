"""Time: a `now` that never goes back, and what the terminal's times mean.

The terminal tells times as its server's wall clock, and no function says how far that is from UTC. The offset is measured
on ticks that were seen to move. What lies in the past needs a rule for daylight saving, because the offset was another.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HALF_HOUR_S = 1800
REMAINDER_S = 30
MOVES = 3

# No message is under way for longer. A clock that is further behind an earlier process is taken as it is, because that
# process may have run on a clock that was ahead.
SET_BACK_MAX_S = 600
# How much slower `now` goes while it is ahead of the wall clock.
SLOWER = 0.05


class Clock:
    """Milliseconds UTC that never go back: a clock set back, or a machine asleep, revives no expired request.

    While the wall clock is behind, time goes on a little slower until it has caught up. An order lives that little longer,
    and a monotonic clock that runs fast for weeks, as Windows' may, does not let every order be late.
    `witnessed` is what the ledger knows of earlier processes, so that a restart after the setting revives nothing either.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        witnessed: "Witnessed | None" = None,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._boot_monotonic = self._at_monotonic = monotonic()
        self._at_wall = wall()
        self.set_back_s = 0.0
        if witnessed is not None:
            self.set_back_s = max(0.0, witnessed.at_least_s(self._boot_monotonic) - self._at_wall)
        if self.set_back_s <= SET_BACK_MAX_S:
            self._at_wall += self.set_back_s

    def now(self) -> int:
        wall, monotonic = self._wall(), self._monotonic()
        passed = monotonic - self._at_monotonic
        ahead = self._at_wall + passed - wall
        self._at_wall = wall if ahead <= 0 else self._at_wall + passed - min(ahead, passed * SLOWER)
        self._at_monotonic = monotonic
        return int(self._at_wall * 1000)

    def steady(self) -> int:
        """Milliseconds of this process's life, which no setting of a clock makes longer or shorter."""
        return int((self._monotonic() - self._boot_monotonic) * 1000)

    def witness(self) -> "Witnessed":
        return Witnessed(self.now() / 1000, self._monotonic())

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class Witnessed:
    """A time that an earlier process saw, beside the machine's own monotonic clock."""

    wall_s: float
    monotonic_s: float

    def at_least_s(self, monotonic_s: float) -> float:
        """The earliest that it can be now. After a reboot the monotonic clock tells less than what passed, never more."""
        return self.wall_s + max(0.0, monotonic_s - self.monotonic_s)


@dataclass(frozen=True)
class DstRule:
    """The server's offset over the year: `winter_s`, and one hour more in the summer of `us` or `eu`."""

    winter_s: int
    dst: str

    def offset_s(self, utc_s: float) -> int:
        return self.winter_s + (3600 if self._summer(utc_s) else 0)

    def to_utc_s(self, server_s: float) -> float | None:
        """`None` where the server's wall clock shows the same hour twice, or never."""
        fits = [
            server_s - offset for offset in (self.winter_s, self.winter_s + 3600) if self.offset_s(server_s - offset) == offset
        ]
        return fits[0] if len(fits) == 1 else None

    def _summer(self, utc_s: float) -> bool:
        if self.dst == "none":
            return False
        begin, end = summer(self.dst, datetime.fromtimestamp(utc_s, UTC).year)
        return begin <= utc_s < end


def summer(dst: str, year: int) -> tuple[float, float]:
    """The first and the last second of summer time, in seconds UTC."""
    if dst == "us":
        return _sunday(year, 3, 2, hour=7), _sunday(year, 11, 1, hour=6)
    if dst == "eu":
        return _sunday(year, 3, -1, hour=1), _sunday(year, 10, -1, hour=1)
    raise ValueError(f"there is no rule {dst!r} for daylight saving: use us, eu or none")


def _sunday(year: int, month: int, which: int, hour: int) -> float:
    day = datetime(year, month, 1, hour, tzinfo=UTC)
    sundays = [day + timedelta(n) for n in range(31) if (day + timedelta(n)).month == month]
    sundays = [day for day in sundays if day.weekday() == 6]
    return sundays[which if which < 0 else which - 1].timestamp()


@dataclass(frozen=True)
class Offset:
    """How far the server's clock is ahead of UTC."""

    offset_s: int
    measured_at: int
    error_ms: int


class OffsetMeter:
    """Measures the offset on ticks: three moves that agree, each at most 30 s off a half hour."""

    def __init__(self) -> None:
        self._moves: deque[tuple[int, int]] = deque(maxlen=MOVES)

    def moved(self, tick_ms: int, now_ms: int) -> Offset | None:
        """Takes a tick that was just seen to move."""
        ahead_ms = tick_ms - now_ms
        offset_s = round(ahead_ms / 1000 / HALF_HOUR_S) * HALF_HOUR_S
        remainder_ms = ahead_ms - offset_s * 1000
        if abs(remainder_ms) > REMAINDER_S * 1000:
            self._moves.clear()
            return None
        self._moves.append((offset_s, remainder_ms))
        if len(self._moves) < MOVES or len({offset for offset, _ in self._moves}) > 1:
            return None
        return Offset(offset_s, now_ms, max(abs(remainder) for _, remainder in self._moves))


class ServerTime:
    """What the store and the ticks say about the server's clock, and what follows for a time that it tells."""

    def __init__(self, rule: DstRule | None, stored: Offset | None) -> None:
        self.rule = rule
        self.offset = stored
        self.source = "stored" if stored else "none"
        self._meter = OffsetMeter()

    def moved(self, tick_ms: int, now_ms: int) -> Offset | None:
        """The new offset, where three moves agree on one."""
        measured = self._meter.moved(tick_ms, now_ms)
        if measured is not None:
            self.offset, self.source = measured, "measured"
        return measured

    def agrees(self, now_ms: int) -> bool:
        """Whether the rule says what was measured. A disagreement means that one of them is wrong."""
        if self.offset is None:
            return False
        return self.rule is None or self.rule.offset_s(now_ms / 1000) == self.offset.offset_s

    def current_to_utc(self, server_ms: int, now_ms: int) -> int | None:
        """A time of just now."""
        if self.offset is None or not self.agrees(now_ms):
            return None
        return server_ms - self.offset.offset_s * 1000

    def past_to_utc(self, server_ms: int, now_ms: int) -> int | None:
        """A time that may lie on the other side of a change to or from summer time."""
        if self.rule is None or not self.agrees(now_ms):
            return None
        utc_s = self.rule.to_utc_s(server_ms // 1000)
        return None if utc_s is None else int(utc_s) * 1000 + server_ms % 1000

    def about_utc(self, server_ms: int) -> int | None:
        """A time of the last days by the newest offset, good to an hour."""
        return None if self.offset is None else server_ms - self.offset.offset_s * 1000
