import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from trainer.config import load_config
from trainer.interruption import StopRequest
from trainer.run_folder import CHECKPOINT_NAME, CURVE_NAME, RECORD_NAME
from trainer.train import train

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 120


def start(config_file, data_root, run, *overrides, processes=None):
    """Start the real command, alone or under torchrun, in a process group of its own."""
    launcher = (
        []
        if processes is None
        else ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    )
    command = [sys.executable, "-m", *launcher, "trainer", "train", str(config_file)]
    command += ["--data", str(data_root), "--out", str(run)]
    for override in overrides:
        command += ["--set", override]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=PATIENCE_S)
    return output


def curve(run):
    with (run / CURVE_NAME).open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def wait_for_steps(process, run):
    """Return once the run has logged something; it is then in the middle of its loop."""
    deadline = time.monotonic() + PATIENCE_S
    while not (run / CURVE_NAME).exists():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline
        time.sleep(0.05)


def child_of(pid):
    """A training process that torchrun started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    commands = {child: Path(f"/proc/{child}/cmdline").read_text() for child in children}
    return next(int(child) for child, command in commands.items() if "trainer" in command)


def parameters(run):
    return torch.load(run / CHECKPOINT_NAME, weights_only=True)["network"]


def test_a_stop_signal_is_noted_once_and_the_old_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as request:
        assert not request.is_set
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert request.is_set
        assert request.signal_name == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_the_main_thread_nothing_is_caught():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def run():
        with StopRequest() as request:
            seen.append((request.is_set, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_stop_signal_to_the_group_ends_a_run_at_a_step_from_which_it_resumes(
    held_out_root, config_file, tmp_path, number
):
    run, whole = tmp_path / "run", tmp_path / "whole"
    steps = 4000
    overrides = [f"optim.steps={steps}", "data.workers=1", "run.checkpoint_every=100000"]
    process = start(config_file, held_out_root, run, *overrides)
    wait_for_steps(process, run)
    os.killpg(process.pid, number)
    output = finish(process)
    assert process.returncode == 0, output
    assert f"stopped by {number.name}" in output
    done = json.loads((run / RECORD_NAME).read_text())["steps"]
    assert 3 <= done < steps
    # The same command goes on, and nothing is lost or done twice.
    config = load_config(config_file, overrides)
    train(config, held_out_root, run, stop_after=2)
    train(config, held_out_root, whole, stop_after=done + 2)
    for name, tensor in parameters(whole).items():
        assert torch.equal(tensor, parameters(run)[name]), name
    assert (run / CURVE_NAME).read_text() == (whole / CURVE_NAME).read_text()
