"""Groups as JSON: written, edited, read again."""

import json

import pytest

from expofuse.errors import GroupsError
from expofuse.grouping import Bracket, Groups, Single

GROUPS = Groups((Bracket(("a/1.jpg", "a/2.jpg"), "2 exposures"),), (Single("ä.jpg", "alone"),))


def test_groups_are_read_as_they_were_written():
    assert Groups.from_json(GROUPS.to_json()) == GROUPS


def test_what_a_person_wrote_may_lack_reasons_and_singles():
    groups = Groups.from_json('{"brackets": [{"files": ["1.jpg", "2.jpg"]}]}')
    assert groups == Groups((Bracket(("1.jpg", "2.jpg")),))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"form": "other"}, "form"),
        ({"brackets": [{"files": ["a.jpg"]}]}, "brackets.0.files"),
        ({"brackets": [{"files": [f"{n}.jpg" for n in range(10)]}]}, "brackets.0.files"),
        ({"brackets": [{"files": ["a.jpg", "a.jpg"]}]}, "'a.jpg' in two"),
        ({"singles": [{"file": "a/1.jpg"}]}, "'a/1.jpg' in two"),
        ({"brackets": "none"}, "brackets"),
        ({"bracket": []}, "bracket"),
    ],
)
def test_what_is_wrong_is_named(change, fault):
    document = json.loads(GROUPS.to_json()) | change
    with pytest.raises(GroupsError, match=fault):
        Groups.from_json(json.dumps(document))


def test_what_is_no_json_is_refused():
    with pytest.raises(GroupsError, match="expofuse group"):
        Groups.from_json("a.jpg b.jpg")
