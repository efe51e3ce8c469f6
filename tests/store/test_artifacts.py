import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from store.artifacts import MANIFEST, ArtifactStore, digest_file
from store.errors import ArtifactCorrupt, BadInput, StoreUnavailable
from tests.threads import all_at_once


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Something to store: a small file, an empty one, and one above the chunk size."""
    made = tmp_path / "made"
    made.mkdir()
    (made / "a.txt").write_text("a")
    (made / "empty").touch()
    (made / "weights.safetensors").write_bytes(os.urandom((1 << 20) + 7))
    return made


@pytest.fixture
def local(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"), cache=tmp_path / "cache")


@pytest.fixture
def bucket() -> Iterator[MemoryFileSystem]:
    """An object store: no rename, no folders."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    yield memory
    memory.store.clear()


@pytest.fixture
def remote(tmp_path: Path, bucket: MemoryFileSystem) -> ArtifactStore:
    return ArtifactStore("memory://bucket/driftgate", cache=tmp_path / "cache")


@pytest.fixture(params=["local", "remote"])
def artifacts(request: pytest.FixtureRequest) -> ArtifactStore:
    store: ArtifactStore = request.getfixturevalue(request.param)
    return store


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST}


def test_what_was_put_is_fetched(artifacts, folder):
    key = artifacts.put("adapters", folder)
    kind, digest = key.split("/")
    assert (kind, len(digest)) == ("adapters", 64)
    assert contents(artifacts.fetch(key)) == contents(folder)


def test_the_same_content_is_the_same_artifact(artifacts, folder):
    first = artifacts.put("adapters", folder)
    os.utime(folder / "a.txt", (0, 0))
    assert artifacts.put("adapters", folder) == first
    assert artifacts.put("bases", folder) != first
    (folder / "a.txt").write_text("b")
    assert artifacts.put("adapters", folder) != first


def test_writers_of_the_same_content_at_the_same_moment_all_succeed(artifacts, folder):
    keys = all_at_once([lambda: artifacts.put("adapters", folder)] * 4)
    assert len(set(keys)) == 1, keys
    assert contents(artifacts.fetch(keys[0])) == contents(folder)


def test_readers_at_the_same_moment_all_succeed(local, folder, monkeypatch):
    key = local.put("adapters", folder)
    monkeypatch.setattr(local, "_local", False)  # files as if they were far away: `memory` is made for one thread
    fetched = all_at_once([lambda: local.fetch(key)] * 4)
    assert len(set(fetched)) == 1, fetched
    assert contents(fetched[0]) == contents(folder)


def test_an_unknown_artifact_is_missing(artifacts):
    with pytest.raises(ArtifactCorrupt, match="missing"):
        artifacts.fetch("adapters/" + "0" * 64)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "manifest"])
def test_a_damaged_artifact_is_refused_by_name_and_put_mends_it(tmp_path, local, folder, damage):
    key = local.put("adapters", folder)
    victim = tmp_path / "store" / key / (MANIFEST if damage == "manifest" else "weights.safetensors")
    if damage == "remove":
        victim.unlink()
    elif damage == "cut":
        os.truncate(victim, 100)
    else:
        data = bytearray(victim.read_bytes())
        data[20] ^= 1
        victim.write_bytes(data)
    with pytest.raises(ArtifactCorrupt, match=key):
        local.fetch(key)
    assert local.put("adapters", folder) == key
    assert contents(local.fetch(key)) == contents(folder)


def test_a_copy_that_was_damaged_here_is_fetched_again(tmp_path, remote, folder):
    key = remote.put("adapters", folder)
    (remote.fetch(key) / "a.txt").write_text("damaged")
    assert contents(remote.fetch(key)) == contents(folder)


def test_an_object_that_was_damaged_there_is_refused(bucket, remote, folder):
    key = remote.put("adapters", folder)
    bucket.pipe_file(f"/bucket/driftgate/{key}/a.txt", b"damaged")
    with pytest.raises(ArtifactCorrupt, match=r"a\.txt"):
        remote.fetch(key)


def test_a_second_fetch_needs_no_network(bucket, remote, folder):
    key = remote.put("adapters", folder)
    remote.fetch(key)
    bucket.store.clear()
    assert contents(remote.fetch(key)) == contents(folder)


def test_a_half_written_artifact_is_not_there(tmp_path, local, folder, monkeypatch):
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", crash)  # a process that is killed just before the artifact would appear
    with pytest.raises(KeyboardInterrupt):
        local.put("adapters", folder)
    monkeypatch.undo()
    assert not (tmp_path / "store" / "adapters").exists() or list((tmp_path / "store" / "adapters").iterdir()) == []
    assert contents(local.fetch(local.put("adapters", folder))) == contents(folder)


