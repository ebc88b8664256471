import json
import shutil

import pytest

from model.errors import WeightsError
from model.manifest import GRAPH_NAME, MANIFEST_NAME, read_manifest
from model.release.weights import load_weights
from tests.paths import ROOT
from tests.service.versions import write_blend_version
from trainer.__main__ import main
from trainer.errors import RunError
from trainer.release.model_card import CARD_NAME
from trainer.release.repackage import repackage

BUNDLED = ROOT / "weights" / "hyperp-mb-1.1.0"
LABEL = "hyperp-mb-1.1.7"


def test_a_patch_has_the_same_files_and_another_rule(tmp_path):
    target = tmp_path / LABEL
    about = tmp_path / "about.toml"
    about.write_text('limits = ["One limit."]\n')
    command = ["repackage", str(BUNDLED), str(target), "--chroma", "weighted"]
    assert main([*command, "--about", str(about)]) == 0
    old, new = read_manifest(BUNDLED), load_weights(target).manifest
    for name in old.files:
        assert (target / name).read_bytes() == (BUNDLED / name).read_bytes()
    assert new.golden.picture != old.golden.picture
    told = {"version": "1.1.7", "chroma": "weighted", "evaluation": (), "limits": ("One limit.",)}
    told["golden"] = old.golden.model_copy(update={"picture": new.golden.picture})
    assert new == old.model_copy(update=told)
    card = (target / CARD_NAME).read_text()
    assert "weighted by its distance from neutral" in card
    assert "Not evaluated yet." in card
    assert sorted(tmp_path.iterdir()) == sorted([about, target])


def test_the_released_patch_is_1_1_0_but_for_its_colour():
    patch = ROOT / "weights" / "hyperp-mb-1.1.1"
    old, new = load_weights(BUNDLED).manifest, load_weights(patch).manifest
    assert (old.chroma, new.chroma) == ("mean", "unclipped")
    for key in ("network", "files", "training", "reference", "accepted_exposures"):
        assert getattr(new, key) == getattr(old, key)
    lightness = {"picture": ()}
    assert new.golden.model_copy(update=lightness) == old.golden.model_copy(update=lightness)
    assert new.golden.picture != old.golden.picture


@pytest.mark.parametrize("name", ["hyperp-mb-1.1.0", "hyperp-mb-1.2.0", "hyperp-mb-1.0.9"])
def test_only_a_later_patch_is_written(tmp_path, name):
    with pytest.raises(RunError, match=r"expected a patch of 'hyperp-mb-1\.1\.0'"):
        repackage(BUNDLED, tmp_path / name, chroma="weighted")


def test_another_name_and_a_version_that_exists_are_refused(tmp_path):
    with pytest.raises(RunError, match="expected the target folder as 'hyperp-mb-"):
        repackage(BUNDLED, tmp_path / "other-1.1.1", chroma="weighted")
    (tmp_path / LABEL).mkdir()
    with pytest.raises(RunError, match="never change"):
        repackage(BUNDLED, tmp_path / LABEL, chroma="weighted")


def test_the_same_rule_again_is_refused(tmp_path):
    with pytest.raises(RunError, match="another rule of chroma than 'mean'"):
        repackage(BUNDLED, tmp_path / LABEL, chroma="mean")


def test_weights_that_blend_colour_have_no_rule(tmp_path):
    blend = write_blend_version(tmp_path, "blend-0.1.0")
    with pytest.raises(RunError, match="has none"):
        repackage(blend, tmp_path / "blend-0.1.9", chroma="weighted")


def test_a_graph_that_changed_on_the_disk_leaves_no_version(tmp_path):
    source = shutil.copytree(BUNDLED, tmp_path / BUNDLED.name)
    (source / GRAPH_NAME).write_bytes(b"other")
    with pytest.raises(WeightsError):
        repackage(source, tmp_path / LABEL, chroma="weighted")
    assert not (tmp_path / LABEL).exists()
    assert json.loads((source / MANIFEST_NAME).read_text())["version"] == "1.1.0"
    # what was begun is not in the way of the next attempt
    shutil.copyfile(BUNDLED / GRAPH_NAME, source / GRAPH_NAME)
    assert repackage(source, tmp_path / LABEL, chroma="weighted").label == LABEL
