"""The command of Kubernetes' Job trains as one run in several pods: here, in several processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.paths import ROOT
from tests.server import free_port
from trainer.run.folder import current_commit
from trainer.run_files import RECORD_NAME

PATIENCE_S = 900


def read_command(index: int, port: int) -> list[str]:
    """What the pod of a number runs, which finds the first one on this machine."""
    job = yaml.safe_load((ROOT / "k8s/jobs/training/job.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    given = {"--master-addr": "127.0.0.1", "--master-port": str(port)}
    command = []
    for argument in (*container["command"], *container["args"]):
        name = argument.partition("=")[0]
        changed = f"{name}={given[name]}" if name in given else argument
        command.append(changed.replace("$(JOB_COMPLETION_INDEX)", str(index)))
    return command


@pytest.mark.slow
def test_two_pods_train_as_one_run(config_file: Path, held_out_root: Path, tmp_path: Path) -> None:
    run, port = tmp_path / "runs/of-two", free_port()
    places = {
        "--data=/data": f"--data={held_out_root}",
        "--out=/runs/pyramid-blend": f"--out={run}",
    }
    pods = []
    for index in range(2):
        command = [
            str(config_file) if one.endswith(".toml") else places.get(one, one)
            for one in read_command(index, port)
        ]
        assert str(config_file) in command
        assert set(places.values()) <= set(command)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {"PATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        pods.append(
            subprocess.Popen(
                [*command, "--set", "optim.batch=2", "--set", "optim.steps=3"],
                cwd=ROOT,
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    said = [pod.communicate(timeout=PATIENCE_S)[0] for pod in pods]
    assert [pod.returncode for pod in pods] == [0, 0], said
    record = json.loads((run / RECORD_NAME).read_text())
    assert record["steps"] == 3
    assert [session["processes"] for session in record["sessions"]] == [2]


def test_a_run_in_an_image_without_git_has_a_record_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert current_commit() == "unknown"
