"""What needs no connection: pauses, exposures, options, and files written whole or not at all."""

import io
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from expofuse.client import Client, Retries, UsageError
from expofuse.client.errors import NoAnswerError
from expofuse.client.exposures import Exposures
from expofuse.client.options import OPTION_NAMES, write_query
from expofuse.client.retries import Attempts, count_retries, read_retry_after
from expofuse.client.state import Limits
from expofuse.files.writing.destination import open_destination
from service.fusing.options import OPTION_NAMES as SERVED_OPTIONS
from service.http.schemas import Limits as ServedLimits


def test_the_client_has_the_options_and_the_limits_of_the_service():
    assert set(OPTION_NAMES) == set(SERVED_OPTIONS)
    assert Limits.model_fields.keys() <= ServedLimits.model_fields.keys()


def test_an_unknown_option_is_told_before_anything_is_sent():
    with Client() as client, pytest.raises(TypeError, match="got 'sharpen'"):
        client.fuse([b"one", b"two"], sharpen=True)
    assert write_query({"reference": "auto", "align": None}) == {"reference": "auto"}


def test_a_pause_is_never_shorter_than_told_and_grows_to_a_bound():
    retries = Retries(spread_s=1.0, longest_spread_s=4.0)
    longest = [retries.plan_pause_s(number, told_s=None, share=1.0) for number in range(5)]
    assert longest == [1, 2, 4, 4, 4]
    assert retries.plan_pause_s(3, told_s=7.0, share=0.0) == 7.0
    assert retries.plan_pause_s(2000, told_s=None, share=1.0) == 4


def test_pauses_of_clients_that_are_refused_together_differ():
    told = {Attempts(Retries()).pause_after(NoAnswerError("none")) for _ in range(20)}
    assert len(told) == 20
    assert all(0 <= pause < 0.5 for pause in told)


def test_a_number_of_retries_is_enough():
    assert count_retries(3) == Retries(count=3)


def test_retry_after_may_be_a_date():
    moment = datetime.now(UTC) + timedelta(seconds=90)
    assert 60 < read_retry_after(format_datetime(moment, usegmt=True)) <= 90
    assert read_retry_after("Fri, 01 Jan 2010 00:00:00 -0000") == 0.0
    for nothing in (None, "", "-5", "1.5", "½"):
        assert read_retry_after(nothing) is None


@pytest.mark.parametrize("count", [0, 1, 10])
def test_exposures_are_counted(count):
    with pytest.raises(UsageError, match=f"2 to 9 exposures, got {count}"):
        Exposures([b"one"] * count)


@pytest.mark.parametrize("given", ["a.jpg", b"one", Path("a.jpg")])
def test_a_single_exposure_is_no_sequence_of_them(given):
    with pytest.raises(TypeError, match="a sequence of exposures"):
        Exposures(given)


def test_exposures_are_files(tmp_path):
    with pytest.raises(TypeError, match="got int"):
        Exposures([b"one", 2])
    missing = Exposures([tmp_path / "missing", b"two"])
    with pytest.raises(FileNotFoundError), missing.open_parts():
        pass


def test_files_of_exposures_are_open_while_they_are_sent(tmp_path):
    path = tmp_path / "one"
    path.write_bytes(b"one")
    mine = io.BytesIO(b"three")
    exposures = Exposures([path, str(path), b"two", mine])
    for _ in range(2):
        with exposures.open_parts() as parts:
            files = [content for _, (_, content, _) in parts]
            assert [file.read() for file in files[:3]] == [b"one", b"one", b"two"]
            assert {name for name, _ in parts} == {"exposures"}
        assert (files[0].closed, files[1].closed, mine.closed) == (True, True, False)
    assert exposures.can_repeat


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    place = tmp_path / "out"
    with open_destination(place) as file:
        file.write(b"whole")
        assert not place.exists()
    assert place.read_bytes() == b"whole"
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert place.stat().st_mode == plain.stat().st_mode
    place.chmod(0o640)
    with open_destination(place) as file:
        file.write(b"newer")
    assert (place.read_bytes(), place.stat().st_mode & 0o777) == (b"newer", 0o640)
    assert {path.name for path in tmp_path.iterdir()} == {"out", "plain"}


def test_a_file_that_is_not_finished_leaves_what_was_there(tmp_path):
    place = tmp_path / "out"
    place.write_bytes(b"older")

    def write():
        with open_destination(place) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert place.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [place]


def test_a_link_is_followed_and_a_device_is_written_to(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"older")
    link.symlink_to(target)
    with open_destination(link) as file:
        file.write(b"newer")
    assert link.is_symlink()
    assert target.read_bytes() == b"newer"
    with open_destination("/dev/null") as file:
        file.write(b"gone")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(IsADirectoryError), open_destination(tmp_path):
        pass
    with pytest.raises(FileNotFoundError), open_destination(tmp_path / "none" / "out"):
        pass
