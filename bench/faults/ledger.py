"""Counts what became of well-behaved requests while something goes wrong."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field

from bench.line import Lines, LostError, Reply
from bench.open_loop import OK, REFUSED, Kind

BACK_OFF_S = 0.25
"""What a refused client waits; less than it is told to, so that there is always load."""


@dataclass(slots=True)
class Ledger:
    """What became of every request.

    Attributes:
        answers: Answers by status.
        problems: Answers that are neither pictures nor refusals, by status and type of problem.
        lost: Requests that got none.
        of_another: Answers that carry the id of another request.
        surplus_bytes: Bytes that came on a connection without having been asked for.
        wrong_pictures: Pictures that are not the one of the reference.
        slowest_s: The longest that an answer took.
    """

    answers: Counter[int] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    of_another: int = 0
    surplus_bytes: int = 0
    wrong_pictures: int = 0
    slowest_s: float = 0.0

    def note(self, reply: Reply | None, kind: Kind, seconds: float) -> None:
        """Write down one answer, or that there was none.

        Args:
            reply: None: none.
            kind: What was asked.
            seconds: That it took.
        """
        if reply is None:
            self.lost += 1
            return
        self.answers[reply.status] += 1
        self.of_another += not reply.is_ours
        self.slowest_s = max(self.slowest_s, seconds)
        if reply.status == OK and kind.picture is not None:
            self.wrong_pictures += reply.content != kind.picture
        elif reply.status not in (OK, REFUSED):
            self.problems[name_problem(reply)] += 1

    def describe(self) -> dict[str, object]:
        """As a record holds it."""
        return {
            "sent": self.answers.total() + self.lost,
            "answered": self.answers[OK],
            "refused": self.answers[REFUSED],
            "others": dict(sorted(self.problems.items())),
            "lost": self.lost,
            "answered_twice": self.of_another + (self.surplus_bytes > 0),
            "wrong_pictures": self.wrong_pictures,
            "slowest_s": round(self.slowest_s, 3),
        }


def name_problem(reply: Reply) -> str:
    """Status and type of a problem.

    Example:
        >>> name_problem(Reply(500, {}, b'{"type": "/problems/inference-failed"}', True))
        '500 inference-failed'
        >>> name_problem(Reply(502, {}, b"Bad Gateway", True))
        '502'
    """
    try:
        kind = str(json.loads(reply.content)["type"]).rpartition("/")[2]
    except (ValueError, KeyError, TypeError):
        kind = ""
    return f"{reply.status} {kind}".rstrip()


async def keep_asking(
    url: str, kind: Kind, ledger: Ledger, *, caller: int, is_over: asyncio.Event, timeout_s: float
) -> None:
    """One client that asks again and again, and ends with an answer.

    Args:
        url: Of the service.
        kind: What it sends.
        ledger: Is added to.
        caller: Number of its address.
        is_over: No more requests are sent.
        timeout_s: After which a request is lost.
    """
    lines = Lines(url, range(caller, caller + 1))
    while not is_over.is_set():
        begin_s = time.monotonic()
        try:
            reply = await lines.ask(kind.request, timeout_s=timeout_s)
        except LostError:
            reply = None
        ledger.note(reply, kind, time.monotonic() - begin_s)
        if reply is None or reply.status != OK:
            await asyncio.sleep(BACK_OFF_S)
    ledger.surplus_bytes += lines.close()
