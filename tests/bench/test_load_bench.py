"""Open-loop load and soak: the clock, the counts, and the suites in their smallest form."""

import asyncio
import json
import time
from collections import Counter
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from bench import __main__ as command
from bench.line import ID_PREFIX, Line, Lines, LostError, Reply, make_request
from bench.open_loop import (
    Arrival,
    Kind,
    Sent,
    describe_sent,
    draw_arrivals,
    quantiles,
    send_on_time,
    share_by_work,
)
from bench.plots import write_plot
from bench.repository import ROOT
from bench.scope import QUICK
from bench.suites import load, soak

SCHEMA = json.loads((ROOT / "bench" / "record.schema.json").read_text())
TINY = replace(QUICK, load_levels=(1.0,), load_s=3.0, load_sizes_mp=(0.05, 0.1), soak_minutes=0.1)
KINDS = {
    "small": Kind("small", b"small", 0.5, b"picture"),
    "large": Kind("large", b"large", 4.0),
}


def test_arrivals_are_poisson_and_the_same_for_a_seed():
    arrivals = draw_arrivals(50, 200, {"small": 3, "large": 1}, seed=1)
    assert arrivals == draw_arrivals(50, 200, {"small": 3, "large": 1}, seed=1)
    assert arrivals != draw_arrivals(50, 200, {"small": 3, "large": 1}, seed=2)
    gaps = np.diff([one.due_s for one in arrivals])
    assert len(arrivals) == pytest.approx(10_000, rel=0.05)
    # Of an exponential distribution the standard deviation is the mean.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    counts = Counter(one.kind for one in arrivals)
    assert counts["small"] / len(arrivals) == pytest.approx(0.75, abs=0.02)
    assert arrivals[0].due_s > 0
    assert arrivals[-1].due_s < 200


def test_every_kind_makes_the_same_work():
    costs = {"small": 0.1, "middle": 0.5, "large": 2.0}
    shares = share_by_work(costs)
    assert sum(shares.values()) == pytest.approx(1)
    works = [shares[kind] * cost for kind, cost in costs.items()]
    assert works == pytest.approx([works[0]] * 3)


class Slow:
    """Answers one request at a time, each after so many seconds."""

    def __init__(self, seconds, reply):
        self.seconds, self.reply = seconds, reply
        self.lock = asyncio.Lock()
        self.begun = []

    async def ask(self, request, *, timeout_s):
        self.begun.append(time.monotonic())
        async with self.lock:
            await asyncio.sleep(self.seconds)
        if self.reply is None:
            raise LostError("lost")
        return self.reply


def reply(status=200, content=b"picture", **headers):
    return Reply(status, headers, content, True)


async def test_requests_are_sent_when_they_are_due_and_waits_are_not_hidden():
    asker = Slow(0.2, reply())
    arrivals = [Arrival(0.01 * number, "small") for number in range(5)]
    begin = time.monotonic()
    sent = await send_on_time(asker, KINDS, arrivals, timeout_s=60)
    assert max(asker.begun) - begin < 0.2 * 4  # None waited for the answer to another.
    latencies = [one.latency_s for one in sent]
    assert latencies == sorted(latencies)
    assert latencies[-1] >= 5 * 0.2 - 0.05
    assert [one.due_s for one in sent] == [one.due_s for one in arrivals]


async def test_a_late_client_counts_against_the_latency():
    asker = Slow(0, reply())

    async def hold_up():
        time.sleep(0.3)  # noqa: ASYNC251 (the loop is held up)

    task = asyncio.create_task(hold_up())
    sent = await send_on_time(asker, KINDS, [Arrival(0.01, "small")], timeout_s=60)
    await task
    assert sent[0].late_s >= 0.2
    assert sent[0].latency_s >= 0.2


@pytest.mark.parametrize(
    ("answer", "status", "is_wrong"),
    [
        (reply(), 200, False),
        (reply(content=b"other"), 200, True),
        (reply(503, b"", **{"retry-after": "7"}), 503, False),
        (None, None, False),
    ],
)
async def test_what_became_of_a_request_is_told(answer, status, is_wrong):
    (one,) = await send_on_time(Slow(0, answer), KINDS, [Arrival(0, "small")], timeout_s=60)
    assert (one.status, one.is_wrong) == (status, is_wrong)
    assert one.retry_after_s == (7 if status == 503 else None)


def test_goodput_sheds_and_losses_are_counted():
    sent = [
        Sent("small", 1, 0, 0.1, 200),
        Sent("small", 2, 0, 0.3, 200, is_wrong=True),
        Sent("large", 3, 0, 2.0, 200),
        Sent("large", 4, 0, 0.01, 503, retry_after_s=4),
        Sent("small", 5, 0, 0.01, 503),
        Sent("small", 6, 0, 9.0, None),
        Sent("small", 7, 0, 0.5, 500),
    ]
    told = describe_sent(sent, KINDS, seconds=10)
    assert (told["sent"], told["answered"], told["refused"], told["lost"]) == (7, 3, 2, 1)
    assert (told["other"], told["others"], told["wrong_pictures"]) == (1, ["500"], 1)
    assert told["refused_without_retry_after"] == 1
    assert told["retry_after_s"]["max"] == 4
    assert told["goodput_per_s"] == 0.3
    assert told["goodput_megapixels_per_s"] == 0.5
    assert told["latency_by_kind_s"]["large"]["p50"] == 2.0
    assert told["latency_s"]["max"] == 2.0


