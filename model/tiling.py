"""Plans the windows in which a picture is fused; arithmetic only.

A network that decides each pixel by its neighbours reflects at the picture's border in every one
of its layers, so a picture whose input is reflected once is not the same picture. Two kinds of
window follow. An interior window reads its core plus a halo on every side, always from inside the
picture, and is run without any padding. A border window is a strip, two halos thick, that touches
the picture's border: its padding is the picture's own there, and what its other sides' padding
spoils is the halo that is cropped. Only the thin frame of border windows therefore pays for
padding, and tiled equals whole to float rounding.

        +--------------------------+
        |  border strip (top)      |   cores partition the picture: every pixel is computed
        +--+--------+--------+-----+   by exactly one window
        |  |interior|interior|     |
        |  +--------+--------+     |
        |  |interior|interior|     |
        +--+--------+--------+-----+
        |  border strip (bottom)   |
        +--------------------------+

A Laplacian pyramid needs less: its border rule reaches no further than its halo, so a window that
ends where the picture ends has the picture's own border there. Its cores lie on a grid of whole
pixels of the coarsest level that it computes (`plan_grid_windows`).
"""

from dataclasses import dataclass
from typing import Literal

WindowKind = Literal["interior", "border", "reduce", "coarse", "blend"]


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle of pixels.

    Attributes:
        top: First row.
        left: First column.
        height: Number of rows.
        width: Number of columns.
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """Row after the last."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """Column after the last."""
        return self.left + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the rectangle in an (H, W, ...) array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def relative_to(self, other: "Rect") -> "Rect":
        """The same pixels in coordinates whose origin is the corner of `other`."""
        return Rect(self.top - other.top, self.left - other.left, self.height, self.width)

    def shrunk(self, margin: int) -> "Rect":
        """The rectangle without `margin` pixels on each side."""
        return Rect(
            self.top + margin,
            self.left + margin,
            self.height - 2 * margin,
            self.width - 2 * margin,
        )

    def reduced(self, level: int) -> "Rect":
        """The rectangle at a level of the pyramid; it begins on the grid of 2^level pixels."""
        top, left = self.top >> level, self.left >> level
        return Rect(top, left, -(-self.bottom >> level) - top, -(-self.right >> level) - left)

    def contains(self, other: "Rect") -> bool:
        """Whether every pixel of `other` lies in this rectangle."""
        return (
            self.top <= other.top
            and self.left <= other.left
            and self.bottom >= other.bottom
            and self.right >= other.right
        )


@dataclass(frozen=True, slots=True)
class Window:
    """A tile with its halo: what the network is given at a time.

    Attributes:
        kind: `interior` is run without padding, `border` with the network's reflection; the
            others name their pass in a pyramid.
        source: The pixels that are read.
        core: The pixels of the result that are kept.
    """

    kind: WindowKind
    source: Rect
    core: Rect

    @property
    def batch_key(self) -> tuple[WindowKind, int, int]:
        """What must be equal for two windows to share a micro-batch.

        Windows of a pyramid are computed one by one, whatever their shape.
        """
        if self.kind in ("interior", "border"):
            return self.kind, self.source.height, self.source.width
        return self.kind, 0, 0


@dataclass(frozen=True, slots=True)
class _Segment:
    start: int
    stop: int
    core_start: int
    core_stop: int


def plan_windows(height: int, width: int, *, halo_px: int, tile_px: int) -> tuple[Window, ...]:
    """Cut a picture into windows whose cores partition it.

    All interior windows of a picture have one shape, and so have all horizontal and all vertical
    strips: the shape is balanced over the picture instead of fixed, and the last window is
    shifted inwards. A strip reads a quarter of the pixels that the largest interior window does
    (padding takes memory of its own), so that the memory of one window is bounded by `tile_px` and
    `halo_px`. A picture with a side below four halos has no interior worth the name: it is cut
    across its longer side into border windows of its full breadth, one window if it is small.

    Args:
        height: Height of the picture, at least 1.
        width: Width of the picture, at least 1.
        halo_px: Margin that a core needs around it, at least 0.
        tile_px: Largest side of an interior core, at least 1.

    Returns:
        Windows, border first, in a fixed order.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> windows = plan_windows(100, 200, halo_px=8, tile_px=128)
        >>> [(window.kind, window.core.height, window.core.width) for window in windows][-2:]
        [('interior', 84, 92), ('interior', 84, 92)]
    """
    if min(height, width, tile_px) < 1 or halo_px < 0:
        raise ValueError(
            "expected positive sides, a positive tile and a halo of at least 0 pixels, "
            f"got {width}x{height}, tile {tile_px}, halo {halo_px}"
        )
    area = (tile_px + 2 * halo_px) ** 2
    if min(height, width) < 4 * halo_px:
        limit = max(4 * halo_px, area // min(height, width))
        rows = _cut(height, limit=limit if height > width else height, halo=halo_px)
        columns = _cut(width, limit=width if height > width else limit, halo=halo_px)
        return _windows("border", rows, columns)
    limit = tile_px + 2 * halo_px
    inside_rows = _without_ends(_cut(height, limit=limit, halo=halo_px), height, halo_px)
    inside_columns = _without_ends(_cut(width, limit=limit, halo=halo_px), width, halo_px)
    interior = _windows("interior", inside_rows, inside_columns)
    if halo_px == 0:
        return interior
    limit = max(4 * halo_px, area // (8 * halo_px))
    top_bottom, left_right = _edges(height, halo_px), _edges(width, halo_px)
    along_width = _cut(width, limit=limit, halo=halo_px)
    along_height = _without_ends(_cut(height, limit=limit, halo=halo_px), height, halo_px)
    return (
        *_windows("border", top_bottom, along_width),
        *_windows("border", along_height, left_right),
        *interior,
    )


def plan_grid_windows(
    kind: WindowKind, height: int, width: int, *, grid_px: int, halo_px: int, tile_px: int
) -> tuple[Window, ...]:
    """Cut a picture into windows whose cores partition it and begin on a grid.

    The halo is read on every side on which the picture goes on. Sources begin on the grid too,
    and end on it or with the picture.

    Args:
        kind: Kind of the windows.
        height: Height of the picture, at least 1.
        width: Width of the picture, at least 1.
        grid_px: Distance of the grid's lines, at least 1.
        halo_px: Margin that a core needs around it, a multiple of `grid_px`.
        tile_px: Largest side of a core, at least `grid_px`.

    Returns:
        Windows, row by row.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> windows = plan_grid_windows("blend", 20, 70, grid_px=8, halo_px=24, tile_px=64)
        >>> [(window.core.left, window.core.width, window.source.left) for window in windows]
        [(0, 40, 0), (40, 30, 16)]
    """
    if min(height, width, grid_px) < 1 or tile_px < grid_px or halo_px < 0 or halo_px % grid_px:
        raise ValueError(
            "expected positive sides, a tile of at least the grid and a halo on the grid, "
            f"got {width}x{height}, tile {tile_px}, halo {halo_px}, grid {grid_px}"
        )
    rows = _cut_on_grid(height, grid=grid_px, halo=halo_px, tile=tile_px)
    columns = _cut_on_grid(width, grid=grid_px, halo=halo_px, tile=tile_px)
    return _windows(kind, rows, columns)


def _cut_on_grid(length: int, *, grid: int, halo: int, tile: int) -> list[_Segment]:
    """Segments with cores of one length, but for the last, that begin on the grid."""
    count = -(-length // (tile // grid * grid))
    step = -(-length // (count * grid)) * grid
    return [
        _Segment(
            max(start - halo, 0),
            min(start + step + halo, length),
            start,
            min(start + step, length),
        )
        for start in range(0, length, step)
    ]


def _cut(length: int, *, limit: int, halo: int) -> list[_Segment]:
    """Segments of one length up to `limit` that overlap by two halos; the ends have no halo."""
    step_limit = max(1, limit - 2 * halo)
    count = max(1, -(-(length - 2 * halo) // step_limit))
    size = -(-(length + 2 * halo * (count - 1)) // count)
    starts = [min(index * (size - 2 * halo), length - size) for index in range(count)]
    stops = [start + size - halo for start in starts[:-1]] + [length]
    return [
        _Segment(start, start + size, core_start, core_stop)
        for start, core_start, core_stop in zip(starts, [0, *stops[:-1]], stops, strict=True)
        if core_stop > core_start
    ]


def _without_ends(segments: list[_Segment], length: int, halo: int) -> list[_Segment]:
    """The segments with a halo taken off the first and the last core."""
    inside = [
        _Segment(
            segment.start,
            segment.stop,
            max(segment.core_start, halo),
            min(segment.core_stop, length - halo),
        )
        for segment in segments
    ]
    return [segment for segment in inside if segment.core_stop > segment.core_start]


def _edges(length: int, halo: int) -> list[_Segment]:
    """The first and the last halo of an axis, each read with the halo behind it."""
    return [
        _Segment(0, 2 * halo, 0, halo),
        _Segment(length - 2 * halo, length, length - halo, length),
    ]


def _windows(kind: WindowKind, rows: list[_Segment], columns: list[_Segment]) -> tuple[Window, ...]:
    return tuple(
        Window(
            kind,
            Rect(row.start, column.start, row.stop - row.start, column.stop - column.start),
            Rect(
                row.core_start,
                column.core_start,
                row.core_stop - row.core_start,
                column.core_stop - column.core_start,
            ),
        )
        for row in rows
        for column in columns
    )
