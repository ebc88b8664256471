"""What is known of jobs stays known, within its bounds."""

import sqlite3

import pytest

from service.errors import JobsSetupError
from service.fusing.options import FuseOptions
from service.jobs.deliveries import message_id_of, plan_pause_s, write_event
from service.jobs.folder import JobFolder
from service.jobs.job import NewJob, StoredForm, StoredPicture, StoredProblem
from service.jobs.store import LONGEST_PAUSE_S, MAX_REMEMBERED, SCHEMA_VERSION, JobStore
from service.settings import JobSettings

PICTURE = StoredPicture(media_type="image/png", headers={"X-A": "1"}, digest="d", n_bytes=10)
PROBLEM = StoredProblem(code="job-lost", detail="killed")


@pytest.fixture
def open_store(tmp_path):
    stores = []

    def open_it(**settings):
        stores.append(JobStore(tmp_path / "jobs.sqlite3", JobSettings(**settings)))
        return stores[-1]

    yield open_it
    for store in stores:
        store.close()


def add(store, job_id, *, caller="a", now_s=100.0, webhook=None):
    form = StoredForm(options=FuseOptions(quality=80), fields=["under", "over"], sizes=[2, 3])
    store.reserve(NewJob(job_id, caller, "request", form, 1.0, 100, webhook), now_s)
    return store.confirm(job_id, None)


def test_a_job_is_the_same_after_the_store_is_opened_again(open_store):
    store = open_store()
    add(store, "one", webhook="https://a.example/")
    before = store.find("one")
    store.close()
    again = open_store()
    assert again.find("one") == before
    assert before.form.options == FuseOptions(quality=80)
    assert [bytes(file) for file in before.form.fill(b"aabbb").files] == [b"aa", b"bbb"]


def test_what_was_running_waits_again_and_what_arrived_is_forgotten(open_store):
    store = open_store(max_attempts=2)
    add(store, "ran")
    add(store, "waits")
    store.reserve(NewJob("arriving", "a", "r", store.find("ran").form, 1.0, 1, None), now_s=100.0)
    assert store.find("arriving") is None
    assert store.begin("ran", 101.0)
    found = store.recover(PROBLEM, 102.0)
    assert (found.exposures, found.requeued, found.lost) == ({"ran", "waits"}, 1, 0)
    assert (store.find("ran").state, store.find("ran").attempts) == ("queued", 1)
    assert store.begin("ran", 103.0)
    found = store.recover(PROBLEM, 104.0)
    assert (found.exposures, found.requeued, found.lost) == ({"waits"}, 0, 1)
    assert (store.find("ran").state, store.find("ran").problem) == ("failed", PROBLEM)


def test_a_job_that_is_given_back_is_not_blamed(open_store):
    store = open_store()
    add(store, "one")
    for _ in range(9):
        assert store.begin("one", 101.0)
        store.give_back("one")
    assert store.find("one").attempts == 0


def test_a_job_ends_once(open_store):
    store = open_store()
    add(store, "one")
    store.begin("one", 101.0)
    assert store.cancel("one", 102.0)
    assert not store.finish("one", PICTURE, 103.0)
    assert not store.fail("one", PROBLEM, 103.0)
    assert not store.cancel("one", 103.0)
    assert store.find("one").state == "cancelled"
    assert not store.begin("one", 104.0)


def test_a_full_folder_lets_pictures_go_those_done_first_and_undelivered_ones_last(open_store):
    store = open_store(max_bytes=20_000)
    for number, job_id in enumerate(("told", "first", "second")):
        add(store, job_id, webhook="https://a.example/" if job_id == "told" else None)
        store.begin(job_id, 101.0)
        store.finish(job_id, PICTURE, 102.0 + number)
    assert store.give_way(1) == ["first"]
    assert store.give_way(1) == ["second"]
    assert store.give_way(1) == ["told"]
    assert store.find("told").webhook_state == "given-up"
    assert store.count_bytes() == 0


