"""What is done to a service and how its requests are counted."""

import json
import os
import struct
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import jsonschema
import pytest

from bench import __main__ as command
from bench.faults import acts, confine, hostile
from bench.faults.ledger import Ledger
from bench.faults.trial import holds_no_more
from bench.line import Reply
from bench.open_loop import Kind
from bench.repository import ROOT
from bench.scope import QUICK
from bench.suites import faults

SCHEMA = json.loads((ROOT / "bench" / "record.schema.json").read_text())
KIND = Kind("small", b"request", 0.3, b"picture")


def test_lost_doubled_wrong_and_refused_requests_are_counted_apart():
    ledger = Ledger()
    ledger.note(Reply(200, {}, b"picture", True), KIND, 0.5)
    ledger.note(Reply(200, {}, b"other", True), KIND, 2.0)
    ledger.note(Reply(200, {}, b"picture", False), KIND, 0.5)
    ledger.note(Reply(503, {}, b"", True), KIND, 0.1)
    ledger.note(Reply(500, {}, b'{"type": "/problems/internal-error"}', True), KIND, 0.1)
    ledger.note(None, KIND, 30)
    told = ledger.describe()
    assert told == {
        "sent": 6,
        "answered": 3,
        "refused": 1,
        "others": {"500 internal-error": 1},
        "lost": 1,
        "answered_twice": 1,
        "wrong_pictures": 1,
        "slowest_s": 2.0,
    }
    ledger.surplus_bytes = 10
    assert ledger.describe()["answered_twice"] == 2


def test_what_is_held_after_a_fault_is_compared():
    before = {"processes": {"event loop": 1}, "memory_mib": 100.0, "open_files": 50}
    assert holds_no_more(before | {"memory_mib": 109.0, "open_files": 49}, before)
    for more in (
        {"memory_mib": 120.0},
        {"open_files": 51},
        {"processes": {"event loop": 1, "other": 1}},
        {"processes": {}},
    ):
        assert not holds_no_more(before | more, before)


def test_hostile_files_are_what_they_are_said_to_be():
    assert len(hostile.make_bomb()) < 20_000
    png = hostile.make_poisoned_png()
    assert 27e6 < len(png) < 30e6
    assert png.count(b"zTXt") == hostile.TEXT_CHUNKS
    jpeg = hostile.make_poisoned_jpeg()
    assert 64e6 < len(jpeg) < 67e6
    (length,) = struct.unpack(">H", jpeg[4:6])
    assert jpeg[2 + 2 + length :][:2] == b"\xff\xe1"


def test_every_fault_has_a_name_of_its_own_and_unknown_ones_are_refused():
    counts = Counter(fault.name for fault in acts.FAULTS)
    assert set(counts.values()) == {1}
    assert [one.name for one in faults.choose_faults(["bombs", "stop"])] == ["bombs", "stop"]
    assert len(faults.choose_faults([])) == len(acts.FAULTS)
    with pytest.raises(ValueError, match="got nothing"):
        faults.choose_faults(["nothing"])


def test_a_mount_of_its_own_is_filled_and_nobody_else_sees_it(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    try:
        before = confine.mount_command(str(place), 1)
    except confine.CannotConfineError as cause:
        pytest.skip(str(cause))
    with subprocess.Popen([*before, "cat"], stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not os.path.ismount(f"/proc/{process.pid}/root{place}"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        filler = confine.fill(process.pid, str(place))
        assert 2**19 < filler.stat().st_size <= 2**20
        assert list(place.iterdir()) == []
        filler.unlink()
        process.communicate(b"")


def test_no_process_more_than_there_are_can_be_started(tmp_path):
    start = (
        "import os\ntry: os.fork() or os._exit(0); print('started')\nexcept OSError: print('not')"
    )
    script = f"print('up')\ninput()\n{start}\ninput()\n{start}\n"
    try:
        with confine.control_group("pids") as group:
            command_line = [*group.command, sys.executable, "-u", "-c", script]
            with subprocess.Popen(
                command_line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            ) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                assert process.stdout.readline() == "up\n"
                group.tighten(0)
                process.stdin.write("\n")
                assert process.stdout.readline() == "not\n"
                group.loosen()
                process.stdin.write("\n")
                assert process.stdout.readline() == "started\n"
    except confine.CannotConfineError as cause:
        pytest.skip(str(cause))


def test_a_clock_jumps_and_only_that_of_the_day(tmp_path):
    script = "import time\nfor _ in range(2): input(); print(time.time(), time.monotonic())"
    try:
        with (
            confine.jumping_clock(tmp_path) as (variables, offset),
            subprocess.Popen(
                [sys.executable, "-u", "-c", script],
                env=os.environ | variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            ) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            first = [float(word) for word in process.stdout.readline().split()]
            offset.write_text("3600")
            process.stdin.write("\n")
            second = [float(word) for word in process.stdout.readline().split()]
    except confine.CannotConfineError as cause:
        pytest.skip(str(cause))
    assert 3500 < second[0] - first[0] < 4500
    assert 0 <= second[1] - first[1] < 900


@pytest.mark.slow
@pytest.mark.e2e
def test_a_fault_is_done_to_a_service_and_counted(tmp_path):
    scope = replace(QUICK, fault_s=2.0, only_faults=("kill codec",))
    command.run_suite("faults", scope, tmp_path)
    record = json.loads((tmp_path / "faults.json").read_text())
    jsonschema.validate(record, SCHEMA)
    (found,) = record["facts"]["faults"]
    assert found["sent"] == found["answered"] + found["refused"] > 0
    assert found["lost"] == found["answered_twice"] == found["wrong_pictures"] == 0
    assert found["recovered_s"] is not None
    assert found["before"]["processes"] == found["after"]["processes"]
    assert found["ended_processes"] >= 1
    assert found["ends"]["killed"] >= 1
