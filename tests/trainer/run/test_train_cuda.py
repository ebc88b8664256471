import json

import pytest
import torch

from tests.torch_devices import needs_cuda
from trainer.config import load_config
from trainer.run.train import train
from trainer.run_files import CHECKPOINT_NAME, CURVE_NAME, RECORD_NAME

pytestmark = [
    pytest.mark.gpu,
    needs_cuda,
]


def curve(run):
    lines = (run / CURVE_NAME).read_text().splitlines()
    return [float(line.split(",")[1]) for line in lines[1:]]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_on_cuda_learns_what_float32_learns(
    data_root, config_file, tmp_path, precision
):
    curves = {}
    for name in ("float32", precision):
        overrides = [f"optim.precision={name}", "optim.batch=4", "optim.steps=60"]
        overrides += ["optim.learning_rate=3e-3", "network.width=16", "run.log_every=10"]
        train(load_config(config_file, overrides), data_root, tmp_path / name)
        curves[name] = curve(tmp_path / name)
    assert curves[precision][-1] < 0.7 * curves[precision][0]
    assert curves[precision][-1] == pytest.approx(curves["float32"][-1], rel=0.2)


def test_a_resume_on_cuda_keeps_the_loss_scale_and_the_best_validation(
    held_out_root, config_file, tmp_path
):
    overrides = ["optim.precision=float16", "validation.every=2", "validation.pairs=2"]
    run = tmp_path / "run"
    config = load_config(config_file, overrides)
    train(config, held_out_root, run, stop_after=4)
    before = torch.load(run / CHECKPOINT_NAME, weights_only=True, map_location="cpu")
    assert before["scaler"]["scale"] < 2.0**16  # its first guess is too large for these losses
    assert train(config, held_out_root, run) == 8
    after = torch.load(run / CHECKPOINT_NAME, weights_only=True, map_location="cpu")
    assert after["best"]["score"] >= before["best"]["score"]
    record = json.loads((run / RECORD_NAME).read_text())
    assert [one["from_step"] for one in record["sessions"]] == [0, 4]
    assert all(tensor.dtype == torch.float32 for tensor in after["network"].values())


def test_training_on_cuda_keeps_whole_float32_in_its_losses(data_root, config_file, tmp_path):
    train(load_config(config_file), data_root, tmp_path / "run", stop_after=1)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
