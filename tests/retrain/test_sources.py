"""Sources that lie on disk: folders, the cache of the Hugging Face Hub, and repositories of PyTorch Hub."""

import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from retrain.export import import_base
from retrain.sources import Source, open_source
from store.artifacts import ArtifactStore
from store.errors import BadInput, Refused
from tests.conftest import ImportedBase, MakeAdapter

HUBCONF = """
dependencies = ["transformers"]

def _config():
    from transformers import BertConfig
    return BertConfig(vocab_size=30522, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                      intermediate_size=64, max_position_embeddings=64)

def encoder(pretrained=True):
    from transformers import BertModel
    if pretrained:
        raise AssertionError("weights were asked for")
    print("built")
    return BertModel(_config())

def whole(pretrained=True):
    from transformers import BertForSequenceClassification
    return BertForSequenceClassification(_config())

def plain(pretrained=True):
    import torch
    return torch.nn.Linear(2, 2)

def another(pretrained=True):
    from transformers import BertModel
    class Mine(BertModel):
        pass
    return Mine(_config())

def larger(pretrained=True):
    from transformers import BertModel
    config = _config()
    config.num_hidden_layers = 3
    return BertModel(config)

def unwilling():
    return None
"""


@pytest.fixture
def repository(tmp_path: Path, tiny_source: Path) -> Path:
    """What a repository of PyTorch Hub looks like on disk, with the weights of `tiny` as safetensors."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "hubconf.py").write_text(HUBCONF)
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tiny_source / name, folder / name)
    return folder


def refusal(name: str, kind: type[Exception] = Refused, *, trust_code: bool = True) -> str:
    with pytest.raises(kind) as refused, open_source(name, trust_code=trust_code):
        pass
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_folder_is_taken_as_it_is(tiny_source: Path) -> None:
    with open_source(str(tiny_source)) as source:
        assert source == Source(str(tiny_source), tiny_source)
        assert source.revision("abc") == source.revision("abc") != source.revision("abd")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "no folder" in refusal(f"{tmp_path}/nowhere", BadInput)
    assert "no folder" in refusal("./nowhere", BadInput)


def test_a_hub_id_is_found_in_the_cache_of_the_hub(
    tmp_path: Path, tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "c0ffee" + "0" * 34
    repository = tmp_path / "models--team--tiny-bert"
    shutil.copytree(tiny_source, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with open_source("team/tiny-bert") as source:
        assert source.name == "team/tiny-bert"
        assert (source.folder / "model.safetensors").is_file()
        assert source.revision("whatever") == commit


def test_offline_a_hub_id_that_is_not_in_the_cache_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert constants.HF_HUB_OFFLINE, "tests/conftest.py says so"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    said = refusal("team/unheard-of", BadInput)
    assert said == (
        "'team/unheard-of' is no folder here and not in the cache of the Hugging Face Hub, and HF_HUB_OFFLINE forbids "
        "to fetch it; unset that, or name a folder"
    )


def test_what_is_no_hub_id_is_told(tmp_path: Path) -> None:
    assert "neither a folder here nor a model that the hub hands out" in refusal("no such/thing/at all", BadInput)


def test_an_entry_of_pytorch_hub_is_code_and_is_not_run_unasked(repository: Path) -> None:
    (repository / "hubconf.py").write_text("raise AssertionError('it was run')")
    said = refusal(f"torchhub:{repository}:encoder", trust_code=False)
    assert "is Python code that would run here" in said
    assert said.endswith("if you trust it say --trust-code")


@pytest.mark.parametrize("entry", ["encoder", "whole"])
def test_a_trusted_entry_gives_the_architecture_and_safetensors_the_weights(
    repository: Path, tiny_source: Path, capsys: pytest.CaptureFixture[str], entry: str
) -> None:
    if entry == "whole":  # as a model with a head saves them: under a prefix
        tensors = {f"bert.{key}": value for key, value in load_file(repository / "model.safetensors").items()}
        save_file({**tensors, "classifier.bias": torch.zeros(2)}, repository / "model.safetensors")
    with open_source(f"torchhub:{repository}:{entry}", trust_code=True) as source:
        built = load_file(source.folder / "model.safetensors")
        assert (source.folder / "tokenizer.json").is_file()
        assert source.aliases == ()
        folder = source.folder
    assert not folder.exists()
    for key, value in load_file(tiny_source / "model.safetensors").items():
        assert torch.equal(built[key], value), key
    assert capsys.readouterr().out == "", "stdout belongs to the one object of --json"


def test_an_imported_entry_is_the_same_base_as_its_folder(
    repository: Path, tiny_source: Path, artifacts: ArtifactStore
) -> None:
    with open_source(f"torchhub:{repository}:encoder", trust_code=True) as source:
        spec, key = import_base(source, artifacts, name="hub", max_rank=4, max_labels=4)
    assert (spec.architecture, spec.hidden, spec.source) == ("BertModel", 32, f"torchhub:{repository}:encoder")
    assert (artifacts.fetch(key) / "graph.onnx").is_file()
    backbone = artifacts.fetch(spec.backbone_artifact)
    assert torch.equal(
        load_file(backbone / "model.safetensors")["embeddings.word_embeddings.weight"],
        load_file(tiny_source / "model.safetensors")["embeddings.word_embeddings.weight"],
    )


def test_a_folder_that_holds_an_adapter_too_is_no_base(
    tmp_path: Path, tiny: ImportedBase, make_adapter: MakeAdapter, artifacts: ArtifactStore
) -> None:
    folder = shutil.copytree(tiny.source, tmp_path / "both")
    shutil.copytree(make_adapter(tiny), folder, dirs_exist_ok=True)
    with pytest.raises(Refused, match=r"holds an adapter, .* driftgate adapter import FOLDER --base NAME"):
        import_base(Source(str(folder), folder), artifacts, name="both", max_rank=4, max_labels=4)
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(b"a pickle")
    with pytest.raises(Refused, match="holds an adapter"):
        import_base(Source(str(folder), folder), artifacts, name="both", max_rank=4, max_labels=4)


def test_a_repository_that_torch_hub_has_fetched_before_needs_no_network(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    shutil.copytree(repository, tmp_path / "hub" / "team_project_main")
    shutil.copytree(repository, tmp_path / "hub" / "team_project_v1_x")
    for name in ("torchhub:team/project:encoder", "torchhub:team/project:encoder:v1/x"):
        with open_source(name, trust_code=True) as source:
            assert (source.folder / "config.json").is_file()
    said = refusal("torchhub:team/project:encoder:v2", BadInput)
    assert "'team/project' is not in the cache of PyTorch Hub" in said
    assert "HF_HUB_OFFLINE forbids to fetch it" in said


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("plain", "returns a Linear; only encoders that transformers knows by itself can be trained"),
        ("another", "returns a Mine; only encoders that transformers knows"),
        ("larger", "model.safetensors does not fit what the entry builds"),
        ("unwilling", "cannot be built with pretrained=False: TypeError"),
        ("nothing", "cannot be built with pretrained=False: RuntimeError: Cannot find callable nothing"),
    ],
)
def test_an_entry_that_cannot_be_served_is_refused_in_one_sentence(repository: Path, entry: str, said: str) -> None:
    assert said in refusal(f"torchhub:{repository}:{entry}")


def test_a_pickle_is_never_read(repository: Path) -> None:
    torch.save(load_file(repository / "model.safetensors"), repository / "pytorch_model.bin")
    (repository / "model.safetensors").unlink()
    said = refusal(f"torchhub:{repository}:encoder")
    assert "has no model.safetensors beside its hubconf.py; only safetensors are loaded, never pickles" in said


def test_damaged_weights_are_refused(repository: Path) -> None:
    (repository / "model.safetensors").write_bytes(b"\x08")
    assert "model.safetensors cannot be read" in refusal(f"torchhub:{repository}:encoder")


@pytest.mark.parametrize("name", ["torchhub:", "torchhub:team/project", "torchhub:team/project:", "torchhub:a/b:c d"])
def test_a_name_of_no_entry_says_how_one_looks(name: str) -> None:
    assert "write torchhub:OWNER/REPOSITORY:ENTRY" in refusal(name, BadInput)


def test_a_repository_needs_an_owner() -> None:
    assert "no OWNER/REPOSITORY of GitHub" in refusal("torchhub:project:encoder", BadInput)
