import re
from pathlib import Path

import pytest

from tests.paths import ROOT
from trainer.config import dump_config, load_config
from trainer.errors import ConfigError

CONFIGS = [
    path
    for path in sorted((ROOT / "trainer" / "configs").glob("*.toml"))
    if "[[study]]" not in path.read_text()
]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_repository_loads_and_survives_a_dump(path, tmp_path):
    config = load_config(path)
    assert load_config(write(tmp_path, dump_config(config))) == config


@pytest.mark.parametrize(
    "licence", ['the "Free" licence', "C:\\photos", "one's own", "two\nlines", "tab\there", "\x7f"]
)
def test_a_licence_of_any_characters_survives_a_dump(licence, tmp_path):
    config = load_config(write(tmp_path, 'name = "a"'))
    data = config.data.model_copy(update={"licences": ("CC0", licence)})
    config = config.model_copy(update={"data": data})
    assert load_config(write(tmp_path, dump_config(config))) == config


def test_a_bare_word_of_an_override_may_hold_quotes(tmp_path):
    path = write(tmp_path, 'name = "a"')
    for word in ('my "best" weights', "back\\slash"):
        config = load_config(path, ["optim.start=weights", f"optim.start_weights={word}"])
        assert config.optim.start_weights == word


def test_presets_differ_in_the_points_that_the_programme_departs_in(tmp_path):
    paper = load_config(write(tmp_path, 'name = "a"\nreading = "paper"'))
    authors = load_config(write(tmp_path, 'name = "a"\nreading = "authors"'))
    assert paper.network.feature_fusion == "sum"
    assert authors.network.feature_fusion == "mean"
    assert (authors.loss.source_sigma_px, authors.loss.output_sigma_px) == (10, 50)
    assert (paper.loss.ms_ssim, authors.loss.ms_ssim) == ("wang", "authors")
    assert (paper.data.lightness, authors.data.lightness) == ("cielab", "luma")
    assert paper.optim.steps == authors.optim.steps == 460 * 40


def test_the_file_wins_over_the_preset_and_an_override_over_the_file(tmp_path):
    text = 'name = "a"\nreading = "authors"\n[network]\nencoders = "tied"\n[optim]\nsteps = 7'
    config = load_config(write(tmp_path, text), ["optim.steps=9", "network.feature_fusion=sum"])
    assert config.network.encoders == "tied"
    assert config.network.feature_fusion == "sum"
    assert config.optim.steps == 9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "a"\n[optim]\nlearnig_rate = 1', "optim.learnig_rate"),
        ('name = "a"\ncolour = 1', "colour"),
        ('name = "a"\nreading = "mine"', "reading"),
        ('name = "a"\n[optim]\nsteps = 0', "optim.steps"),
        ("name = ", "TOML"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path, text, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_config(write(tmp_path, text))


def test_a_missing_file_and_a_bare_override_are_errors(tmp_path):
    with pytest.raises(ConfigError, match="found none"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"group\.key=value"):
        load_config(write(tmp_path, 'name = "a"'), ["optim.steps"])
