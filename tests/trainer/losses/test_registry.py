"""What a module in the folder of terms declares is all that a term needs."""

import re

import pytest

from tests.paths import ROOT
from trainer.config import load_config
from trainer.errors import ConfigError
from trainer.losses import registry, terms
from trainer.losses.config import LossConfig
from trainer.losses.registry import TERMS
from trainer.losses.weighted_sum import LOSS_NAMES

BLEND = ROOT / "trainer" / "configs" / "pyramid-blend-2.1.0.toml"

NEW_TERM = """
from trainer.losses.term import LossTerm, TermOption

TERM = LossTerm(
    key="novelty", name="lost_novelty", words="novelty", explanation="", position={position},
    compute=lambda planes, options: planes.fused.mean(dim=(1, 2, 3)),
    options=(TermOption("novelty_gain", 2, at_least=1),),
)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A second folder in which terms are looked for."""
    monkeypatch.setattr(terms, "__path__", [*terms.__path__, str(tmp_path)])
    return tmp_path


def test_a_term_is_found_by_its_file_and_stands_at_its_position(folder):
    (folder / "novelty_one.py").write_text(NEW_TERM.format(position=15))
    keys = [term.key for term in registry._collect()]
    assert keys[:3] == ["bounds", "novelty", "fidelity"]
    assert len(keys) == len(TERMS) + 1


def test_two_terms_at_one_position_and_a_file_without_a_term_are_errors(folder):
    (folder / "novelty_two.py").write_text(NEW_TERM.format(position=20))
    with pytest.raises(ValueError, match="each position of a loss term once, got 20"):
        registry._collect()
    (folder / "novelty_two.py").unlink()
    (folder / "novelty_none.py").write_text("")
    with pytest.raises(TypeError, match=r"TERM in 'trainer\.losses\.terms\.novelty_none'"):
        registry._collect()


def test_the_config_has_the_keys_of_every_term_and_the_curves_its_name():
    assert {term.key for term in TERMS} < set(LossConfig.model_fields)
    assert [term.name for term in TERMS] == list(LOSS_NAMES[6:-2])
    options = {option.key for term in TERMS for option in term.all_options()}
    assert options == {
        "fidelity_from_step",
        "detail_gain",
        "detail_scales",
        "tone_from_step",
        "highlights_share",
        "highlights_gain",
        "shadows_share",
    }


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("loss.colours=1", "key 'loss.colours': Extra inputs are not permitted"),
        ("loss.truth=-1", "key 'loss.truth': Input should be greater than or equal to 0"),
        ("loss.detail_gain=0", "key 'loss.detail_gain': Input should be greater than 0"),
        ("loss.detail_scales=6", "key 'loss.detail_scales': Input should be less than or equal"),
        ("loss.detail_scales=1.5", "key 'loss.detail_scales': Input should be a valid integer"),
        ("loss.tone_from_step=-1", "key 'loss.tone_from_step': Input should be greater than"),
        ("loss.haze=much", "key 'loss.haze': Input should be a valid number"),
    ],
)
def test_a_wrong_key_or_value_of_a_term_is_named(override, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_config(BLEND, [override])