def test_a_half_uploaded_artifact_is_not_there(bucket, remote, folder, monkeypatch):
    def crash(*_: object, **__: object) -> None:
        raise OSError("connection reset")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", crash)  # the manifest, which goes last, does not arrive
    with pytest.raises(StoreUnavailable, match="cannot write artifact adapters/"):
        remote.put("adapters", folder)
    monkeypatch.undo()
    (key,) = {path.removeprefix("/bucket/driftgate/").rpartition("/")[0] for path in bucket.store}
    with pytest.raises(ArtifactCorrupt, match="missing"):
        remote.fetch(key)


def test_an_object_store_with_errors_of_its_own_is_an_outage(tmp_path, remote, folder, monkeypatch):
    class EndpointError(Exception):
        """As botocore's, which is no OSError."""

    def fail(*_: object, **__: object) -> None:
        raise EndpointError("could not connect")

    key = remote.put("adapters", folder)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail)  # no object store is at hand to be switched off
    with pytest.raises(StoreUnavailable, match="could not connect"):
        remote.fetch(key)
    assert list((tmp_path / "cache" / ".incoming").iterdir()) == [], "nothing is left lying about"


def test_a_store_that_cannot_be_written_is_an_outage(tmp_path, folder):
    (tmp_path / "file").write_text("")
    store = ArtifactStore(str(tmp_path / "file"), cache=tmp_path / "cache")
    with pytest.raises(StoreUnavailable, match="cannot write artifact"):
        store.put("adapters", folder)
    with pytest.raises(StoreUnavailable, match="cannot read artifact"):
        store.fetch("adapters/" + "0" * 64)


def files_below(root: Path) -> list[str]:
    return [path.name for path in root.rglob("*") if path.is_file()]


def test_a_deleted_artifact_is_gone_and_the_others_stay(tmp_path, bucket, artifacts, folder):
    key = artifacts.put("reports", folder)
    (folder / "a.txt").write_text("b")
    other = artifacts.put("reports", folder)
    artifacts.fetch(key)
    artifacts.delete(key)
    with pytest.raises(ArtifactCorrupt, match="missing"):
        artifacts.fetch(key)
    artifacts.delete(key)  # once more is no trouble
    assert contents(artifacts.fetch(other)) == contents(folder)
    artifacts.delete(other)
    left = [*files_below(tmp_path / "store"), *files_below(tmp_path / "cache"), *bucket.store]
    assert left == []


def test_what_was_deleted_can_be_put_again(artifacts, folder):
    key = artifacts.put("reports", folder)
    artifacts.delete(key)
    assert artifacts.put("reports", folder) == key
    assert contents(artifacts.fetch(key)) == contents(folder)
    artifacts.delete(key)


@pytest.mark.parametrize("key", ["", ".", "reports", "reports/", "reports/x", "../" + "0" * 64, "a/b/" + "0" * 64])
def test_only_one_artifact_can_be_deleted(artifacts, folder, key):
    kept = artifacts.put("reports", folder)
    with pytest.raises(ArtifactCorrupt, match="nothing was deleted"):
        artifacts.delete(key)
    assert contents(artifacts.fetch(kept)) == contents(folder)


def test_a_deletion_that_was_cut_off_leaves_nothing_half_and_is_taken_up_again(tmp_path, local, folder, monkeypatch):
    key = local.put("reports", folder)

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(shutil, "rmtree", crash)  # a process that is killed before a file is removed
        with pytest.raises(KeyboardInterrupt):
            local.delete(key)
    assert list((tmp_path / "store" / "reports").iterdir()) == []
    assert len(files_below(tmp_path / "store")) == 4, "put away, and not yet removed"
    local.delete(key)
    assert files_below(tmp_path / "store") == []


def test_a_remote_deletion_that_was_cut_off_leaves_what_is_not_there(bucket, remote, folder, monkeypatch):
    key = remote.put("reports", folder)

    def only_the_manifest(bucket: MemoryFileSystem, path: str) -> None:
        if not path.endswith(MANIFEST):
            raise OSError("connection reset")
        del bucket.store[path]

    with monkeypatch.context() as cut:
        cut.setattr(MemoryFileSystem, "rm_file", only_the_manifest)
        with pytest.raises(StoreUnavailable, match=f"cannot delete artifact {key}"):
            remote.delete(key)
    assert bucket.store
    with pytest.raises(ArtifactCorrupt, match="missing"):
        remote.fetch(key)
    remote.delete(key)
    assert list(bucket.store) == []


def test_two_may_delete_the_same_at_the_same_moment(tmp_path, local, folder):
    key = local.put("reports", folder)
    assert all_at_once([lambda: local.delete(key)] * 4) == [None] * 4
    assert files_below(tmp_path / "store") == []


def test_the_manifest_lists_every_file_with_its_checksum(local, folder):
    stored = local.fetch(local.put("adapters", folder))
    files = json.loads((stored / MANIFEST).read_text())["files"]
    assert files == {
        path.name: {"sha256": digest_file(path), "bytes": path.stat().st_size} for path in folder.iterdir()
    }


def test_a_url_that_nothing_understands_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match="DRIFTGATE_ARTIFACTS_URL 'nosuch://bucket'"):
        ArtifactStore("nosuch://bucket", cache=tmp_path)
