"""Finds what each value of the chart is unless it is set, and writes how it comes in."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from deploy.chart.renderings import AXES, Choice, Manifest, name_object
from deploy.chart.template import OWN, TRUTHS, Openings, Path
from deploy.chart.values import (
    ADDITIONS,
    CHECKSUM,
    FIXED,
    IMAGE,
    POD,
    SETTINGS,
    VALUES,
    Addition,
    Json,
    Value,
)
from service.settings import setting_names

Renderings = Mapping[Choice, Sequence[Manifest]]


def make_openings(renderings: Renderings) -> Openings:
    """Where values come into the objects of these renderings.

    Raises:
        LookupError: A value has no place in any of them, or values differ between its places.
    """
    expressions: dict[Path, Callable[[object], str]] = {IMAGE: _express_image}
    for value in VALUES:
        _find_default(value, renderings)
        expressions |= dict.fromkeys(value.places, _express(value, renderings))
    for name in set(setting_names()).difference(FIXED):
        expressions[*SETTINGS, name] = _express_setting(name)
    blocks: dict[Path, list[str]] = {(*POD[:3], "metadata"): list(CHECKSUM)}
    for addition in ADDITIONS:
        for place in addition.places:
            blocks.setdefault(place, []).extend(_add(addition))
    return Openings(expressions, blocks)


def collect_defaults(renderings: Renderings) -> Json:
    """The content of `values.yaml`, as a tree in the order of its lines."""
    tree: Json = {}
    for axis, choices in AXES.items():
        first = next(iter(choices))
        tree[axis] = first == "true" if choices.keys() == TRUTHS else first
    tree["image"] = {"repository": "expofuse", "tag": ""}
    tree["settings"] = {}
    for value in VALUES:
        *groups, last = value.name.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[last] = _find_default(value, renderings)
    return tree | {addition.name: addition.empty for addition in ADDITIONS}


def make_schema(defaults: Json) -> Json:
    """The schema that Helm holds values against; an unknown name, or a setting's, is an error."""
    schema = _make_schema(defaults)
    schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    for axis, choices in AXES.items():
        if choices.keys() != TRUTHS:
            schema["properties"][axis]["enum"] = list(choices)
    schema["properties"]["replicas"] = {"type": ["integer", "null"], "minimum": 1}
    text = {"type": "string"}
    schema["properties"]["settings"] = {
        "type": "object",
        "properties": {name: text for name in setting_names() if name not in FIXED},
        "additionalProperties": False,
    }
    schema["properties"]["ingress"]["properties"]["annotations"] = {
        "type": "object",
        "additionalProperties": text,
    }
    return schema


def _make_schema(default: object) -> Json:
    kinds = {bool: "boolean", int: "integer", list: "array"}
    if not isinstance(default, dict):
        return {"type": kinds.get(type(default), "string")}
    if not default:
        return {"type": "object"}
    properties = {name: _make_schema(value) for name, value in default.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _find_all(path: Path, renderings: Renderings) -> Iterator[object]:
    for manifests in renderings.values():
        for manifest in manifests:
            if name_object(manifest) == path[0]:
                try:
                    yield _walk(manifest, path[1:])
                except LookupError:
                    continue


def _walk(node: object, path: Sequence[str]) -> object:
    for key in path:
        if isinstance(node, list):
            named = {item.get("name"): item for item in node if isinstance(item, dict)}
            node = named[key] if key in named else node[int(key)]
        elif isinstance(node, dict):
            node = node[key]
        else:
            raise LookupError(key)
    return node


def _find_default(value: Value, renderings: Renderings) -> object:
    """What is rendered in the value's places; none where that depends on the choice."""
    found = [list(_find_all(path, renderings)) for path in value.places]
    if not all(found):
        raise LookupError(f"nothing is rendered where {value.name} goes")
    different = {json.dumps(one): one for place in found for one in place}
    if len(different) == 1:
        return next(iter(different.values()))
    if len(value.places) > 1:
        raise LookupError(f"the places of {value.name} differ: {sorted(different)}")
    return None


def _express(value: Value, renderings: Renderings) -> Callable[[object], str]:
    name = f".Values.{value.name}"
    depends = _find_default(value, renderings) is None

    def express(rendered: object) -> str:
        if value.is_tree:
            return f"{{{{- toYaml {name} | nindent 4 }}}}"
        if depends:
            return f"{{{{ {name} | default {json.dumps(rendered)} }}}}"
        return f"{{{{ {name} | quote }}}}" if isinstance(rendered, str) else f"{{{{ {name} }}}}"

    return express


def _express_image(rendered: object) -> str:
    tag = str(rendered).rpartition(":")[2]
    return f'"{{{{ .Values.image.repository }}}}:{{{{ .Values.image.tag | default "{tag}" }}}}"'


def _express_setting(name: str) -> Callable[[object], str]:
    return lambda value: f'{{{{ dig "{name}" {json.dumps(value)} .Values.settings | quote }}}}'


def _add(addition: Addition) -> list[str]:
    head = [f"{addition.key}:"] if addition.key else []
    return [
        f"{{{{- with .Values.{addition.name} }}}}",
        *head,
        f"{{{{- toYaml . | nindent {OWN} }}}}",
        "{{- end }}",
    ]
