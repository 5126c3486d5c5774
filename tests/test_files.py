"""A file is written whole or not at all."""

import os
import stat

import pytest

from graphc.files import write_atomically


def test_text_is_written_as_utf_8(tmp_path):
    write_atomically(tmp_path / "a", "σ(x)")
    assert (tmp_path / "a").read_bytes() == "σ(x)".encode()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_permissions_are_those_of_the_old_file_or_of_any_new_one(tmp_path):
    plain, kept = tmp_path / "plain", tmp_path / "kept"
    plain.write_bytes(b"")
    kept.write_bytes(b"")
    kept.chmod(0o640)
    write_atomically(kept, b"x")
    write_atomically(tmp_path / "new", b"x")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640
    assert (tmp_path / "new").stat().st_mode == plain.stat().st_mode


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_a_link_keeps_pointing_where_it_points(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
