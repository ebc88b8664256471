"""A version of `pyramid-blend` for tests: seeded parameters that nobody trained."""

from pathlib import Path

import torch

from model.manifest import (
    PARAMETERS_NAME,
    Manifest,
    PyramidBlendConfig,
    describe_file,
    write_manifest,
)
from model.release.torch_networks import build_network, compute_golden, save_parameters

SEED = 11
NOISE = 0.05
"""Spread of the parameters: maps that differ from place to place, and no overflow."""


def write_blend_version(folder: Path, label: str = "blend-0.1.0") -> Path:
    """Write a complete version below a folder, and return its directory."""
    network = build_network(PyramidBlendConfig()).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(SEED)
    for parameter in network.parameters():
        parameter += NOISE * torch.randn(parameter.shape, generator=generator)
    directory = folder / label
    directory.mkdir()
    save_parameters(network, directory / PARAMETERS_NAME)
    name, _, version = label.rpartition("-")
    document = {
        "name": name,
        "version": version,
        "network": network.config,
        "files": {PARAMETERS_NAME: describe_file(directory / PARAMETERS_NAME)},
        "receptive_field": network.receptive_field,
        "size_multiple": network.size_multiple,
        "accepted_exposures": (2, 2),
        "chroma": "blend",
        "reference": "over",
        "golden": compute_golden(network),
        "training": {
            "config": "",
            "commit": "none",
            "seed": SEED,
            "steps": 0,
            "device": "none",
            "data": (),
        },
    }
    write_manifest(Manifest.model_validate(document), directory)
    return directory
