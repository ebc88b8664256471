"""Every example of docs/client.md and of the README that asks a service runs, as it stands."""

import re
import shutil

import pytest

from tests.paths import ROOT

pytestmark = pytest.mark.e2e

URL = "http://127.0.0.1:8000"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = {
    f"{path.name}-{number}": example
    for path in (ROOT / "README.md", ROOT / "docs" / "client.md")
    for number, example in enumerate(BLOCK.findall(path.read_text()), start=1)
    if "expofuse.client" in example
}
SAID = {
    "client.md-2": "960 640 pyramid-blend-2.1.0",
    "client.md-4": "unsupported-media-type exposures[2] of 2: expected a file of JPEG",
    "client.md-5": "1.0.0 64.0 pyramid-blend-2.1.0",
}
WRITTEN = {
    "client.md-1": {"fused.jpg"},
    "client.md-3": {"fused.tif"},
    "client.md-6": {"fused-0.jpg", "fused-1.jpg"},
}


def test_every_example_is_known():
    assert EXAMPLES.keys() == SAID.keys() | WRITTEN.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(server, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "examples" / "under.jpg", "dark.jpg")
    shutil.copy(ROOT / "examples" / "over.jpg", "bright.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    given = set(tmp_path.iterdir())
    assert URL in EXAMPLES[name]
    exec(EXAMPLES[name].replace(URL, server.base_url), {})
    written = {path.name: path.read_bytes() for path in set(tmp_path.iterdir()) - given}
    assert written.keys() == WRITTEN.get(name, set())
    assert all(content[:3] in (b"\xff\xd8\xff", b"II*") for content in written.values())
    assert capsys.readouterr().out.startswith(SAID.get(name, ""))
