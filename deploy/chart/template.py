"""Writes one object of all renderings as a template of Helm, with a condition where they differ."""

import itertools
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from deploy.chart.renderings import AXES, Choice

Path = tuple[str, ...]
"""The way to a value from its object's name: keys, and in lists the items' names or numbers."""
Versions = Mapping[Choice, Any]
"""What stands in one place, for each choice that has anything there."""

TRUTHS = {"false", "true"}
OWN = "OWN"
"""In the lines of a block, the columns that it is indented by."""


_LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]*"
_BLOCK = re.compile(rf"(?=\S){_LINE}\n(?:{_LINE}\n)*{_LINE}(?<=\S)\n?")
"""A text of lines that YAML keeps as they are: it begins and ends with something to be seen."""


class ConditionError(ValueError):
    """Renderings differ by more than two axes at once, or in a way that no template is made of."""


@dataclass(frozen=True, slots=True)
class Openings:
    """Where a chart's values come into the objects.

    Attributes:
        expressions: What stands in the place of a value, from that value; by the value's path.
        blocks: Keys of a mapping, or items of a list, that values may add; lines by the path.
    """

    expressions: Mapping[Path, Callable[[object], str]]
    blocks: Mapping[Path, Sequence[str]]


def write_template(
    name: str, versions: Versions, universe: Collection[Choice], openings: Openings
) -> str:
    """The template of one object.

    Args:
        name: Of the object, the beginning of its paths.
        versions: The object, for each choice that has it.
        universe: All choices.
        openings: Where values come in.

    Raises:
        ConditionError: No condition tells the renderings apart.
    """
    writer = _Writer(openings)
    lines = list(writer.write_mapping((name,), versions, ""))
    if len(versions) < len(universe):
        condition = find_condition(versions.keys(), universe)
        lines = [f"{{{{- if {condition} }}}}", *lines, "{{- end }}"]
    return "\n".join(lines) + "\n"


def find_condition(chosen: Collection[Choice], universe: Collection[Choice]) -> str:
    """The expression of Helm's that is true for some choices and false for the others.

    Example:
        >>> universe = [("cpu", "false", "false", "none"), ("gpu", "false", "false", "none")]
        >>> find_condition(universe[1:], universe)
        'ne .Values.device "cpu"'
    """
    wanted = set(chosen)
    tests = list(_list_tests(universe))
    for members, said in tests:
        if members == wanted:
            return said
    for (first, said), (second, other) in itertools.combinations(tests, 2):
        if first & second == wanted:
            return f"and ({said}) ({other})"
    raise ConditionError(f"no condition for {sorted(wanted)}")


def _list_tests(universe: Collection[Choice]) -> Iterator[tuple[set[Choice], str]]:
    for place, (axis, choices) in enumerate(AXES.items()):
        for choice in choices:
            value = f".Values.{axis}"
            chosen = {one for one in universe if one[place] == choice}
            if choices.keys() == TRUTHS:
                yield chosen, f"not {value}" if choice == "false" else value
            else:
                yield chosen, f'eq {value} "{choice}"'
                yield set(universe) - chosen, f'ne {value} "{choice}"'


