"""Artifacts: immutable folders named by their content, on any fsspec file system.

A folder is written under a temporary name, synced and renamed (or, on an object store that has no rename, its
manifest is written last); a record points to it only afterwards. `fetch` verifies every checksum before anybody
reads a byte, so neither a half-written nor a damaged artifact is ever loaded. Deleting goes the other way round: the
name, or the manifest, goes first, so a half-deleted artifact is one that is not there.
"""

import hashlib
import json
import os
import re
import shutil
import uuid
from contextlib import suppress
from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem

from store.errors import ArtifactCorrupt, BadInput, StoreUnavailable
from store.settings import Settings

MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20
_PASSWORD = re.compile(r"://[^/@]*@")
_KEY = re.compile(r"[a-z]+/[0-9a-f]{64}")


class ArtifactStore:
    def __init__(self, url: str, *, cache: Path) -> None:
        """url: any fsspec URL or a local folder. cache: local folder for copies of remote artifacts."""
        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            shown = _PASSWORD.sub("://***@", url)
            raise BadInput(f"DRIFTGATE_ARTIFACTS_URL {shown!r} cannot be opened: {error}") from None
        self._root = PurePosixPath(root)
        self._cache = cache
        self._local = isinstance(self._fs, LocalFileSystem)

    def put(self, kind: str, folder: Path) -> str:
        """Store the files in `folder` (no subfolders) and return the artifact's key, `kind/sha256-of-manifest`.

        The same content gives the same key and is stored once. Raises StoreUnavailable.
        """
        manifest = _manifest_of(folder)
        key = f"{kind}/{hashlib.sha256(manifest).hexdigest()}"
        try:
            if self._local:
                self._put_local(key, folder, manifest)
            else:
                self._put_remote(key, folder, manifest)
        except Exception as error:  # every file system brings errors of its own; those of S3 are no OSError
            raise StoreUnavailable(f"cannot write artifact {key} under {self._root}: {error}") from error
        return key

    def fetch(self, key: str) -> Path:
        """A local folder with the verified files of `key`. Raises ArtifactCorrupt or StoreUnavailable."""
        if self._local:
            local = Path(self._root) / key
            _verify(key, local)
            return local
        local = self._cache / key
        if local.exists():
            try:
                _verify(key, local)
            except ArtifactCorrupt:  # only our copy may be damaged
                shutil.rmtree(local)
            else:
                return local
        self._download(key, local)
        _verify(key, local)
        return local

    def delete(self, key: str) -> None:
        """Delete the artifact `key`, and the copy of it here; no record may point to it any more.

        What is gone, or half gone, is deleted again without complaint. Raises ArtifactCorrupt for what is no key,
        StoreUnavailable.
        """
        if not _KEY.fullmatch(key):  # "" or "reports" would take all of them along
            raise ArtifactCorrupt(f"{key!r} is not the key of an artifact; nothing was deleted")
        try:
            if self._local:
                self._delete_local(key)
            else:
                self._delete_remote(key)
        except Exception as error:  # every file system brings errors of its own; those of S3 are no OSError
            raise StoreUnavailable(f"cannot delete artifact {key} under {self._root}: {error}") from error

    def _put_local(self, key: str, folder: Path, manifest: bytes) -> None:
        target = Path(self._root) / key
        if target.exists():
            try:
                _verify(key, target)
            except ArtifactCorrupt:  # the good copy is at hand: replace the damaged one
                shutil.rmtree(target)
            else:
                return
        incoming = Path(self._root) / ".incoming" / uuid.uuid4().hex
        incoming.mkdir(parents=True)
        for source in sorted(folder.iterdir()):
            shutil.copyfile(source, incoming / source.name)
        (incoming / MANIFEST).write_bytes(manifest)
        for written in incoming.iterdir():
            _sync(written)
        _sync(incoming)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(incoming, target)
        except OSError:
            shutil.rmtree(incoming)
            if not target.exists():  # otherwise somebody stored the same content meanwhile
                raise
        _sync(target.parent)

    def _put_remote(self, key: str, folder: Path, manifest: bytes) -> None:
        target = self._root / key
        if self._fs.exists(str(target / MANIFEST)):
            return
        for source in sorted(folder.iterdir()):
            self._fs.put_file(str(source), str(target / source.name))
        self._fs.pipe_file(str(target / MANIFEST), manifest)

    def _delete_local(self, key: str) -> None:
        target, going = Path(self._root) / key, Path(self._root) / ".deleted" / key
        with suppress(FileNotFoundError):  # somebody else deletes it at this very moment
            if going.exists():  # whoever began was cut off
                shutil.rmtree(going)
            if target.exists():
                going.parent.mkdir(parents=True, exist_ok=True)
                os.rename(target, going)
                _sync(target.parent)
                shutil.rmtree(going)

    def _delete_remote(self, key: str) -> None:
        """File by file: `rm` would take a root with an asterisk for a pattern, and on S3 keep to itself what failed."""
        target = self._root / key
        for path in (str(target / MANIFEST), *self._fs.find(str(target))):
            with suppress(FileNotFoundError):
                self._fs.rm_file(path)
        shutil.rmtree(self._cache / key, ignore_errors=True)

    def _download(self, key: str, local: Path) -> None:
        incoming = self._cache / ".incoming" / uuid.uuid4().hex
        incoming.mkdir(parents=True)
        try:
            manifest = self._fs.cat_file(str(self._root / key / MANIFEST))
            (incoming / MANIFEST).write_bytes(manifest)
            for name in json.loads(manifest)["files"]:
                self._fs.get_file(str(self._root / key / name), str(incoming / name))
        except FileNotFoundError as error:
            shutil.rmtree(incoming)
            raise ArtifactCorrupt(f"artifact {key} is missing from {self._root}: {error}") from error
        except Exception as error:  # every file system brings errors of its own; those of S3 are no OSError
            shutil.rmtree(incoming)
            raise StoreUnavailable(f"cannot read artifact {key} from {self._root}: {error}") from error
        local.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(incoming, local)
        except OSError:
            shutil.rmtree(incoming)
            if not local.exists():
                raise


def open_artifacts(settings: Settings) -> ArtifactStore:
    return ArtifactStore(settings.artifacts, cache=settings.home / "cache")


def digest_file(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _manifest_of(folder: Path) -> bytes:
    files = {
        path.name: {"sha256": digest_file(path), "bytes": path.stat().st_size} for path in sorted(folder.iterdir())
    }
    return json.dumps({"files": files}, sort_keys=True).encode()


def _verify(key: str, folder: Path) -> None:
    advice = "restore it from a backup, or train or import it again; it will not be loaded"
    try:
        manifest = (folder / MANIFEST).read_bytes()
        if hashlib.sha256(manifest).hexdigest() != PurePosixPath(key).name:
            raise ArtifactCorrupt(f"artifact {key}: its manifest does not match its name; {advice}")
        for name, entry in json.loads(manifest)["files"].items():
            found = digest_file(folder / name)
            if found != entry["sha256"]:
                raise ArtifactCorrupt(
                    f"artifact {key}: file {name!r} has checksum {found[:12]}..., "
                    f"recorded was {entry['sha256'][:12]}...; {advice}"
                )
    except FileNotFoundError as error:
        raise ArtifactCorrupt(f"artifact {key}: {error.filename} is missing; {advice}") from error
    except OSError as error:
        raise StoreUnavailable(f"cannot read artifact {key} in {folder}: {error.strerror}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
