"""Files and folders appear complete or not at all, and folders of another kind are never replaced."""

import errno
import os
import subprocess
import sys

import pytest

from caan_hf.errors import CaanError
from caan_hf.utils.files import (
    check_out_dir,
    expand_home,
    read_bytes,
    read_text,
    require_writable,
    sha256_of,
    staged_folder,
    write_json,
    write_whole,
    write_whole_text,
)

MARKER = "marker.json"


def fill(folder, content="new"):
    (folder / MARKER).write_text(content)


def test_whole_file_replaces_the_old_one(tmp_path):
    file = tmp_path / "a.txt"
    write_whole_text(file, "old")
    write_whole_text(file, "naïve")
    assert file.read_text(encoding="utf-8") == "naïve"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    file = tmp_path / "a.txt"
    write_whole_text(file, "old")

    def write(path):
        path.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_whole(file, write)
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_a_one_line_error_that_names_the_file(tmp_path):
    def write(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(CaanError, match=r"a\.txt: .*No space left"):
        write_whole(tmp_path / "a.txt", write)


def test_a_missing_folder_is_a_one_line_error(tmp_path):
    with pytest.raises(CaanError, match=r"nowhere.*No such file"):
        write_json(tmp_path / "nowhere" / "a.json", {})


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"value": float("nan")})
    assert not list(tmp_path.iterdir())


def test_sha256_is_that_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_folder_that_cannot_be_created_is_an_error_that_names_the_option(tmp_path):
    require_writable(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(CaanError, match=r"file.*--out"):
        require_writable(tmp_path / "file" / "sub")


def test_staged_folder_appears_when_the_block_ends(tmp_path):
    out = tmp_path / "deep" / "out"
    with staged_folder(out, MARKER, overwrite=False) as folder:
        fill(folder)
        assert not out.exists()
    assert (out / MARKER).read_text() == "new"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_failed_block_leaves_neither_folder_nor_new_parents(tmp_path):
    with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "deep" / "out", MARKER, overwrite=False) as folder:
        fill(folder)
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_failed_block_keeps_the_folder_that_was_there(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    fill(out, "old")
    with pytest.raises(CaanError, match="No space left"), staged_folder(out, MARKER, overwrite=True):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (out / MARKER).read_text() == "old"


def test_overwrite_replaces_the_whole_folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    fill(out, "old")
    (out / "stale").write_text("")
    with staged_folder(out, MARKER, overwrite=True) as folder:
        fill(folder)
    assert [path.name for path in out.iterdir()] == [MARKER]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("prepare", "overwrite", "message"),
    [
        (lambda out: out.write_text(""), True, "not a folder"),
        (lambda out: (out.mkdir(), (out / "other").write_text("")), True, MARKER),
        (lambda out: (out.mkdir(), fill(out)), False, "--overwrite"),
        (lambda out: out.symlink_to(out.with_name("gone")), True, "not a folder"),
    ],
    ids=["file", "other content", "no overwrite", "dangling symlink"],
)
def test_a_folder_without_the_marker_is_not_replaced(tmp_path, prepare, overwrite, message):
    out = tmp_path / "out"
    prepare(out)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(CaanError, match=message):
        check_out_dir(out, MARKER, overwrite=overwrite)
    with pytest.raises(CaanError, match=message), staged_folder(out, MARKER, overwrite=overwrite):
        pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_an_empty_folder_may_be_written_to(tmp_path):
    (tmp_path / "out").mkdir()
    with staged_folder(tmp_path / "out", MARKER, overwrite=False) as folder:
        fill(folder)
    assert (tmp_path / "out" / MARKER).is_file()


def test_the_staging_folder_of_a_killed_process_is_removed(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left_over = tmp_path / f".out.{dead.stdout.decode().strip()}.partial"
    left_over.mkdir()
    fill(left_over)
    foreign = tmp_path / ".out.backup.partial"
    foreign.mkdir()
    with staged_folder(tmp_path / "out", MARKER, overwrite=False) as folder:
        fill(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.backup.partial", "out"]


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            read_bytes(path)
    with pytest.raises(OSError, match="not a file name"):
        read_bytes("a\0b")
    with pytest.raises(CaanError, match=r"pipe: .*not a regular file.*Remedy"):
        read_text(tmp_path / "pipe", "Remedy.")


def test_a_file_above_the_limit_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="too large"):
        read_bytes(tmp_path / "a", 4)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_text_in_another_encoding_is_refused(tmp_path, encoding):
    (tmp_path / "list.txt").write_text("naïve", encoding=encoding)
    with pytest.raises(CaanError, match=r"list\.txt: not a UTF-8 text file\. Remedy"):
        read_text(tmp_path / "list.txt", "Remedy.")


def test_line_ends_and_byte_order_marks_of_windows_are_removed(tmp_path):
    (tmp_path / "list.txt").write_bytes("\ufeffa\r\nb\r\n".encode())
    assert read_text(tmp_path / "list.txt", "") == "a\nb\n"


def test_an_unknown_home_folder_is_one_line_that_names_the_remedy():
    with pytest.raises(CaanError, match=r"^~nosuchuser/gal: .*Set HOME"):
        expand_home("~nosuchuser/gal")
