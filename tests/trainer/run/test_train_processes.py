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

from tests.paths import ROOT
from trainer.config import load_config
from trainer.errors import ConfigError
from trainer.run.distributed import World
from trainer.run.interruption import StopRequest
from trainer.run.train import train
from trainer.run_files import CHECKPOINT_NAME, CURVE_NAME, RECORD_NAME, VALIDATION_NAME

PATIENCE_S = 900
CPU = torch.device("cpu")


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
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=PATIENCE_S)
    return output


def table(path):
    with path.open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def wait_for_steps(process, run):
    """Return once the run has logged something; it is then in the middle of its loop."""
    deadline = time.monotonic() + PATIENCE_S
    while not (run / CURVE_NAME).exists():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children_of(pid):
    """The training processes that torchrun started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


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


def test_shares_of_all_processes_are_the_batches_of_one():
    steps, batch = range(2, 5), 6
    shares = [World(rank, 3, CPU).share_steps(steps, batch) for rank in range(3)]
    whole = World(0, 1, CPU).share_steps(steps, batch)
    for index in range(len(steps)):
        together = [one for share in shares for one in share[index * 2 : index * 2 + 2]]
        assert together == whole[index * batch : (index + 1) * batch]


def test_a_batch_that_cannot_be_shared_out_is_refused():
    with pytest.raises(ConfigError, match="multiple of the 4 processes, got 6"):
        World(0, 4, CPU).share_batch(6)


def test_gradients_become_their_mean_and_no_thread_outlives_the_world(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(
        """
from pathlib import Path
import torch
from trainer.run.distributed import join_world

def threads():
    return sorted(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))

def step(world):
    network = torch.nn.Linear(3, 2)
    replica, optimiser = world.replicate(network), torch.optim.Adam(network.parameters())
    for _ in range(3):
        optimiser.zero_grad()
        replica(torch.full((1, 3), 1.0 + world.rank)).sum().backward()
        optimiser.step()
    assert network.weight.grad.eq(1.5).all(), network.weight.grad
    assert network.bias.grad.eq(1).all()

before = threads()
with join_world() as world:
    step(world)
    joined = threads()
assert len(joined) > len(before) and threads() == before, (before, joined, threads())
"""
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": "."}
    done = subprocess.run(
        [*command, str(script)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("file", ["config_file", "blend_file"])
def test_two_processes_give_the_curve_of_one_at_the_same_global_batch(
    held_out_root, file, request, tmp_path
):
    config_file = request.getfixturevalue(file)
    overrides = [
        *("optim.batch=4", "optim.steps=6", "optim.learning_rate=1e-3", "run.log_every=1"),
        *("validation.every=3", "validation.pairs=3", "validation.max_side_px=128"),
    ]
    two, one = tmp_path / "two", tmp_path / "one"
    process = start(config_file, held_out_root, two, *overrides, processes=2)
    output = finish(process)
    assert process.returncode == 0, output
    assert output.count("waiting for data") == 1  # one process speaks
    train(load_config(config_file, overrides), held_out_root, one)
    record = json.loads((two / RECORD_NAME).read_text())
    assert record["sessions"][0]["processes"] == 2
    for name in (CURVE_NAME, VALIDATION_NAME):
        ours, theirs = table(two / name), table(one / name)
        assert len(ours) == len(theirs) > 1
        for row, other in zip(ours, theirs, strict=True):
            # Rounding of float32 means in another order, and six digits in the file.
            assert row == pytest.approx(other, rel=1e-4, abs=1e-5)
    for name, tensor in parameters(one).items():
        # A constant in the logits of all exposures cancels: its slope is rounding, scaled by Adam.
        kept = torch.arange(len(tensor)) % 4 > 0 if name == "coefficients.bias" else ...
        torch.testing.assert_close(parameters(two)[name][kept], tensor[kept], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_stop_signal_to_one_process_ends_all_at_one_step(held_out_root, config_file, tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    overrides = ["optim.batch=2", "optim.steps=4000", "run.checkpoint_every=100000"]
    process = start(config_file, held_out_root, run, *overrides, processes=2)
    wait_for_steps(process, run)
    os.kill(children_of(process.pid)[-1], signal.SIGTERM)
    output = finish(process)
    assert process.returncode == 0, output
    done = json.loads((run / RECORD_NAME).read_text())["steps"]
    assert 3 <= done < 4000
    # The processes stopped at one step, so one alone goes on where they were.
    config = load_config(config_file, overrides)
    assert train(config, held_out_root, run, stop_after=3) == done + 3
    train(config, held_out_root, whole, stop_after=done + 3)
    for row, other in zip(table(run / CURVE_NAME), table(whole / CURVE_NAME), strict=True):
        assert row == pytest.approx(other, rel=1e-3)


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
