import pytest

from trainer.files import replacing, write_whole


def test_a_file_is_replaced_in_a_folder_that_is_made(tmp_path):
    path = tmp_path / "new" / "file.txt"
    for text in ("one\n", "zwei, ä\n"):
        write_whole(path, text)
        assert path.read_bytes() == text.encode()
    write_whole(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert list(path.parent.iterdir()) == [path]


def test_a_writer_that_fails_leaves_the_file_before_it_and_no_other(tmp_path):
    path = tmp_path / "file.txt"
    write_whole(path, "before")

    def fail():
        with replacing(path) as partial:
            partial.write_text("half of what")
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
