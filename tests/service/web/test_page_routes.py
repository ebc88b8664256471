"""The files of the page, as the service sends them."""

import re

import httpx
import pytest
from starlette.applications import Starlette

from service.web.page_routes import FOLDER, PREFIX, create_page_routes, read_files
from tests.paths import ROOT

OWN = [
    path
    for path in FOLDER.rglob("*")
    if path.suffix in {".html", ".js", ".css"} and "vendor" not in path.parts
]


@pytest.fixture
def client():
    transport = httpx.ASGITransport(Starlette(routes=create_page_routes()))
    return httpx.AsyncClient(transport=transport, base_url="http://x")


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page/js/main.js", "text/javascript; charset=utf-8"),
        ("/page/css/base.css", "text/css; charset=utf-8"),
        ("/page/favicon.svg", "image/svg+xml"),
        ("/page/sample/under.jpg", "image/jpeg"),
        ("/page/vendor/exifreader/LICENSE.txt", "text/plain; charset=utf-8"),
    ],
)
async def test_a_file_comes_with_its_type_and_may_reach_nothing_else(client, path, media_type):
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "*" not in policy


async def test_a_file_that_a_browser_has_is_not_sent_again(client):
    first = await client.get("/page/js/main.js")
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    again = await client.get("/page/js/main.js", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = await client.get("/page/js/main.js", headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


@pytest.mark.parametrize(
    "path",
    ["/page/../page_routes.py", "/page/%2e%2e/page_routes.py", "/page/vendor/README.md", "/page/"],
)
async def test_only_what_is_listed_is_sent(client, path):
    assert (await client.get(path)).status_code == 404


def test_every_address_in_the_page_s_own_files_is_one_that_is_served():
    files = read_files()
    for path in OWN:
        text = path.read_text()
        assert not re.findall(r"https?://(?!www\.w3\.org/)", text), path.name
        for address in re.findall(r'(?:src|href)="(page/[^"]+)"', text):
            assert f"/{address}" in files, address
        for address in re.findall(r'(?:from|import) "(\.[^"]+)"', text):
            served = (path.parent / address).resolve().relative_to(FOLDER).as_posix()
            assert PREFIX + served in files, address


def test_no_script_and_no_style_is_written_into_the_page():
    text = (FOLDER / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)


def test_every_vendored_component_has_its_licence_and_is_noticed():
    table = (FOLDER / "vendor" / "README.md").read_text()
    notice = (ROOT / "NOTICE").read_text()
    folders = [path for path in (FOLDER / "vendor").iterdir() if path.is_dir()]
    assert folders
    for folder in folders:
        assert (folder / "LICENSE.txt").is_file(), folder.name
        (line,) = re.findall(rf"^\| `{folder.name}` \| (\S+ \S+) \|", table, re.MULTILINE)
        assert line in notice
