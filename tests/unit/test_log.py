"""Logs: what is logged from which level on, where it goes, and that nothing of it harms who logs."""

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog

from mmc.actors.contract import Audit, Effect, Note
from mmc.actors.meta.batches import Batch, removals
from mmc.actors.reception import Request, Session
from mmc.config import LogSettings, load_config
from mmc.errors import Code, InvalidArgument
from mmc.log import (
    audit_writer,
    configure_log,
    extern_failures,
    get_log,
    set_extern_logger,
    set_level,
)
from mmc.logfile import LogFiles, RotatingFile
from mmc.wire.codec import Header
from mmc.wire.operations import WIRE_VERSION, Message, PeerKind
from mmc.wire.requests import Hello, Lease, Remove
from mmc.wire.sequence import ReplyWindow
from mmc.zeromq.service_reactor import Ports, ServiceReactor
from tests.conversation import CLIENT

WAIT_S = 20.0
MIB = 1 << 20

Lines = list[tuple[int, str]]


def settings(
    path: str | Path = "", *, level: str = "info", count: int = 3, audit: bool = True
) -> LogSettings:
    """Settings with files of 1 MiB."""
    return LogSettings(level=level, path=str(path), file_size_mb=1, file_count=count, audit=audit)


@pytest.fixture(autouse=True)
def as_a_library() -> Iterator[None]:
    """Each test begins, and leaves the process, as a program that configured nothing."""
    configure_log(settings(level="warn"))
    yield
    set_extern_logger(None)
    configure_log(settings(level="warn"))


def read(path: Path) -> list[str]:
    """The lines of a log."""
    return path.read_text(encoding="utf-8").splitlines()


def names(directory: Path) -> set[str]:
    """The files of a directory that are logs."""
    return {path.name for path in directory.iterdir() if path.suffix != ".lock"}


FORKING = """
import os, sys
from mmc.config import LogSettings
from mmc.log import configure_log, get_log

configure_log(LogSettings("info", sys.argv[1], 1, 3, True), service="local")
log = get_log("local")
log.info("before")
child = os.fork()
log.info("in the child" if not child else "after")
if child:
    os.waitpid(child, 0)
"""


# Levels and streams


def test_a_library_warns_on_standard_output_and_says_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """Without any call, warnings and errors are printed on standard output, infos are not."""
    log = get_log("meta")
    log.info("quiet")
    log.warning("loud", reason="two words")
    log.error("louder")
    printed = capsys.readouterr()
    assert not printed.err
    first, second = printed.out.splitlines()
    assert first.startswith("timestamp=")
    assert first.endswith(' level=warning event=loud service=meta reason="two words"')
    assert second.endswith(" level=error event=louder service=meta")


def test_a_level_holds_at_once_for_loggers_already_handed_out(capsys: pytest.CaptureFixture[str]) -> None:
    """The level is looked up at every line."""
    log = get_log("local")
    for level, expected in (("debug", 4), (1, 3), ("WARN", 2), (3, 1), ("warning", 2), (0, 4)):
        set_level(level)
        log.debug("d")
        log.info("i")
        log.warning("w")
        log.error("e")
        assert len(capsys.readouterr().out.splitlines()) == expected, level


@pytest.mark.parametrize("level", ["loud", "", 4, -1, True])
def test_a_level_that_is_none_is_refused(level: str | int) -> None:
    """The refusal says what there is, and changes nothing."""
    with pytest.raises(InvalidArgument, match="debug, info, warn, error, or 0 to 3"):
        set_level(level)


def test_a_command_logs_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is for results."""
    log = get_log("up")
    configure_log(settings(), to_stderr=True)
    log.info("on the other stream")
    printed = capsys.readouterr()
    assert not printed.out
    assert 'event="on the other stream" service=up' in printed.err


def test_the_streams_are_those_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that replaces, closes or removes its standard output is neither bypassed nor harmed."""
    log = get_log("meta")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    log.warning("first")
    assert "event=first" in stream.getvalue()
    stream.close()
    log.warning("to a closed stream")
    monkeypatch.setattr(sys, "stdout", None)
    log.warning("to none")


def test_a_stream_that_cannot_encode_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an ASCII terminal a line arrives, with escapes."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    get_log("meta").warning("größer")
    assert b"event=gr\\xf6\\xdfer" in raw.getvalue()


