"""Where a base comes from: a folder, the Hugging Face Hub, or an entry of PyTorch Hub; each ends as a folder on disk.

What is loaded is data: safetensors, JSON and text, never a pickle. The two hubs differ in that. A model on the Hugging
Face Hub is files, which transformers can read without running anything of theirs. An entry of PyTorch Hub is a Python
function in a GitHub repository: it must be run to learn the architecture. So it is run only for a person who says that
they trust it, and only to build the architecture, with `pretrained=False`; the weights are read from a
`model.safetensors` that lies beside it. What cannot be had in this way is refused.
"""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.artifacts import digest_file
from store.errors import BadInput, Refused

TORCH_HUB = "torchhub:"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "README.md",
)
"""What an entry of PyTorch Hub may bring beside its weights; the first is needed."""


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    """As a person named it."""
    folder: Path
    """As `save_pretrained` leaves one: config.json, model.safetensors, tokenizer.json, and more."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other spellings. Not the name inside config.json: that one names what it was made from."""
        if self.name.startswith(TORCH_HUB):
            return ()  # the folder is a temporary one
        return tuple(sorted({str(self.folder), str(self.folder.resolve())} - {self.name}))

    def revision(self, weights_sha256: str) -> str:
        """The hub's commit where the folder is a hub snapshot, else the digest of config and weights."""
        if self.folder.parent.name == "snapshots":
            return self.folder.name
        config = digest_file(self.folder / "config.json")
        return hashlib.sha256(f"{config}{weights_sha256}".encode()).hexdigest()[:12]


@contextmanager
def open_source(name: str, *, trust_code: bool = False) -> Iterator[Source]:
    """The folder behind `name`, for as long as the block lasts.

    trust_code: run the code that an entry of PyTorch Hub is. Raises BadInput for what cannot be read or reached,
    Refused for what will not be loaded.
    """
    if name.startswith(TORCH_HUB):
        with tempfile.TemporaryDirectory(prefix="driftgate-torchhub-") as folder:
            _build_torch_hub_entry(name, Path(folder), trust_code=trust_code)
            yield Source(name, Path(folder))
    elif Path(name).is_dir():
        yield Source(name, Path(name))
    elif name.startswith((".", "/", "~")):
        raise BadInput(f"no folder {name!r}; name a Hugging Face model folder or a hub id", where="source")
    else:
        yield Source(name, _fetch_from_hugging_face(name))


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _fetch_from_hugging_face(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md", "1_Pooling/*"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except LocalEntryNotFoundError as error:
        if _offline():
            raise BadInput(
                f"{name!r} is no folder here and not in the cache of the Hugging Face Hub, and HF_HUB_OFFLINE forbids "
                "to fetch it; unset that, or name a folder",
                where="source",
            ) from error
        raise _unknown_source(name, error) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise _unknown_source(name, error) from error


def _unknown_source(name: str, error: Exception) -> BadInput:
    why = str(error).splitlines()[0]
    return BadInput(f"{name!r} is neither a folder here nor a model that the hub hands out: {why}", where="source")


def _build_torch_hub_entry(name: str, folder: Path, *, trust_code: bool) -> None:
    """Leave what the entry builds in `folder`, as `save_pretrained` does."""
    repository, entry, ref = _parse_torch_hub(name)
    if not trust_code:
        raise Refused(
            f"{name!r} is Python code that would run here; read the hubconf.py of {repository!r}, "
            "and if you trust it say --trust-code"
        )
    code = _torch_hub_folder(repository, ref)
    for needed in ("model.safetensors", "tokenizer.json"):
        if not (code / needed).is_file():
            raise Refused(f"{name!r} has no {needed} beside its hubconf.py; only safetensors are loaded, never pickles")
    encoder = _as_encoder(_call_entry(code, entry, name), name)
    _load_weights(encoder, code / "model.safetensors", name)
    encoder.save_pretrained(folder)
    for file in _TOKENIZER_FILES:
        if (code / file).is_file():
            (folder / file).parent.mkdir(exist_ok=True)
            shutil.copyfile(code / file, folder / file)


def _parse_torch_hub(name: str) -> tuple[str, str, str | None]:
    """Repository (or folder), entry and ref of `torchhub:owner/repo:entry[:ref]`."""
    repository, _, rest = name.removeprefix(TORCH_HUB).partition(":")
    entry, _, ref = rest.partition(":")
    if not repository or not entry.isidentifier():
        raise BadInput(
            f"{name!r} names no entry of PyTorch Hub; write torchhub:OWNER/REPOSITORY:ENTRY, "
            "with :REF behind it for a branch, a tag or a commit",
            where="source",
        )
    return repository, entry, ref or None


def _torch_hub_folder(repository: str, ref: str | None) -> Path:
    """The folder of the repository's code: one on disk, one that torch.hub has fetched before, or fetched now."""
    import torch

    if Path(repository).is_dir():
        return Path(repository)
    owner, _, project = repository.partition("/")
    if not owner or not project or "/" in project:
        raise BadInput(f"no folder {repository!r}, and no OWNER/REPOSITORY of GitHub either", where="source")
    kept = Path(torch.hub.get_dir())
    folders = [kept / f"{owner}_{project}_{r.replace('/', '_')}" for r in ([ref] if ref else ["main", "master"])]
    for folder in folders:
        if folder.is_dir():
            return folder
    if _offline():
        raise BadInput(
            f"{repository!r} is not in the cache of PyTorch Hub ({kept}), and HF_HUB_OFFLINE forbids to fetch it; "
            "unset that, or name a folder: torchhub:./FOLDER:ENTRY",
            where="source",
        )
    try:
        with redirect_stdout(sys.stderr):  # torch.hub tells what it fetches
            fetch: Any = torch.hub.list
            fetch(repository + (f":{ref}" if ref else ""), trust_repo=True)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise BadInput(f"PyTorch Hub does not hand out {repository!r}: {_first_line(error)}", where="source") from error
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def _call_entry(code: Path, entry: str, name: str) -> Any:
    import torch

    load: Any = torch.hub.load
    try:
        with redirect_stdout(sys.stderr):
            return load(str(code), entry, source="local", pretrained=False)
    except FileNotFoundError as error:
        raise BadInput(f"{name!r}: {error.filename} is not there", where="source") from error
    except Exception as error:  # code of others may raise anything, and it is they who must hear of it
        raise Refused(
            f"{name!r} cannot be built with pretrained=False: {type(error).__name__}: {_first_line(error)}"
        ) from error


def _as_encoder(built: Any, name: str) -> Any:
    """The bare encoder in what an entry returned. Raises Refused unless transformers knows its class by itself."""
    from transformers import MODEL_MAPPING, PreTrainedModel

    encoder = built.base_model if isinstance(built, PreTrainedModel) else built
    known = isinstance(encoder, PreTrainedModel) and type(encoder) is MODEL_MAPPING.get(type(encoder.config), None)
    if not known:
        raise Refused(
            f"{name!r} returns a {type(built).__name__}; only encoders that transformers knows by itself can be trained"
        )
    return encoder


def _load_weights(encoder: Any, file: Path, name: str) -> None:
    """Raises Refused unless the file holds the encoder's tensors, with or without the prefix of a whole model."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise Refused(f"{name!r}: model.safetensors cannot be read: {_first_line(error)}") from error
    prefix = f"{encoder.base_model_prefix}."
    if any(key.startswith(prefix) for key in tensors):
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    try:
        encoder.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise Refused(
            f"{name!r}: model.safetensors does not fit what the entry builds: {' '.join(str(error).split())[:300]}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
