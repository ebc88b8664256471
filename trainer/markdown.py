"""Markdown: templates, tables, and values as a reader writes them."""

from collections.abc import Iterable, Sequence
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template


def load_template(package: str, name: str) -> Template:
    """A Markdown template with the filters `value` and `cell`.

    Args:
        package: Package that the template lies in.
        name: Its file name.
    """
    environment = Environment(
        autoescape=False,  # the text is Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"value": format_value, "cell": escape_cell}
    environment.tests["contains"] = lambda text, part: part in text
    source = files(package).joinpath(name).read_text(encoding="utf-8")
    return environment.from_string(source)


def format_value(value: object) -> str:
    """A value of a config as a reader writes it.

    Example:
        >>> [format_value(value) for value in (1000.0, True, [1.0, 4.5], ["CC0", "MIT"], "")]
        ['1,000', 'yes', '1 to 4.5', 'CC0, MIT', 'none']
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{int(value):,}" if value == int(value) else f"{value:g}"
    if isinstance(value, list):
        is_range = len(value) == 2 and all(type(end) in (int, float) for end in value)
        return (" to " if is_range else ", ").join(map(format_value, value))
    return str(value) or "none"


def escape_cell(text: str) -> str:
    r"""Text for a cell of a table, in which a bar or a line break would end the cell.

    Example:
        >>> print(escape_cell("a|b\nc"))
        a\|b c
    """
    return " ".join(text.replace("|", "\\|").splitlines())


def draw_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; its cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(map(escape_cell, cells)) + " |" for cells in lines]
