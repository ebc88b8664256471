"""Draw the figures of `docs/how-it-works.md`: the way of a request, and what the network decides.

python -m examples.draw_figures  # again when the steps or the default weights change
"""

from __future__ import annotations

from html import escape
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from examples.make_row import JPEG_QUALITY, OVER, UNDER
from expofuse.bundled_weights import DEFAULT_WEIGHTS, locate_weights
from model.blend.levels import plan_levels
from model.blend.torch_colour import mix_colour, to_luma
from model.blend.torch_network import (
    BlendNetwork,
    bring_maps,
    build_pyramid,
    frame_of,
    stack_exposures,
)
from model.blend.torch_pyramid import up
from model.release.torch_networks import build_loaded
from model.release.weights import load_weights
from trainer.evaluation.pictures import Picture
from trainer.evaluation.report.cells import draw_cell, join_cells

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
REQUEST_FIGURE = IMAGES / "request.svg"
WEIGHTS_FIGURE = IMAGES / "weights.jpg"
CELL_SIZE_PX = (400, 267)
SHOWN_LEVEL = 3
"""Level of the pyramid whose weights are shown: details of about 8 pixels."""

WIDTH, BOX_WIDTH, BOX_HEIGHT, STEP = 760, 300, 52, 76
LEFT, RIGHT = 40, 420


class Step(NamedTuple):
    """One box of the figure of a request."""

    title: str
    says: str


EVENT_LOOP = (
    Step("Receive", "read the form, within its bounds"),
    Step("Judge", "formats, sizes and options, by headers alone"),
    Step("Admit", "within the budgets, or 503 at once"),
    Step("Wait", "for a place on the device"),
    Step("Send", "the picture, or a problem document"),
)
CHILDREN = (
    Step("Decode", "files to pixels of one colour space"),
    Step("Align", "find how the exposures lie on each other"),
    Step("Find what moved", "and take it from one exposure"),
    Step("Fuse", "look once, blend level by level"),
    Step("Encode", "pixels to a file"),
)
WAY = ("L0", "L1", "L2", "R0", "R1", "R2", "L3", "R3", "R4", "L4")
"""The boxes in the order of a request: L in the event loop, R in a process of its own."""

STYLE = (
    "text{font:15px system-ui,sans-serif;fill:#1f2933}.small{font-size:12.5px;fill:#52606d}"
    ".head{font-weight:600}rect{fill:#f5f7fa;stroke:#7b8794;rx:6}.child rect{fill:#e3f0fb}"
    "path{fill:none;stroke:#52606d;stroke-width:1.6;marker-end:url(#tip)}#tip path{fill:#52606d;"
    "stroke:none;marker-end:none}@media(prefers-color-scheme:dark){text{fill:#e4e7eb}.small{fill:"
    "#9aa5b1}rect{fill:#323f4b;stroke:#7b8794}.child rect{fill:#243b53}path{stroke:#9aa5b1}"
    "#tip path{fill:#9aa5b1}}"
)


def draw_request() -> str:
    """The way of a request as SVG: two columns of boxes and the arrows between them."""
    height = 70 + STEP * max(len(EVENT_LOOP), len(CHILDREN))
    heads = [(LEFT, "the event loop"), (RIGHT, "processes of their own")]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="The way of a request"><style>{STYLE}</style><defs><marker id="tip" '
        'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>',
        *(f'<text class="head" x="{x}" y="30">{escape(text)}</text>' for x, text in heads),
        *(_draw_box(LEFT, index, step) for index, step in enumerate(EVENT_LOOP)),
        '<g class="child">',
        *(_draw_box(RIGHT, index, step) for index, step in enumerate(CHILDREN)),
        "</g>",
        *(_draw_arrow(one, other) for one, other in pairwise(WAY)),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _draw_box(x: int, index: int, step: Step) -> str:
    y = 50 + STEP * index
    return (
        f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}"/>'
        f'<text x="{x + 14}" y="{y + 22}">{escape(step.title)}</text>'
        f'<text class="small" x="{x + 14}" y="{y + 41}">{escape(step.says)}</text>'
    )


def _draw_arrow(one: str, other: str) -> str:
    """Straight down within a column, in a curve from one to the other."""
    (x, y), (to_x, to_y) = _place(one), _place(other)
    if x == to_x:
        middle = x + BOX_WIDTH // 2
        return f'<path d="M{middle} {y + BOX_HEIGHT}V{to_y - 2}"/>'
    start, end = (x + BOX_WIDTH, to_x - 2) if x < to_x else (x, to_x + BOX_WIDTH + 2)
    y, to_y = y + BOX_HEIGHT * 2 // 3, to_y + BOX_HEIGHT // 3
    middle = (start + end) // 2
    return f'<path d="M{start} {y}C{middle} {y} {middle} {to_y} {end} {to_y}"/>'


def _place(box: str) -> tuple[int, int]:
    return (LEFT if box[0] == "L" else RIGHT), 50 + STEP * int(box[1:])


def draw_weights() -> Picture:
    """The sample pair, the weight that the network gives its over exposure, and the fusion."""
    exposures = [_read(path) for path in (UNDER, OVER)]
    network = _load_network()
    with torch.inference_mode():
        planes = stack_exposures(exposures)
        levels = plan_levels(*planes.shape[-2:], network_side_px=network.config.network_side_px)
        pyramid = build_pyramid(to_luma(planes), levels.base)
        maps = network.predict(build_pyramid(planes, levels.network)[-1])
        fine, coarse = pyramid[SHOWN_LEVEL], pyramid[SHOWN_LEVEL + 1]
        bands = fine - up(coarse, (fine.shape[-2], fine.shape[-1]))
        at_level = bring_maps(maps, levels, SHOWN_LEVEL, frame_of(fine))
        group = levels.group_of(SHOWN_LEVEL)
        weight = network.weigh(fine, bands, at_level.coefficients, group)[0, 1]
        fused = mix_colour(planes, network.blend(pyramid, maps, levels, finest=0))
    cells = {
        "under": exposures[0][0],
        "over": exposures[1][0],
        "weight of the over exposure": weight.expand(3, *weight.shape),
        "fused": fused[0],
    }
    row = [draw_cell(_to_cell(planes), label) for label, planes in cells.items()]
    return join_cells(row)


def _read(path: Path) -> torch.Tensor:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def _load_network() -> BlendNetwork:
    weights = load_weights(locate_weights(DEFAULT_WEIGHTS))
    network = build_loaded(weights)
    if not isinstance(network, BlendNetwork):
        raise TypeError(f"expected weights that blend, got {weights.manifest.network.architecture}")
    return network


def _to_cell(planes: torch.Tensor) -> Picture:
    pixels = (planes.permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy()
    return np.asarray(cv2.resize(pixels, CELL_SIZE_PX, interpolation=cv2.INTER_AREA), np.uint8)


def main() -> None:
    """Write both figures."""
    REQUEST_FIGURE.write_text(draw_request())
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    cv2.imwrite(str(WEIGHTS_FIGURE), cv2.cvtColor(draw_weights(), cv2.COLOR_RGB2BGR), options)


if __name__ == "__main__":
    main()
