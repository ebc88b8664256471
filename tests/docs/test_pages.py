"""The pages that repeat what the code knows: nothing is missing and nothing is out of date."""

import re
from pathlib import Path

import pytest

from docs.write_reference import write_pages
from service.fusing.options import OPTION_NAMES
from service.http.schemas import FUSE_OPENAPI
from service.problem_types import PROBLEM_TYPES
from tests.paths import ROOT

DOCS = ROOT / "docs"
PAGES = write_pages()
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name):
    assert (DOCS / name).read_text() == PAGES[name], "run `python -m docs.write_reference`"


def test_every_type_of_problem_has_its_anchor():
    anchors = re.findall(r"^## (.+)$", (DOCS / "problems.md").read_text(), re.MULTILINE)
    assert anchors == list(PROBLEM_TYPES)


def sections_of_options():
    text = (DOCS / "options.md").read_text()
    parts = re.split(r"^### (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_option_has_its_section():
    assert set(sections_of_options()) == set(OPTION_NAMES)


def test_a_section_states_every_value_and_the_default_of_its_option():
    sections = sections_of_options()
    for parameter in FUSE_OPENAPI["parameters"]:
        if parameter["in"] == "header":
            continue
        schema, text = parameter["schema"], sections[parameter["name"]]
        for value in filter(None, schema.get("enum", ())):  # An empty one counts as not given.
            assert f"`{value}`" in text, (parameter["name"], value)
        default = schema.get("default")
        if schema["type"] == "string" and default is not None:
            assert f"`{default}` (default)" in text, parameter["name"]
        elif default is not None:
            written = str(default).lower()
            assert re.search(rf"`{written}` \(default\)|{written} by default", text), default


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "examples" / "README.md"], ids=str)
def test_a_link_of_a_file_beside_the_site_leads_somewhere(path: Path):
    # Within docs/ the site's build looks after them.
    for link in LINK.findall(path.read_text()):
        if "://" not in link:
            assert (path.parent / link.partition("#")[0]).exists(), link
