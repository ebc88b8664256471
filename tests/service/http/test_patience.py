"""A simulated connection: bytes move as a test says, and the clock is the test's."""

from dataclasses import dataclass

import pytest

from service.http.patience import Pace, Patience
from service.settings import LimitSettings

LIMITS = LimitSettings(
    first_byte_timeout_s=15,
    idle_timeout_s=75,
    head_timeout_s=15,
    receive_timeout_s=600,
    receive_stall_timeout_s=30,
    min_receive_bytes_per_s=8192,
    send_stall_timeout_s=30,
    min_send_bytes_per_s=8192,
)
STEP_S = 0.5


@dataclass
class Simulated:
    phase: str = "waiting"
    last_request: object | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    unsent_bytes: int = 0


def seconds_until_cut(connection, most_s, move=lambda now: None):
    """When it is cut, and why; or that it was not."""
    patience = Patience(connection, LIMITS, 0.0)
    now = 0.0
    while now < most_s:
        now += STEP_S
        move(now)
        reason = patience.look(now)
        if reason is not None:
            return now, reason
    return None, None


@pytest.mark.parametrize(
    ("phase", "request_", "seconds", "reason"),
    [
        ("waiting", None, 15, "no-request"),
        ("waiting", "first", 75, "no-request"),
        ("head", None, 15, "slow-head"),
        ("body", "first", 30, "slow-body"),
    ],
)
def test_a_client_that_does_nothing_is_cut_in_its_time(phase, request_, seconds, reason):
    after, why = seconds_until_cut(Simulated(phase, request_), 100)
    assert why == reason
    assert seconds < after <= seconds + 2 * STEP_S


def test_one_who_waits_for_an_answer_waits_as_long_as_it_takes():
    assert seconds_until_cut(Simulated("busy", "first"), 10_000) == (None, None)


def test_a_head_of_one_byte_a_second_is_cut_all_the_same():
    connection = Simulated("head")

    def drip(now):
        connection.received_bytes += 1

    assert seconds_until_cut(connection, 100, drip)[1] == "slow-head"


def test_each_head_and_each_body_has_its_own_time():
    connection = Simulated("head")

    def go_on(now):
        second = int(now) // 10
        connection.phase = "head" if second % 2 == 0 else "body"
        connection.last_request = second // 2

    assert seconds_until_cut(connection, 500, go_on) == (None, None)


@pytest.mark.parametrize(
    ("bytes_per_s", "pause_s", "expected"),
    [
        (32_000, 0, None),  # A mobile line of 256 kbit/s: 18 MB in ten minutes.
        (9_000, 0, None),
        (32_000, 20, None),  # It pauses now and then.
        (4_000, 0, "slow-body"),
        (100, 0, "slow-body"),
    ],
)
def test_a_body_must_keep_the_least_rate_on_average(bytes_per_s, pause_s, expected):
    connection = Simulated("body", "first")

    def send(now):
        if now % 60 > pause_s:
            connection.received_bytes += int(bytes_per_s * STEP_S)

    after, why = seconds_until_cut(connection, 590, send)
    assert why == expected
    assert why is None or after < 90


def test_a_body_without_end_is_cut_whatever_its_rate():
    connection = Simulated("body", "first")

    def send(now):
        connection.received_bytes += 1_000_000

    after, why = seconds_until_cut(connection, 700, send)
    assert why == "slow-body"
    assert 600 < after < 602


def read_at(connection, bytes_per_s, size, *, burst=1):
    """Reads bursts as a window opens, until all is read."""

    def read(now):
        due = min(size, int(bytes_per_s * now) // burst * burst)
        connection.sent_bytes = due
        connection.unsent_bytes = size - due

    return read


@pytest.mark.parametrize("bytes_per_s", [10_000, 32_000, 125_000, 10_000_000])
@pytest.mark.parametrize("burst", [1, 65_536])
def test_a_large_picture_goes_out_over_a_slow_line(bytes_per_s, burst):
    connection = Simulated("busy", "first")
    size = 30_000_000
    reading = read_at(connection, bytes_per_s, size, burst=burst)
    assert seconds_until_cut(connection, size / bytes_per_s, reading) == (None, None)


def test_a_reader_below_the_least_rate_is_cut():
    connection = Simulated("busy", "first")
    after, why = seconds_until_cut(connection, 1000, read_at(connection, 4_096, 10**7))
    assert why == "slow-reader"
    assert 59 < after < 62


def test_a_reader_that_pauses_is_cut_only_once_it_has_stalled():
    connection = Simulated("busy", "first", unsent_bytes=10**9)

    def read_and_pause(now):
        if now % 30 < 2:
            connection.sent_bytes += 10**6

    assert seconds_until_cut(connection, 600, read_and_pause) == (None, None)
    stopped = Simulated("busy", "first", sent_bytes=10**6, unsent_bytes=10**6)
    after, why = seconds_until_cut(stopped, 600)
    assert why == "stalled"
    assert 30 < after < 32


def test_what_is_ahead_of_the_rate_is_not_kept():
    pace = Pace(100.0, 0)
    pace.move(1.0, 10**6)
    assert [pace.move(1.0, 10**6) for _ in range(3)] == [1.0, 2.0, 3.0]
    assert pace.still_s == 3.0
