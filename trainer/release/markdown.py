"""Values and tables of a model card, as Markdown."""

from collections.abc import Iterable, Sequence

Table = dict[str, object]
"""A group of a TOML document."""


def describe_value(value: object) -> str:
    """A value of a config as a reader writes it: 1,000, yes, 1 to 4."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{int(value):,}" if value == int(value) else f"{value:g}"
    if isinstance(value, list):
        is_range = len(value) == 2 and all(type(end) in (int, float) for end in value)
        return (" to " if is_range else ", ").join(map(describe_value, value))
    return str(value) or "none"


def draw_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines]
