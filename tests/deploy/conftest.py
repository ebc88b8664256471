"""The manifests as Kubernetes would get them, and what the settings say."""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from deploy.chart.renderings import KUBERNETES, kustomize
from tests.paths import ROOT

OLDEST_KUSTOMIZE = 4

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def pair_png() -> tuple[bytes, bytes]:
    """One textured scene under- and overexposed, 192 x 128, as PNG."""
    texture = np.random.default_rng(0).uniform(0.02, 1.0, (16, 24, 3)).astype(np.float32)
    scene = cv2.resize(texture, (192, 128), interpolation=cv2.INTER_CUBIC).clip(0, None)
    exposures = [(scene * gain).clip(0, 1) ** (1 / 2.2) * 255 for gain in (0.25, 4.0)]
    under, over = (cv2.imencode(".png", np.rint(e).astype(np.uint8))[1] for e in exposures)
    return under.tobytes(), over.tobytes()


@pytest.fixture(scope="session")
def kubectl() -> str:
    """A kubectl that renders; skips without one that can."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    version = subprocess.run(
        [kubectl, "version", "--client", "-o", "json"], capture_output=True, text=True, check=True
    )
    kustomize = json.loads(version.stdout).get("kustomizeVersion", "none")
    major = re.match(r"v(\d+)", kustomize)
    if major is None or int(major[1]) < OLDEST_KUSTOMIZE:
        pytest.skip(f"kubectl's kustomize is {kustomize}, the manifests need 4 or newer")
    return kubectl


@pytest.fixture(scope="session")
def render(kubectl: str) -> Render:
    """Folder below k8s -> its objects; each folder is rendered once, and may be changed."""

    @lru_cache
    def rendered(folder: str) -> list[Manifest]:
        return kustomize(KUBERNETES / folder)

    return lambda folder: copy.deepcopy(rendered(folder))
