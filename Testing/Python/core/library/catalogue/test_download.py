"""A download goes on where it stopped, ends with the right bytes or a sentence, and asks for no more than it needs."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medcontext.errors import CancelledError, InputError, ResourceError
from medcontext.events import Reporter
from medcontext.home import downloads
from medcontext.library.catalogue import Patience, download, downloaded, part_file

PATIENT = Patience(stall_s=60.0, attempts=3, pause_s=0.0)
HASTY = Patience(stall_s=1.0, attempts=20, pause_s=0.0)
"""For servers that stall. On a busy machine it may give up one that is only slow, and tries again."""


class Stop:
    """A reporter that says what happened and asks to stop once so many bytes are on the disk."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.events: list[dict[str, Any]] = []
        self.reporter = Reporter(self.events.append, lambda: received() >= self.size)


def received() -> int:
    """Bytes of unfinished downloads."""
    return sum(path.stat().st_size for path in downloads().rglob("*.part"))


def left() -> list[str]:
    """What downloads left on the disk, without locks."""
    return sorted(path.name for path in downloads().rglob("*") if path.is_file() and path.name != "lock")


def get(entry: Any, patience: Patience = PATIENT, reporter: Reporter | None = None) -> bytes:
    with downloaded(entry, reporter or Reporter(), patience) as path:
        return path.read_bytes()


def stopped_at(size: int, entry: Any) -> None:
    """Begin a download and stop it once that many bytes are on the disk, those of others included."""
    with pytest.raises(CancelledError):
        get(entry, reporter=Stop(size).reporter)
    assert received() == size


@pytest.fixture
def half(content: bytes) -> int:
    return len(content) // 2


def test_a_file_comes_whole_and_nothing_stays(
    server: Any, answer: Any, entry_of: Any, content: bytes
) -> None:
    events: list[dict[str, Any]] = []
    entry = entry_of(server.answer("/a/liver.zip", answer(content)))
    with downloaded(entry, Reporter(events.append), PATIENT) as path:
        assert path.name == "liver.zip"
        assert path.read_bytes() == content
    assert not downloads().exists() or list(downloads().iterdir()) == []
    shares = [e["value"] for e in events if e.get("stage") == "download"]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert server.asked[0][1]["user-agent"].startswith("MedContext/")


@pytest.mark.parametrize("name", ["/", "/liver", "/%2e%2e%2fliver.zip", "/liver.zip?download=1"])
def test_the_file_gets_a_harmless_name(
    name: str, server: Any, answer: Any, entry_of: Any, content: bytes
) -> None:
    server.answer(name.partition("?")[0], answer(content))
    with downloaded(entry_of(server.url(name)), Reporter(), PATIENT) as path:
        assert path.parent.parent == downloads()
        assert path.suffix == ".zip"


@pytest.mark.parametrize("tag", ["", '"v1"'], ids=["untagged", "tagged"])
def test_a_stopped_download_goes_on(
    tag: str, server: Any, answer: Any, entry_of: Any, content: bytes, half: int
) -> None:
    stalling = answer(content, tag=tag, sent=half, stalls=True)
    entry = entry_of(server.answer("/m.zip", stalling, answer(content, tag=tag)))
    stopped_at(half, entry)
    assert get(entry) == content
    assert server.ranges("/m.zip") == [None, f"bytes={half}-"]
    assert server.asked[1][1].get("if-range", "") == tag


def test_a_connection_that_breaks_is_made_again(
    server: Any, answer: Any, entry_of: Any, content: bytes, half: int
) -> None:
    entry = entry_of(server.answer("/m.zip", answer(content, sent=half), answer(content)))
    assert get(entry) == content
    assert server.ranges("/m.zip") == [None, f"bytes={half}-"]


def test_a_server_that_falls_silent_is_asked_again(
    server: Any, answer: Any, entry_of: Any, content: bytes, half: int
) -> None:
    entry = entry_of(server.answer("/m.zip", answer(content, sent=half, stalls=True), answer(content)))
    assert get(entry, HASTY) == content
    assert f"bytes={half}-" in server.ranges("/m.zip")


