"""The site as `make docs` builds it: whole, and without a request to another host."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import expofuse
import expofuse.errors
import model
import model.errors
from model.errors import FusionError
from tests.paths import ROOT

pytestmark = pytest.mark.slow

LOADING = {
    "audio": ("src",),
    "embed": ("src",),
    "form": ("action",),
    "iframe": ("src", "srcdoc"),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "input": ("src",),
    "link": ("href",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "track": ("src",),
    "use": ("href", "xlink:href"),
    "video": ("src", "poster"),
}
"""What a browser fetches by itself, by element; a link is followed by a person alone."""

ELSEWHERE = re.compile(r"(?:^|[\s,])(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
CSS_LOADS = re.compile(r"""url\(\s*['"]?([^'")]*)|@import\s+['"]([^'"]*)""")
SCRIPT_ADDRESS = re.compile(r"""['"`](?:https?:|wss?:)?//[^'"`\s]+""")
NOT_FETCHED = ("http://www.w3.org/",)
"""Names of XML vocabularies."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as strictly as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--fail-on-warning", "--keep-going", "--quiet", "--builder", "html"]
    doctrees = ["--doctree-dir", str(tmp_path_factory.mktemp("doctrees"))]
    command = [sys.executable, "-m", "sphinx", *options, *doctrees, "docs", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


class Loads(HTMLParser):
    """Collects what a page makes a browser fetch, and the style and script within it."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self._is_inline = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [given[name] or "" for name in LOADING.get(tag, ()) if name in given]
        self.inline.append(given.get("style") or "")
        self._is_inline = tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._is_inline = False

    def handle_data(self, data: str) -> None:
        if self._is_inline:
            self.inline.append(data)


def css_addresses(text: str) -> list[str]:
    return [one or other for one, other in CSS_LOADS.findall(text)]


def script_addresses(text: str) -> list[str]:
    found = [address[1:] for address in SCRIPT_ADDRESS.findall(text)]
    return [address for address in found if not address.startswith(NOT_FETCHED)]


def test_a_page_that_asks_another_host_would_be_seen():
    page = Loads()
    page.feed(
        '<link href="https://fonts.example/a.css"><img srcset="a.png 1x, //b.example/c.png 2x">'
        "<style>@import 'https://c.example/d.css'; p {background: url(//d.example/e.png)}</style>"
        '<script>fetch("https://e.example/f")</script>'
    )
    assert [bool(ELSEWHERE.search(one)) for one in page.addresses] == [True, True]
    inline = "".join(page.inline)
    assert [bool(ELSEWHERE.search(one)) for one in css_addresses(inline)] == [True, True]
    assert "https://e.example/f" in script_addresses(inline)


def test_the_site_asks_no_other_host_for_anything(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for path in pages:
        page = Loads()
        page.feed(path.read_text())
        inline = "\n".join(page.inline)
        for address in [*page.addresses, *css_addresses(inline)]:
            assert not ELSEWHERE.search(address), (path.name, address)
        assert script_addresses(inline) == [], path.name
    for path in site.rglob("*.css"):
        for address in css_addresses(path.read_text()):
            assert not ELSEWHERE.search(address), (path.name, address)
    for path in site.rglob("*.js"):
        assert script_addresses(path.read_text()) == [], path.name


def test_search_is_part_of_the_site(site):
    assert (site / "searchindex.js").stat().st_size > 10_000
    assert 'src="searchindex.js"' in (site / "search.html").read_text()


def test_every_page_is_in_the_navigation(site):
    home = (site / "index.html").read_text()
    for path in (ROOT / "docs").rglob("*.md"):
        page = path.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        is_listed = f'href="{page}"' in home or page == "index.html"
        assert is_listed, page


def errors_of(module: object) -> list[str]:
    return [
        name
        for name, one in vars(module).items()
        if isinstance(one, type) and issubclass(one, FusionError)
    ]


def test_the_reference_names_everything_public(site):
    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda _, name: name)
    described = {
        name.rpartition(".")[2]
        for kind in ("class", "exception", "function")
        for name in inventory.get(f"py:{kind}", {})
    }
    public = {*expofuse.__all__, *model.__all__}
    public |= {*errors_of(model.errors), *errors_of(expofuse.errors)}
    assert public - described == set()