class _Writer:
    """Walks the versions of an object side by side."""

    def __init__(self, openings: Openings) -> None:
        self._openings = openings

    def write_mapping(self, path: Path, versions: Versions, indent: str) -> Iterator[str]:
        for key in _unite(version.keys() for version in versions.values()):
            here = {c: version[key] for c, version in versions.items() if key in version}
            lines = self._write_value((*path, key), here, f"{indent}{_quote(key)}:", indent + "  ")
            yield from _guard(here, versions, lines)
        yield from self._write_block(path, indent)

    def _write_value(self, path: Path, versions: Versions, head: str, indent: str) -> Iterator[str]:
        """Lines of `key: value`, or of `- value`; `head` is what stands before the value."""
        values = list(versions.values())
        if path in self._openings.expressions:
            yield from self._write_groups(path, versions, head, indent)
        elif all(isinstance(value, dict) and value for value in values):
            yield head
            yield from self.write_mapping(path, versions, indent)
        elif all(isinstance(value, list) and value for value in values):
            yield head
            yield from self._write_list(path, versions, indent)
        else:
            yield from self._write_groups(path, versions, head, indent)

    def _write_list(self, path: Path, versions: Versions, indent: str) -> Iterator[str]:
        named = {c: _name_items(items) for c, items in versions.items()}
        for name in _unite(items.keys() for items in named.values()):
            here = {c: items[name] for c, items in named.items() if name in items}
            lines = self._write_item((*path, name), here, indent)
            yield from _guard(here, versions, lines)
        yield from self._write_block(path, indent)

    def _write_block(self, path: Path, indent: str) -> Iterator[str]:
        for line in self._openings.blocks.get(path, ()):
            line = line.replace(f"nindent {OWN}", f"nindent {len(indent)}")
            yield line if line.startswith("{{-") else indent + line

    def _write_item(self, path: Path, versions: Versions, indent: str) -> Iterator[str]:
        if not all(isinstance(value, dict) for value in versions.values()):
            yield from self._write_value(path, versions, f"{indent}-", indent + "  ")
            return
        lines = list(self.write_mapping(path, versions, indent + "  "))
        if lines[0].lstrip().startswith("{{"):
            raise ConditionError(f"the first key of {path} has a condition")
        yield f"{indent}- {lines[0].lstrip()}"
        yield from lines[1:]

    def _write_groups(
        self, path: Path, versions: Versions, head: str, indent: str
    ) -> Iterator[str]:
        """Lines for each different value, each under its condition."""
        groups: dict[str, tuple[object, list[Choice]]] = {}
        for choice, value in versions.items():
            groups.setdefault(json.dumps(value), (value, []))[1].append(choice)
        express = self._openings.expressions.get(path)
        for value, chosen in groups.values():
            lines = [f"{head} {express(value)}"] if express else _write_scalar(value, head, indent)
            yield from _guard(dict.fromkeys(chosen), versions, lines)


def _guard(here: Versions, around: Versions, lines: Iterable[str]) -> Iterator[str]:
    """The lines, under a condition where not all that has what is around has them."""
    if len(here) == len(around):
        yield from lines
        return
    yield f"{{{{- if {find_condition(here.keys(), around.keys())} }}}}"
    yield from lines
    yield "{{- end }}"


def _name_items(items: Sequence[Any]) -> dict[str, Any]:
    """Items by their names, where all have one, or else by their numbers."""
    if all(isinstance(item, dict) and "name" in item for item in items):
        return {item["name"]: item for item in items}
    return {str(number): item for number, item in enumerate(items)}


def _unite(orders: Iterable[Iterable[str]]) -> list[str]:
    """All keys, in the order in which they come up first."""
    return list(dict.fromkeys(itertools.chain.from_iterable(orders)))


def _write_scalar(value: object, head: str, indent: str) -> list[str]:
    """A text of several lines as such, anything else on one."""
    if not isinstance(value, str) or not _BLOCK.fullmatch(value):
        return [f"{head} {_quote(value)}"]
    lines = _escape(value).removesuffix("\n").split("\n")
    style = "|" if value.endswith("\n") else "|-"
    return [f"{head} {style}", *(f"{indent}{line}" if line else "" for line in lines)]


def _quote(value: object) -> str:
    """A value in YAML on one line."""
    if isinstance(value, str) and not re.fullmatch(_LINE, value):
        return _escape(json.dumps(value))
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return _escape(text.removesuffix("\n...\n").rstrip("\n"))


def _escape(text: str) -> str:
    """The text with nothing in it that Helm would take for its own."""
    return text.replace("{{", '{{ "{{" }}')
