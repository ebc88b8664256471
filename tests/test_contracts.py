"""Promises that hold across files."""

import importlib
import pkgutil
import re
import subprocess
import sys

import pytest

import model
from model.manifest import Manifest
from service.settings import setting_names
from tests.paths import ROOT

BUNDLED = ROOT / "weights" / "pyramid-blend-2.1.0"


def test_every_public_name_of_model_is_there_and_documented():
    assert sorted(model.__all__) == sorted(model._HOME)
    for name in model.__all__:
        assert getattr(model, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'none'"):
        model.none  # noqa: B018


def test_errors_exposures_and_manifests_load_neither_torch_nor_opencv():
    code = (
        "import sys, model.errors, model.exposure, model.manifest;"
        "assert not {'torch', 'cv2', 'onnxruntime'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("place", ["docs/settings.md", "k8s/base/configmap.env"])
def test_every_setting_is_written_down(place):
    text = (ROOT / place).read_text()
    written = set(re.findall(r"EXPOFUSE_[A-Z0-9_]+", text))
    names = set(setting_names())
    assert names - written == set()
    assert {name for name in written if not name.endswith("_")} - names == set()


def test_the_table_of_settings_states_their_defaults_and_meanings():
    text = (ROOT / "docs" / "settings.md").read_text()
    for name, (default, meaning) in setting_names().items():
        said = f"`{default}`" if default else "unset"
        assert f"| `{name}` | {said} | {meaning} |" in text, name


def test_manifest_schema_and_the_bundled_file_agree():
    text = (BUNDLED / "manifest.json").read_text()
    manifest = Manifest.model_validate_json(text)
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert manifest.label == BUNDLED.name


def test_the_readme_names_every_room():
    text = (ROOT / "README.md").read_text()
    for package in ("expofuse", "model", "service", "trainer"):
        assert f"\n{package}/ " in text
        for module in pkgutil.iter_modules([str(ROOT / package)]):
            if module.ispkg:
                assert f"{module.name}/" in text, f"{package}/{module.name}"


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("bench/*.py"), *ROOT.glob("examples/*.py")]), ids=lambda p: p.stem
)
def test_every_measurement_and_example_finds_what_it_imports(path):
    importlib.import_module(f"{path.parent.name}.{path.stem}")