def test_expired_jobs_are_remembered_for_a_while(open_store, monkeypatch):
    monkeypatch.setattr("service.jobs.store.MAX_REMEMBERED", 2)
    store = open_store(keep_s=10.0)
    for number in range(4):
        add(store, str(number))
        store.cancel(str(number), 100.0)
    assert store.expire(109.0) == []
    assert len(store.expire(110.0)) == 4
    known = [store.find(str(number)) for number in range(4)]
    assert [one and one.state for one in known] == [None, None, "expired", "expired"]
    assert MAX_REMEMBERED > 1000


def test_a_webhook_is_due_once_the_job_is_over_and_until_it_is_settled(open_store):
    store = open_store()
    add(store, "one", webhook="https://a.example/")
    assert store.list_due(1e12, 9) == []
    store.begin("one", 101.0)
    store.finish("one", PICTURE, 102.0)
    (due,) = store.list_due(102.0, 9)
    store.postpone_webhook("one", 110.0)
    assert store.list_due(109.0, 9) == []
    (again,) = store.list_due(110.0, 9)
    assert (message_id_of(due), write_event(due)) == (message_id_of(again), write_event(again))
    store.settle_webhook("one", is_delivered=True)
    assert store.list_due(1e12, 9) == []
    assert (store.find("one").webhook_state, store.find("one").webhook_attempts) == ("delivered", 2)


def test_a_clock_that_is_put_back_delays_no_webhook(open_store):
    store = open_store()
    add(store, "one", webhook="https://a.example/", now_s=1e9)
    store.begin("one", 1e9)
    store.finish("one", PICTURE, 1e9)
    assert len(store.list_due(1e9 - 1e8, 9)) == 1


def test_nobody_is_told_of_a_job_that_was_cancelled(open_store):
    store = open_store()
    add(store, "one", webhook="https://a.example/")
    store.cancel("one", 102.0)
    assert store.list_due(1e12, 9) == []
    assert store.find("one").webhook_state == "none"


def test_pauses_grow_to_an_hour_and_end():
    pauses = [plan_pause_s(failures, total_s=6 * 3600) for failures in range(1, 30)]
    told = [one for one in pauses if one is not None]
    assert told[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(told) == LONGEST_PAUSE_S
    assert pauses[len(told) :] == [None] * (len(pauses) - len(told))
    assert sum(told) <= 6 * 3600


def test_jobs_of_another_version_end_the_start(tmp_path, open_store):
    open_store().close()
    with sqlite3.connect(tmp_path / "jobs.sqlite3") as database:
        database.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    database.close()
    with pytest.raises(JobsSetupError, match=f"of version {SCHEMA_VERSION}.*{SCHEMA_VERSION + 1}"):
        open_store()


def test_a_damaged_database_ends_the_start(tmp_path, open_store):
    (tmp_path / "jobs.sqlite3").write_bytes(b"no database at all" * 100)
    with pytest.raises(JobsSetupError, match="can be read"):
        open_store()


def test_a_folder_is_one_service_s_alone_and_nobody_else_s_to_read(tmp_path):
    folder = JobFolder(tmp_path / "state")
    with pytest.raises(JobsSetupError, match="another one is using it"):
        JobFolder(tmp_path / "state")
    folder.close()
    JobFolder(tmp_path / "state").close()
    assert (tmp_path / "state" / "jobs").stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_ends_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JobsSetupError, match="folder to write to"):
        JobFolder(tmp_path / "file")


def test_a_file_is_written_whole_or_not_at_all_and_strays_are_swept(tmp_path):
    folder = JobFolder(tmp_path)

    def failing():
        yield b"begin"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        folder.write("pictures", "half", failing())
    folder.write("pictures", "kept", [b"a", b"b"])
    folder.write("pictures", "stray", [b"a"])
    (tmp_path / "jobs" / "pictures" / "dead.part").write_bytes(b"killed")
    assert folder.sweep("pictures", {"kept"}) == 2
    assert folder.read("pictures", "kept") == b"ab"
    folder.close()