def test_a_server_that_stays_silent_is_told_and_what_came_is_kept(
    server: Any, answer: Any, entry_of: Any, content: bytes, half: int
) -> None:
    stalling = answer(content, sent=half, stalls=True)
    entry = entry_of(server.answer("/m.zip", stalling, answer(silent=True)))
    stopped_at(half, entry)
    with pytest.raises(ResourceError, match=r"127\.0\.0\.1 sent nothing") as given_up:
        get(entry, Patience(stall_s=0.2, attempts=2, pause_s=0.0))
    assert "100 kB of 200 kB are kept: the same command goes on" in str(given_up.value)
    server.answer("/m.zip", answer(content))
    assert get(entry) == content
    assert server.ranges("/m.zip")[-1] == f"bytes={half}-"


def test_a_server_that_is_busy_is_asked_again_but_not_for_ever(
    server: Any, answer: Any, entry_of: Any, content: bytes
) -> None:
    busy = answer(status=503)
    entry = entry_of(server.answer("/m.zip", busy, busy, answer(content)))
    assert get(entry) == content
    server.answer("/m.zip", busy)
    server.asked.clear()
    with pytest.raises(ResourceError, match="cannot be had just now"):
        get(entry)
    assert len(server.asked) == PATIENT.attempts


def test_a_server_that_cannot_go_on_sends_the_whole(
    server: Any, answer: Any, entry_of: Any, content: bytes, half: int
) -> None:
    entry = entry_of(server.answer("/m.zip", answer(content, sent=half), answer(content, ranges=False)))
    assert get(entry) == content
    assert len(server.asked) == 2


def test_a_file_that_changed_is_begun_again(
    server: Any, answer: Any, entry_of: Any, content: bytes, half: int
) -> None:
    old = bytes(len(content))
    first = answer(old, tag='"v1"', sent=half)
    entry = entry_of(server.answer("/m.zip", first, answer(content, tag='"v2"')))
    assert get(entry) == content
    assert server.ranges("/m.zip") == [None, f"bytes={half}-"]


def test_pieces_that_do_not_belong_together_are_got_again_as_a_whole(
    server: Any, answer: Any, entry_of: Any, content: bytes, half: int
) -> None:
    """A server without tags mixes two versions of a file; a power cut leaves zeros."""
    old = bytes(len(content))
    entry = entry_of(server.answer("/m.zip", answer(old, sent=half), answer(content)))
    assert get(entry) == content
    assert server.ranges("/m.zip") == [None, f"bytes={half}-", None]


@pytest.mark.parametrize("part", ["bytes 0-199999/200000", "lines 1-2/3", "bytes 7-199999/200000"])
def test_a_part_that_was_not_asked_for_is_not_used(
    part: str, server: Any, answer: Any, entry_of: Any, content: bytes, half: int
) -> None:
    entry = entry_of(
        server.answer("/m.zip", answer(content, sent=half), answer(content, part=part), answer(content))
    )
    assert get(entry) == content
    assert server.ranges("/m.zip") == [None, f"bytes={half}-", None]


def test_a_server_whose_file_became_shorter_is_asked_for_the_whole(
    server: Any, answer: Any, entry_of: Any, content: bytes, half: int
) -> None:
    entry = entry_of(server.answer("/m.zip", answer(content, sent=half), answer(status=416), answer(content)))
    assert get(entry) == content
    assert server.ranges("/m.zip") == [None, f"bytes={half}-", None]


@pytest.mark.parametrize(
    "lie",
    [
        {"length": 199_999},
        {"length": 10**15},
        {"content": bytes(200_001), "length": -1},
        {"content": bytes(200_001)},
        {"content": bytes(200_000)},
        {"content": bytes(200_000), "length": -1},
    ],
    ids=["less", "more", "endless", "longer", "hash", "hash of a stream"],
)
def test_a_file_that_is_not_the_one_of_the_catalogue_is_refused_at_once(
    lie: dict[str, Any], server: Any, answer: Any, entry_of: Any, content: bytes
) -> None:
    entry = entry_of(server.answer("/m.zip", answer(**{"content": content} | lie)))
    with pytest.raises(InputError, match="it was not used") as refused:
        get(entry)
    assert "catalogue" in str(refused.value)
    assert len(server.asked) == 1
    assert left() == []


