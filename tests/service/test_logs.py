import json
import logging

import pytest

from service.logs import JsonFormatter, configure_logs, request_id_of_context


def formatted(**extra):
    record = logging.getLogger("here").makeRecord(
        "here", logging.WARNING, "file.py", 1, "said %s", ("this",), None, extra=extra
    )
    return json.loads(JsonFormatter().format(record))


def test_a_line_is_json_with_the_extra_fields():
    line = formatted(outcome="fused", seconds=1.5, stages={"fuse": 1.0})
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


@pytest.fixture
def _root_logger():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False


@pytest.mark.usefixtures("_root_logger")
def test_logs_go_to_standard_error_from_the_level_on(capsys):
    configure_logs("warning")
    logging.getLogger("any").info("quiet")
    logging.getLogger("any").error("loud", extra={"code": "x"})
    written = capsys.readouterr()
    assert written.out == ""
    (line,) = written.err.splitlines()
    assert json.loads(line)["code"] == "x"
    assert logging.getLogger("uvicorn.access").disabled
