"""The tables of `docs/reliability.md`, from records and without them."""

import json

from docs.reliability_tables import NOT_MEASURED, TABLES, fill_tables

MACHINE = {"cores": 2, "cpu": "a CPU", "load_average": [0.5]}
WEIGHT = {"processes": {"event loop": 1, "codec process": 2}, "memory_mib": 99.6, "open_files": 40}
FAULT = {
    "name": "stop", "what": "stopped", "sent": 5, "answered": 4, "refused": 1, "others": {},
    "lost": 0, "answered_twice": 0, "wrong_pictures": 0, "longest_silence_s": 0.123,
    "recovered_s": 1.25, "before": WEIGHT, "after": WEIGHT, "ended_processes": 2,
    "ends": {"stopped": 3},
}  # fmt: skip


def place(name, text=""):
    return f"before\n\n<!-- {name} -->\n{text}<!-- end -->\nbehind\n"


def test_what_was_not_measured_is_said(tmp_path):
    for name in TABLES:
        filled = fill_tables(place(name, "an old table\n"), tmp_path)
        assert filled == place(name, NOT_MEASURED + "\n")


def test_a_table_is_of_the_record_and_written_again_the_same(tmp_path):
    skipped = {"name": "no pids", "what": "none", "skipped": "needs root"}
    lost = FAULT | {"what": "gone", "recovered_s": None, "after": None}
    record = {"commit": "abc", "machine": MACHINE, "facts": {"faults": [FAULT, lost, skipped]}}
    (tmp_path / "faults.json").write_text(json.dumps(record))
    (tmp_path / "faults.svg").write_text("")
    filled = fill_tables(place("faults"), tmp_path)
    assert "![Curves of the record](../bench/results/faults.svg)" in filled
    assert fill_tables(filled, tmp_path) == filled
    assert "| stopped | 5 | 4 | 1 | 0 | 0 | 0 | 0 | 0.12 s | 1.2 s | 3 to 3 |" in filled
    assert "| not | 3 to ? | 100 to ? | 40 to ? |" in filled
    assert "Not done: no pids (needs root)." in filled
    assert filled.endswith("<!-- end -->\nbehind\n")