def test_percentiles_are_values_and_none_is_better_than_it_was():
    values = [float(value) for value in range(1, 101)]
    assert quantiles(values) == {"count": 100, "p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert quantiles([1.0, 9.0])["p95"] == 9.0
    assert quantiles([]) is None


HEAD = b"HTTP/1.1 200 OK\r\nx-request-id: %b\r\ncontent-length: 2\r\n\r\nok"


async def serve_raw(answer):
    """A server that reads a request's head and writes whatever it is told."""

    async def handle(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                name = head.split(b"X-Request-Id: ")[1].split(b"\r\n")[0]
                written = answer(name)
                if written is None:
                    break
                writer.write(written)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_line_tells_lost_doubled_and_foreign_answers():
    request = make_request(b"")
    answers = {
        "sound": lambda name: HEAD % name,
        "early": lambda name: b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD % name,
        "foreign": lambda name: HEAD % (ID_PREFIX.encode() + b"9999999999"),
        "twice": lambda name: 2 * (HEAD % name),
        "lost": lambda name: None,
        "half": lambda name: (HEAD % name)[:-1],
    }
    found = {}
    for kind, answer in answers.items():
        server, url = await serve_raw(answer)
        line = Line(url)
        try:
            one = await line.ask(request, timeout_s=5 if kind == "half" else 60)
            await asyncio.sleep(0.2)
        except LostError:
            one = None
        line.close()
        await asyncio.sleep(0.05)
        found[kind] = (one and one.is_ours, line.surplus_bytes > 0)
        server.close()
    assert found == {
        "sound": (True, False),
        "early": (True, False),
        "foreign": (False, False),
        "twice": (True, True),
        "lost": (None, False),
        "half": (None, False),
    }


async def test_lines_are_kept_and_another_opened_where_one_is_busy():
    opened = []
    server, url = await serve_raw(lambda name: opened.append(name) or HEAD % name)
    lines = Lines(url, range(3))
    await asyncio.gather(*(lines.ask(make_request(b""), timeout_s=60) for _ in range(3)))
    assert (await lines.ask(make_request(b""), timeout_s=60)).content == b"ok"
    assert len(set(opened)) == 4
    assert lines.close() == 0
    server.close()


def test_a_process_is_flat_or_is_not():
    steady = [(minute, 100 + minute % 2) for minute in range(60)]
    growing = [(minute, 100 + minute) for minute in range(60)]
    assert soak.describe_trend(steady)["is_flat"]
    told = soak.describe_trend(growing)
    assert not told["is_flat"]
    assert told["slope_per_hour"] == pytest.approx(60)
    assert told["largest_deviation"] > 0.5


def test_samples_are_summed_up_by_process_behind_the_warm_up():
    def sample(minute, name, pid, held):
        return soak.Sample(minute, name, pid, held, held / 2, 10)

    samples = [sample(minute, "loop 1", 1, 50 if minute < 2 else 100) for minute in range(12)]
    samples += [sample(minute, "codec 1", 2 + (minute > 5), 80) for minute in range(12)]
    told = soak.describe_samples(samples, warm_up_minutes=2)
    assert told["loop 1"]["resident_mib"]["is_flat"]
    assert told["loop 1"]["restarts"] == 0
    assert told["codec 1"]["restarts"] == 1
    curves = soak.draw_samples(samples)
    assert [curve.name for curve in curves] == ["private memory", "resident memory", "open files"]


@pytest.mark.slow
@pytest.mark.e2e
def test_load_and_soak_with_their_records_and_plots(tmp_path):
    for suite in ("load", "soak"):
        outcome = command.run_suite(suite, TINY, tmp_path)
        jsonschema.validate(json.loads((tmp_path / f"{suite}.json").read_text()), SCHEMA)
        assert (tmp_path / f"{suite}.svg").exists()
        assert outcome.headline
    facts = json.loads((tmp_path / "load.json").read_text())["facts"]
    (level,) = facts["levels"]
    settled = level["answered"] + level["refused"] + level["lost"] + level["other"]
    assert settled == level["sent"] > 0
    assert level["lost"] == level["wrong_pictures"] == level["surplus_bytes"] == 0
    assert facts["capacity"]["requests_per_s"] > 0
    assert 0 < level["client_share_of_core_time"] < 0.5
    assert facts["small_beside_large"]["alone_s"]["count"] > 0
    processes = json.loads((tmp_path / "soak.json").read_text())["facts"]["processes"]
    assert {"event loop 1", "device worker 1", "codec process 1"} <= set(processes)


def test_curves_along_a_level_begin_at_zero(tmp_path):
    levels = [
        {
            "times_capacity": times,
            "goodput_per_s": 1.0,
            "offered_per_s": times,
            "goodput_megapixels_per_s": 2.0,
            "refused": 1,
            "sent": 4,
            "latency_by_kind_s": {"small": quantiles([times]), "large": None},
        }
        for times in (0.5, 2.0)
    ]
    curves = load.draw_levels(levels)
    assert [curve.name for curve in curves] == ["requests", "goodput", "refused", "latency"]
    write_plot(tmp_path / "load.svg", "load", curves)
    assert (tmp_path / "load.svg").stat().st_size > 1000