def test_a_part_of_a_file_of_another_size_is_refused(
    server: Any, answer: Any, entry_of: Any, content: bytes, half: int
) -> None:
    other = answer(content, part=f"bytes {half}-{len(content)}/{len(content) + 1}")
    entry = entry_of(server.answer("/m.zip", answer(content, sent=half), other))
    with pytest.raises(InputError, match="it was not used"):
        get(entry)
    assert left() == []


def test_a_file_that_is_gone_is_told_and_asked_for_once(server: Any, entry_of: Any) -> None:
    with pytest.raises(InputError, match=r"m\.zip is not there"):
        get(entry_of(server.url("/m.zip")))
    assert len(server.asked) == 1


def test_no_room_is_told_before_anything_is_asked_for(
    server: Any, answer: Any, entry_of: Any, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entry_of(server.answer("/m.zip", answer(content)))
    usage = SimpleNamespace(free=2 * len(content) - 1)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _folder: usage)
    with pytest.raises(ResourceError, match=r"needs 400 kB .*; 400 kB are free"):
        get(entry)
    assert server.asked == []
    usage.free += 1
    assert get(entry) == content


def test_one_program_at_a_time_gets_a_file(server: Any, answer: Any, entry_of: Any, content: bytes) -> None:
    entry = entry_of(server.answer("/m.zip", answer(content)))
    with downloaded(entry, Reporter(), PATIENT), pytest.raises(InputError, match="by another program"):
        get(entry)
    assert get(entry) == content


def test_what_was_checked_is_not_downloaded_again_when_the_disk_was_full_later(
    server: Any, answer: Any, entry_of: Any, content: bytes
) -> None:
    entry = entry_of(server.answer("/m.zip", answer(content)))
    with pytest.raises(ResourceError), downloaded(entry, Reporter(), PATIENT):
        raise ResourceError("The disk is full.")
    assert get(entry) == content
    assert len(server.asked) == 1


def test_a_file_that_cannot_be_used_is_deleted(
    server: Any, answer: Any, entry_of: Any, content: bytes
) -> None:
    entry = entry_of(server.answer("/m.zip", answer(content)))
    with pytest.raises(InputError), downloaded(entry, Reporter(), PATIENT):
        raise InputError("It is no model.")
    assert left() == []


def test_a_damaged_note_costs_nothing(
    server: Any, answer: Any, entry_of: Any, content: bytes, half: int
) -> None:
    stalling = answer(content, tag='"v1"', sent=half, stalls=True)
    entry = entry_of(server.answer("/m.zip", stalling, answer(content)))
    stopped_at(half, entry)
    (note,) = downloads().rglob("from.json")
    note.write_text('{"url": ', encoding="utf-8")
    assert get(entry) == content
    assert server.ranges("/m.zip") == [None, f"bytes={half}-"]


def test_what_nobody_went_on_with_goes_after_two_weeks(
    server: Any, answer: Any, entry_of: Any, content: bytes, half: int
) -> None:
    stopped_at(half, entry_of(server.answer("/old.zip", answer(content, sent=half, stalls=True)), id="old"))
    stopped_at(
        2 * half, entry_of(server.answer("/new.zip", answer(content, sent=half, stalls=True)), id="new")
    )
    for file in downloads().glob("old-*/*"):
        os.utime(file, times=(file.stat().st_mtime - part_file.STALE_AFTER_S - 60,) * 2)
    get(entry_of(server.answer("/m.zip", answer(content))))
    assert left() == ["from.json", "new.zip.part"]


def test_a_file_on_the_disk_is_used_where_it_lies(tmp_path: Path, entry_of: Any, content: bytes) -> None:
    path = tmp_path / "ein Modell.zip"
    path.write_bytes(content)
    entry = entry_of(path.as_uri())
    with downloaded(entry, Reporter(), PATIENT) as found:
        assert found == path
    assert path.read_bytes() == content
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(InputError, match="its SHA-256 is another one"):
        get(entry)
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match="has 199999 bytes, the catalogue says 200000"):
        get(entry)
    path.unlink()
    with pytest.raises(InputError, match="is not there"):
        get(entry)