def test_a_program_that_left_its_packages_behind_logs_all_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library that logs is imported with the first line; where that fails, the line is the same."""
    get_log("before").warning("said", reason="two words")
    monkeypatch.setitem(sys.modules, "structlog", None)
    get_log("after").warning("said", reason="two words")
    before, after = capsys.readouterr().out.splitlines()
    assert before.partition(" ")[2].replace("service=before", "service=after") == after.partition(" ")[2]


def test_the_programs_structlog_is_neither_used_nor_changed(capsys: pytest.CaptureFixture[str]) -> None:
    """What a program configures for itself has no effect here."""

    def refuse(*_: object) -> str:
        raise AssertionError("the program's processors ran")

    try:
        structlog.configure(processors=[refuse])
        get_log("meta").warning("ours")
        assert structlog.get_config()["processors"] == [refuse]
    finally:
        structlog.reset_defaults()
    assert "event=ours" in capsys.readouterr().out


# The program's own function


def test_the_programs_function_gets_levels_and_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """It gets each line that the level lets through, as a number and a text, and the stream gets none."""
    lines: Lines = []
    set_level("debug")
    set_extern_logger(lambda level, line: lines.append((level, line)))
    log = get_log("meta")
    log.debug("d")
    log.info("i", rank=3)
    log.warning("w")
    log.error("e")
    assert lines == [
        (0, "event=d service=meta"),
        (1, "event=i service=meta rank=3"),
        (2, "event=w service=meta"),
        (3, "event=e service=meta"),
    ]
    set_level(3)
    log.warning("not any more")
    assert len(lines) == 4
    assert not capsys.readouterr().out
    set_extern_logger(None)
    log.error("back")
    assert "event=back" in capsys.readouterr().out


def test_what_the_programs_function_raises_is_counted_and_not_raised() -> None:
    """A broken function breaks nothing but itself."""

    def broken(level: int, line: str) -> None:
        raise RuntimeError(f"{level} {line}")

    before = extern_failures()
    set_extern_logger(broken)
    for _ in range(3):
        get_log("meta").error("said")
    assert extern_failures() == before + 3


def test_the_programs_function_is_called_from_many_threads_at_once() -> None:
    """No lock of ours is held: eight threads meet inside the function, and each counts its failure."""
    meeting = threading.Barrier(8)

    def meet(level: int, line: str) -> None:
        meeting.wait(WAIT_S)
        raise RuntimeError(f"{level} {line}")

    before = extern_failures()
    set_extern_logger(meet)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: get_log("meta").error("said", number=number), range(8)))
    assert not meeting.broken
    assert extern_failures() == before + 8


def test_the_programs_function_may_log_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """What it logs through us goes to the stream, not to itself again."""
    lines: Lines = []

    def chatty(level: int, line: str) -> None:
        lines.append((level, line))
        get_log("mmc").warning("from within")

    set_extern_logger(chatty)
    get_log("mmc").error("from without")
    assert lines == [(3, 'event="from without" service=mmc')]
    assert "from within" in capsys.readouterr().out


# Files


def test_a_path_sends_the_lines_to_the_services_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The directory is made; the standard streams get nothing; without a service's name it is mmc.log."""
    directory = tmp_path / "new" / "logs"
    configure_log(settings(directory), service="meta")
    get_log("meta").info("größer", rank=1)
    get_log("meta").debug("too quiet")
    (line,) = read(directory / "meta.log")
    assert line.endswith("level=info event=größer service=meta rank=1")
    configure_log(settings(directory))
    get_log("mmc").info("a program's")
    assert len(read(directory / "mmc.log")) == 1
    assert capsys.readouterr() == ("", "")


