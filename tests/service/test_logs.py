import json
import logging
import subprocess
import sys
import threading

from service.logs import (
    MAX_WAITING_LINES,
    JsonFormatter,
    NonBlockingHandler,
    request_id_of_context,
)
from tests.paths import ROOT


def formatted(**extra):
    record = logging.getLogger("here").makeRecord(
        "here", logging.WARNING, "file.py", 1, "said %s", ("this",), None, extra=extra
    )
    return json.loads(JsonFormatter().format(record))


def test_a_line_is_json_with_the_extra_fields():
    line = formatted(outcome="fused", seconds=1.5, stages={"fuse": 1.0}, _of_a_library=1)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "here",
        "message": "said this",
        "outcome": "fused",
        "seconds": 1.5,
        "stages": {"fuse": 1.0},
    }


def test_a_line_names_the_request_it_belongs_to():
    token = request_id_of_context.set("r-1")
    assert formatted()["request_id"] == "r-1"
    request_id_of_context.reset(token)
    assert "request_id" not in formatted()


def test_a_trace_is_part_of_its_line():
    try:
        raise ZeroDivisionError("why")
    except ZeroDivisionError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.makeLogRecord({"msg": "failed", "exc_info": info})
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert "ZeroDivisionError: why" in json.loads(text)["trace"]


def run_script(script, **options):
    code = f"import logging, sys\nfrom service.logs import *\n{script}"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_logs_go_to_standard_error_from_the_level_on_and_are_written_before_the_end():
    script = """
configure_logs("warning")
logging.getLogger("any").info("quiet")
logging.getLogger("any").error("loud", extra={"code": "x"})
assert logging.getLogger("uvicorn.access").disabled
"""
    with run_script(script) as process:
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (0, "")
    (line,) = err.splitlines()
    assert json.loads(line)["code"] == "x"


def test_a_standard_error_that_nobody_reads_blocks_nobody_and_what_is_lost_is_counted():
    script = """
configure_logs("info")
for index in range(6000):
    logging.getLogger("any").info("line", extra={"index": index})
print(count_dropped_lines(), flush=True)
"""
    with run_script(script) as process:
        dropped = int(process.stdout.readline())  # It got here although nobody reads the other.
        lines = [json.loads(line) for line in process.stderr]
        assert process.wait(300) == 0
    assert 0 < dropped <= 6000 - MAX_WAITING_LINES
    told = [line["lines"] for line in lines if line["message"] == "log lines were dropped"]
    written = [line["index"] for line in lines if line["message"] == "line"]
    assert written == sorted(set(written))
    assert MAX_WAITING_LINES // 2 < len(written) <= 6000 - dropped
    assert 0 < sum(told) <= dropped


def test_a_line_waits_for_a_slow_reader_and_is_not_lost():
    written, gate = [], threading.Event()

    def write(line):
        gate.wait()
        written.append(line)

    handler = NonBlockingHandler(write, max_waiting=4)
    for index in range(8):
        handler.handle(logging.makeLogRecord({"msg": f"line {index}"}))
    gate.set()
    handler.flush_within(10)
    assert handler.dropped in (3, 4)  # One is already in the writer's hands, or not yet.
    texts = [json.loads(line)["message"] for line in written]
    assert texts[0] == "line 0"
    assert texts.count("log lines were dropped") == 1
