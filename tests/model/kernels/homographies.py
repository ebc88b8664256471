"""Maps by which kernels that warp are tried."""

import numpy as np

TILT = np.array([[1.01, 0.02, 1.5], [-0.015, 0.99, -2.0], [1e-5, 2e-5, 1.0]])
MAPS = {
    "identity": np.eye(3),
    "shift": np.array([[1.0, 0.0, 3.3], [0.0, 1.0, -2.7], [0.0, 0.0, 1.0]]),
    "tilt": TILT,
    "far outside": np.array([[1.0, 0.0, 5e9], [0.0, 1.0, -5e9], [0.0, 0.0, 1.0]]),
}