def test_a_log_rotates_by_size_and_keeps_its_count(tmp_path: Path) -> None:
    """No file is larger than file_size_mb, no more than file_count are kept, and the newest line is last."""
    configure_log(settings(tmp_path, count=3), service="meta")
    for number in range(10):
        get_log("meta").info("x" * (MIB * 2 // 5), number=number)
    assert names(tmp_path) == {"meta.log", "meta.log.1", "meta.log.2"}
    assert all(path.stat().st_size <= MIB for path in tmp_path.iterdir())
    kept = [
        line.rsplit("=", 1)[1]
        for name in ("meta.log.2", "meta.log.1", "meta.log")
        for line in read(tmp_path / name)
    ]
    assert kept == ["4", "5", "6", "7", "8", "9"]


def test_each_running_instance_has_files_of_its_own(tmp_path: Path) -> None:
    """The second of a service in a directory is service-1; a name is free again when its holder ends."""
    first, second, third = (LogFiles(settings(tmp_path), "local") for _ in range(3))
    for files, text in ((first, "first"), (second, "second")):
        files.open()
        files.write(text)
        files.write_audit(f"{text} audit")
    assert names(tmp_path) == {"local.log", "local-audit.log", "local-1.log", "local-1-audit.log"}
    assert read(tmp_path / "local-1.log") == ["second"]
    assert read(tmp_path / "local-1-audit.log") == ["second audit"]
    first.close()
    first.write("too late")
    third.write("third")
    third.close()
    second.close()
    assert read(tmp_path / "local.log") == ["first", "third"]


def test_a_forked_child_logs_to_files_of_its_own(tmp_path: Path) -> None:
    """The child takes the next name, and the parent keeps its own."""
    ended = subprocess.run(
        [sys.executable, "-c", FORKING, str(tmp_path)], capture_output=True, check=False, timeout=WAIT_S
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert [line.split("event=")[1] for line in read(tmp_path / "local.log")] == [
        "before service=local",
        "after service=local",
    ]
    (line,) = read(tmp_path / "local-1.log")
    assert "in the child" in line


@pytest.mark.parametrize("level", ["info", "error"])
def test_an_unwritable_path_is_one_warning_and_logging_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    """The warning names path, reason and setting; all else goes to the standard stream from then on."""
    (tmp_path / "file").write_text("not a directory", encoding="utf-8")
    path = tmp_path / "file" / "logs"
    configure_log(settings(path, level=level), service="meta", to_stderr=True)
    get_log("meta").error("goes on")
    printed = capsys.readouterr()
    assert not printed.out
    warning, line = printed.err.splitlines()
    for part in ("level=warning", f"path={path}", 'reason="Not a directory"', "setting=log.path"):
        assert part in warning
    assert line.endswith('level=error event="goes on" service=meta')
    assert audit_writer() is None


def test_a_log_that_cannot_be_opened_gives_its_name_back(tmp_path: Path) -> None:
    """A directory in the place of the file is an error, after which another may try."""
    (tmp_path / "meta.log").mkdir()
    files = LogFiles(settings(tmp_path), "meta")
    for _ in range(2):
        with pytest.raises(IsADirectoryError):
            files.open()


def test_a_full_disk_raises_nothing_and_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every line that could not be written is counted, and that is all."""
    for name in ("meta.log", "meta-audit.log"):
        (tmp_path / name).symlink_to("/dev/full")
    files = LogFiles(settings(tmp_path), "meta")
    for _ in range(3):
        files.write("x" * 100_000)
    files.write_audit("removed")
    assert files.lost == 4
    files.close()
    assert capsys.readouterr() == ("", "")


def test_what_a_full_disk_lost_is_told_when_there_is_space_again(tmp_path: Path) -> None:
    """The first line that gets through is followed by the number of those that did not, once."""
    path = tmp_path / "meta.log"
    path.symlink_to("/dev/full")
    file = RotatingFile(path, MIB, 2)
    file.write("a")
    file.write("b")
    file.close()
    path.unlink()
    file.write("c")
    file.write("d")
    file.close()
    assert read(path) == ["c", 'level=warning event="lines before this one were lost" writes=2', "d"]


def test_a_rotation_that_fails_loses_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the full file cannot be put aside, it goes on growing."""
    (tmp_path / "meta.log.1").mkdir()
    file = RotatingFile(tmp_path / "meta.log", 1000, 2)
    for number in range(5):
        file.write(f"{number} {'x' * 400}")
    file.close()
    assert [line[0] for line in read(tmp_path / "meta.log")] == ["0", "1", "2", "3", "4"]
    assert file.lost == 0
    assert capsys.readouterr() == ("", "")


def test_many_threads_log_whole_lines(tmp_path: Path) -> None:
    """No line is lost, torn or written twice while the file rotates."""
    configure_log(settings(tmp_path, count=20), service="meta")
    log = get_log("meta")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: log.info("y" * 5000, number=number), range(500)))
    lines = [line for name in names(tmp_path) for line in read(tmp_path / name)]
    assert len(names(tmp_path)) > 1
    assert sorted(int(line.rsplit("=", 1)[1]) for line in lines) == list(range(500))
    assert all(line.startswith("timestamp=") for line in lines)


# Settings


def test_the_shipped_settings_name_no_directory() -> None:
    """By default there are no files, and logs would be 50 files of 20 MiB."""
    log = load_config().log
    assert (log.path, log.file_size_mb, log.file_count, log.audit) == ("", 20, 50, True)


def test_one_file_is_too_few_to_rotate(tmp_path: Path) -> None:
    """The refusal names the setting and what is allowed."""
    file = tmp_path / "mine.toml"
    file.write_text("[log]\nfile_count = 1\n", encoding="utf-8")
    with pytest.raises(InvalidArgument, match=r"log\.file_count = 1 must be at least 2"):
        load_config(file)


# Audit


def test_without_a_directory_or_when_switched_off_there_is_no_audit_log(tmp_path: Path) -> None:
    """Nothing is handed out that could render a line."""
    configure_log(settings(), service="meta")
    assert audit_writer() is None
    configure_log(settings(tmp_path, audit=False), service="meta")
    assert audit_writer() is None
    assert names(tmp_path) == {"meta.log"}


def test_the_audit_log_has_a_line_for_each_key(tmp_path: Path) -> None:
    """Each has a time, the event, the key and the client, whatever bytes the key has."""
    configure_log(settings(tmp_path, level="error"), service="meta")
    audit = audit_writer()
    assert audit is not None
    keys = (b"plain/1", b"two words", b'line\nbreak="x"', b"\xff\xfe", "schlüssel".encode(), b"back\\slash")
    audit("removed", Audit((("client", "00ff"),), keys))
    audit("rank gone", Audit((("rank", 1), ("epoch", 2), ("reason", "left"))))
    *removed, gone = read(tmp_path / "meta-audit.log")
    assert all(line.startswith("timestamp=20") for line in (*removed, gone))
    assert [line.split(" ", 1)[1] for line in removed] == [
        "event=removed key=plain/1 client=00ff",
        'event=removed key="two words" client=00ff',
        'event=removed key="line\\nbreak=\\"x\\"" client=00ff',
        'event=removed key="\\udcff\\udcfe" client=00ff',
        "event=removed key=schlüssel client=00ff",
        'event=removed key="back\\\\slash" client=00ff',
    ]
    assert gone.split(" ", 1)[1] == 'event="rank gone" rank=1 epoch=2 reason=left'
    assert not read(tmp_path / "meta.log")


def test_the_audit_log_rotates_alike(tmp_path: Path) -> None:
    """It keeps as many files of the same size; the lines of one request stay in one file."""
    configure_log(settings(tmp_path, count=2), service="meta")
    audit = audit_writer()
    assert audit is not None
    keys = tuple(f"{number:0200}".encode() for number in range(1500))
    for _ in range(8):
        audit("removed", Audit((("client", "00ff"),), keys))
    assert names(tmp_path) == {"meta.log", "meta-audit.log", "meta-audit.log.1"}
    assert len(read(tmp_path / "meta-audit.log")) % len(keys) == 0
    assert all(path.stat().st_size <= MIB for path in tmp_path.iterdir())


def batch_of(message: Message, codes: tuple[Code, ...]) -> Batch:
    """A request of a client that is complete, with these codes."""
    hello = Hello(CLIENT, PeerKind.CLIENT, WIRE_VERSION, WIRE_VERSION, 0)
    session = Session(1, hello, ReplyWindow(4, 1 << 10), 0.0)
    batch = Batch(Request(b"client", session, Header(0), message, 0.0), len(codes), [])
    for index, code in enumerate(codes):
        batch.settle(index, code)
    return batch


def test_only_what_a_remove_removed_is_audited() -> None:
    """The keys whose code is 0, once for the whole request; nothing where there is none."""
    keys = (b"a", b"b", b"c")
    codes = (Code.OK, Code.NOT_FOUND, Code.OK)
    audit = Audit((("client", f"{CLIENT:016x}"),), (b"a", b"c"))
    assert removals(batch_of(Remove(keys), codes)) == [Note("removed", "", audit)]
    assert removals(batch_of(Remove(keys[:1]), (Code.LEASED,))) == []
    assert removals(batch_of(Lease(keys, 10), codes)) == []


class Silence:
    """An actor that has nothing to do."""

    def receive(self, *_: object) -> list[Effect]:
        """Nothing."""
        return []

    def expire(self, _: float) -> list[Effect]:
        """Nothing."""
        return []

    def next_deadline(self) -> None:
        """Never."""


@pytest.mark.parametrize("audited", [True, False])
def test_a_reactor_audits_every_note_and_logs_those_with_a_detail(*, audited: bool) -> None:
    """Removals are for the audit log alone; of what is not audited, one line a second is logged."""
    lines: Lines = []
    kept: list[tuple[str, Audit]] = []
    set_level("info")
    set_extern_logger(lambda level, line: lines.append((level, line)))
    writer = (lambda event, audit: kept.append((event, audit))) if audited else None
    reactor = ServiceReactor(Silence(), Ports(), get_log("meta"), audit=writer)
    removal, change = Audit((("client", "00ff"),), (b"key",)), Audit((("rank", 1),))
    for _ in range(2):
        reactor.perform([Note("removed", "", removal), Note("rank gone", "rank 1", change), Note("odd", "x")])
    reactor.close()
    gone = (1, 'event="rank gone" service=meta detail="rank 1"')
    assert lines == [gone, (1, "event=odd service=meta detail=x"), gone]
    assert kept == [("removed", removal), ("rank gone", change)] * 2 * audited
