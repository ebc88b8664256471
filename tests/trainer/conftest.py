"""Training data that the tests make themselves."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.trainer.graphs import filling_graphs
from trainer.config import load_config
from trainer.release.export import GRAPHS
from trainer.run.train import train

EVERY_TERM = """
tasks = 0.5
fidelity = 1.0
similarity = 2.0
edges = 0.5
information = 0.3
detail = 0.02
bounds = 0.0005
order = 0.01
halo = 0.01
variation = 0.001
tone = 0.001
"""


@pytest.fixture(scope="session", autouse=True)
def one_thread_in_shared_fixtures():
    torch.set_num_threads(1)  # what small networks need; more only wait for each other


@pytest.fixture(autouse=True)
def one_thread(one_thread_in_shared_fixtures):
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_graphs(tiny_graphs_dir):
    """Both graphs of a network of width 2, by their padding."""
    return {padding: tiny_graphs_dir / name for name, padding in GRAPHS}


@pytest.fixture
def ready_graphs(tiny_graphs):
    """Exports fill graphs instead of making them."""
    with filling_graphs(tiny_graphs):
        yield


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as the trainer expects it: one panorama and one stack, both CC0."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(7)
    (root / "hdri").mkdir()
    coarse = np.exp2(rng.uniform(-6, 6, (16, 32, 3))).astype(np.float32)
    panorama = cv2.resize(coarse, (512, 256), interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(root / "hdri" / "room.hdr"), panorama)
    stack = root / "stacks" / "desk"
    stack.mkdir(parents=True)
    scene = cv2.resize(rng.random((12, 16, 3)).astype(np.float32), (400, 300))
    for index, gain in enumerate((0.05, 0.35, 2.0)):
        picture = np.rint(np.clip(scene * gain, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
        cv2.imwrite(str(stack / f"{index:02d}.jpg"), picture)
    (root / "manifest.csv").write_text(
        "path,kind,use,exposures,width,height,licence,source,notes\n"
        "hdri/room.hdr,hdri,train,1,512,256,CC0,made by the test,\n"
        "stacks/desk,stack,train,3,400,300,CC0,made by the test,\n"
        "stacks/other,stack,validate,3,400,300,unknown,elsewhere,\n"
    )
    return root


TINY_RUN = """
name = "tiny-net"
[network]
width = 2
[data]
side_px = 176
workers = 0
stack_share = 0.5
[optim]
steps = 8
schedule = 'cosine'
[run]
log_every = 3
checkpoint_every = 4
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A run of eight steps on a narrow network."""
    path = tmp_path / "tiny-net.toml"
    path.write_text(TINY_RUN)
    return path


@pytest.fixture(scope="session")
def whole(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that run, taken in one go; tests read it and leave it as it is."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "tiny-net.toml").write_text(TINY_RUN)
    assert train(load_config(folder / "tiny-net.toml"), data_root, folder / "run") == 8
    return folder / "run"


@pytest.fixture(scope="session")
def held_out_root(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training data beside four held-out stacks that are there."""
    root = tmp_path_factory.mktemp("held-out") / "data"
    shutil.copytree(data_root, root)
    rng = np.random.default_rng(11)
    rows = []
    for name in ("door", "hall", "lamp", "roof"):
        stack = root / "stacks" / name
        stack.mkdir()
        scene = cv2.resize(rng.random((18, 24, 3)).astype(np.float32), (200, 150))
        # Brightest first: which exposure is which is seen in the pictures, not in their names.
        for index, gain in enumerate((2.5, 0.4, 0.08)):
            picture = np.rint(np.clip(scene * gain, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
            cv2.imwrite(str(stack / f"{index:02d}.png"), picture)
        rows.append(f"stacks/{name},stack,validate,3,200,150,unknown,made by the test,\n")
    manifest = root / "manifest.csv"
    kept = [line for line in manifest.read_text().splitlines() if "stacks/other" not in line]
    manifest.write_text("\n".join(kept) + "\n" + "".join(rows))
    return root


@pytest.fixture
def blend_file(tmp_path):
    """A run of eight steps on a narrow network, with every term of the loss."""
    path = tmp_path / "tiny-blend.toml"
    path.write_text(
        'name = "tiny-blend"\n'
        '[network]\narchitecture = "pyramid-blend"\nwidth = 2\ndilations = [1, 2]\n'
        "[data]\nside_px = 176\nworkers = 0\nstack_share = 0.5\nmotion = 0.3\n"
        "exposures = [2, 4]\ntruth = true\nlamps = 0.5\nuseless = 0.5\nreplaced = 0.5\n"
        f"[loss]{EVERY_TERM}highlights = 0.1\nshadows = 0.1\ntruth = 0.01\n"
        "[optim]\nsteps = 8\nschedule = 'cosine'\nlearning_rate = 4e-3\nbatch = 2\n"
        "clip_norm = 1.0\n"
        "[run]\nlog_every = 3\ncheckpoint_every = 4\n"
    )
    return path
