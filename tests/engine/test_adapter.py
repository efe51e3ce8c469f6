"""Adapters in PEFT's own format: what can be served is packed, what cannot is refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from peft.utils.other import get_pattern_key
from safetensors.torch import load_file, save_file

from engine.adapter import CONFIG_FILE, LABELS_FILE, WEIGHTS_FILE, lora_scale, read_adapter, read_labels
from store.errors import AdapterRefused
from tests.conftest import ImportedBase, MakeAdapter

Tensors = dict[str, torch.Tensor]
HEAD = "base_model.model.classifier.weight"
QUERY = "base_model.model.bert.encoder.layer.0.attention.self.query"


@pytest.fixture
def adapter(tiny: ImportedBase, make_adapter: MakeAdapter, tmp_path: Path) -> Path:
    """A good adapter to spoil: rank 4, two labels."""
    folder = tmp_path / "spoilt"
    shutil.copytree(make_adapter(tiny, rank=4), folder)
    return folder


def reconfigure(folder: Path, **changes: object) -> None:
    config = json.loads((folder / CONFIG_FILE).read_text())
    (folder / CONFIG_FILE).write_text(json.dumps(config | changes))


def relabel(folder: Path, **changes: object) -> None:
    said = json.loads((folder / LABELS_FILE).read_text())
    (folder / LABELS_FILE).write_text(json.dumps(said | changes))


def rewrite(folder: Path, change: Callable[[Tensors], object]) -> None:
    tensors = load_file(folder / WEIGHTS_FILE)
    change(tensors)
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / WEIGHTS_FILE)


def test_a_good_adapter_is_packed_with_its_scale_and_padding(adapter: Path, tiny: ImportedBase) -> None:
    packed = read_adapter(adapter, tiny.spec)
    tensors = load_file(adapter / WEIGHTS_FILE)
    index = [layer.name for layer in tiny.spec.layers].index("encoder.layer.0.attention.self.query")
    a, b = packed.arrays[f"lora_a_{index}"], packed.arrays[f"lora_b_{index}"]
    np.testing.assert_array_equal(a[:, :4], tensors[f"{QUERY}.lora_A.weight"].numpy().T)
    np.testing.assert_allclose(b[:4], tensors[f"{QUERY}.lora_B.weight"].numpy().T * 16 / 4, rtol=1e-6)
    assert not a[:, 4:].any()
    assert not b[4:].any()
    assert packed.rank == 4
    assert packed.labels == ("no", "yes")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"use_dora": True}, "uses DoRA"),
        ({"bias": "all"}, "changes biases"),
        ({"peft_type": "IA3"}, "is IA3, only LORA"),
        ({"task_type": "TOKEN_CLS"}, "is for task TOKEN_CLS"),
        ({"init_lora_weights": "pissa"}, "changes the base's own weights"),
        ({"modules_to_save": ["classifier", "embeddings"]}, "replaces module 'embeddings'"),
        ({"layer_replication": [[0, 1]]}, "uses layer_replication"),
        ({"lora_alpha": "much"}, "must be a finite number"),
        ({"lora_alpha": True}, "must be a finite number"),
        ({"lora_alpha": float("nan")}, "must be a finite number"),
        ({"lora_alpha": 1e300}, "too large for float32"),
        ({"alpha_pattern": {"(": 3}}, "alpha_pattern"),
        ({"alpha_pattern": {"query": "much"}}, "must be a finite number"),
        ({"alpha_pattern": ["query"]}, "alpha_pattern"),
    ],
)
def test_a_method_that_cannot_be_served_is_refused(
    adapter: Path, tiny: ImportedBase, changes: dict[str, object], said: str
) -> None:
    reconfigure(adapter, **changes)
    with pytest.raises(AdapterRefused, match=said):
        read_adapter(adapter, tiny.spec)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": ["one"]}, "at least 2"),
        ({"labels": ["twice", "twice"]}, "names label 'twice' twice"),
        ({"labels": [f"l{i}" for i in range(17)]}, "17 labels, base 'tiny' takes at most 16; .* --max-labels 17"),
        ({"labels": ["a", "b", "c"]}, r"head .* has shape .* need \(3"),
        ({"labels": "no, yes"}, "must look like"),
        ({"labels": ["", "yes"]}, "label ''"),
        ({"labels": ["a\x00", "yes"]}, "no NUL"),
        ({"labels": ["\ud800", "yes"]}, "no lone surrogate"),
        ({"labels": ["x" * 201, "yes"]}, "1 to 200 letters"),
        ({"labels": [1, 2]}, "must look like"),
        ({"base_sha256": 5}, "must look like"),
        ({"pooling": ["mean"]}, "must look like"),
        ({"pooling": "mean"}, "states 'mean', base 'tiny' pools by 'pooler'"),
        ({"base_sha256": "0" * 64}, "other base weights"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    adapter: Path, tiny: ImportedBase, changes: dict[str, object], said: str
) -> None:
    relabel(adapter, **changes)
    with pytest.raises(AdapterRefused, match=said):
        read_adapter(adapter, tiny.spec)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t[HEAD].fill_(float("nan")), "holds NaN"),
        (lambda t: t[HEAD].fill_(float("inf")), "holds NaN or infinite"),
        (lambda t: t.pop(HEAD), "no classification head"),
        (lambda t: t.pop(f"{QUERY}.lora_A.weight"), "has only lora_B"),
        (lambda t: t.update({f"{QUERY}.lora_A.weight": torch.zeros(4, 31)}), r"has shape \(4, 31\)"),
        (lambda t: t.update({f"{QUERY}.lora_A.weight": torch.zeros(9, 32)}), "rank 9, .* --max-rank 9"),
        (lambda t: t.update({f"{QUERY}.lora_A.weight": torch.zeros(3, 32)}), "has rank 3, its lora_B 4"),
        (lambda t: t.update({QUERY.replace("query", "key") + ".lora_A.weight": torch.zeros(4, 32)}), "targets .*key"),
        (lambda t: t.update({"base_model.model.bert.pooler.bias": torch.zeros(3)}), "neither LoRA nor"),
        (lambda t: t.update({"base_model.model.classifier.dense.weight": torch.zeros(2, 32)}), "several layers"),
        (lambda t: t.update({HEAD: torch.zeros(2, 32, dtype=torch.int64)}), "float weights only"),
        (lambda t: t.update({HEAD: torch.full((2, 32), 1e300, dtype=torch.float64)}), "NaN or infinite"),
        (lambda t: t.update({HEAD: torch.zeros(32)}), r"head weight has shape \(32,\)"),
        (lambda t: t.update({HEAD.replace("weight", "scale"): torch.zeros(2)}), "'scale' is no part of a linear head"),
        (lambda t: t.update({HEAD.replace("classifier", "score"): torch.zeros(2, 32)}), "two heads"),
        (lambda t: t.update({f"{QUERY}.lora_A.weight": torch.tensor(1.0)}), r"has shape \(\)"),
        (lambda t: t.update({f"{QUERY}.lora_A.weight": torch.zeros(0, 32)}), r"has shape \(0, 32\)"),
        (lambda t: t.update({QUERY.replace("bert.", "") + ".lora_A.weight": torch.zeros(4, 32)}), "has lora_A twice"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    adapter: Path, tiny: ImportedBase, change: Callable[[Tensors], object], said: str
) -> None:
    rewrite(adapter, change)
    with pytest.raises(AdapterRefused, match=said):
        read_adapter(adapter, tiny.spec)


def test_an_adapter_for_another_base_is_refused_unless_one_vouches_for_it(adapter: Path, tiny: ImportedBase) -> None:
    relabel(adapter, base_sha256=None)
    reconfigure(adapter, base_model_name_or_path="somebody/other-model")
    with pytest.raises(AdapterRefused, match="made for base 'somebody/other-model', not for 'tiny'"):
        read_adapter(adapter, tiny.spec)
    assert read_adapter(adapter, tiny.spec, assume_base=True).rank == 4


def test_an_adapter_without_a_stated_pooling_was_made_for_the_architectures_own(
    make_adapter: MakeAdapter, minilm: ImportedBase, tmp_path: Path
) -> None:
    folder = tmp_path / "silent"
    shutil.copytree(make_adapter(minilm), folder)
    relabel(folder, pooling=None)
    with pytest.raises(AdapterRefused, match="the architecture's own, 'pooler', base 'minilm' pools by 'mean'"):
        read_adapter(folder, minilm.spec)


def test_a_pickle_is_never_loaded(adapter: Path, tiny: ImportedBase) -> None:
    (adapter / WEIGHTS_FILE).rename(adapter / "adapter_model.bin")
    with pytest.raises(AdapterRefused, match="only a pickle, which is never loaded"):
        read_adapter(adapter, tiny.spec)


def test_cut_off_weights_are_refused(adapter: Path, tiny: ImportedBase) -> None:
    whole = (adapter / WEIGHTS_FILE).read_bytes()
    (adapter / WEIGHTS_FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AdapterRefused, match="not a readable safetensors file"):
        read_adapter(adapter, tiny.spec)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_are_read_exactly(adapter: Path, tiny: ImportedBase, kind: torch.dtype) -> None:
    tensors = {name: value.to(kind) for name, value in load_file(adapter / WEIGHTS_FILE).items()}
    save_file(tensors, adapter / WEIGHTS_FILE)
    packed = read_adapter(adapter, tiny.spec)
    np.testing.assert_array_equal(packed.arrays["head_weight"][:, :2], tensors[HEAD].float().numpy().T)


@pytest.mark.parametrize(
    "patterns",
    [
        {"query": 3},
        {"bert.encoder.layer.0.attention.self.query": 5},
        {"encoder.layer.1.attention.self.value": 5, "value": 7},
        {r"layer\.[01]\.attention\.self\.(query|value)": 9},
        {"^bert.*query": 11},
        {"uery": 13},
        {"key": 15},
    ],
)
def test_an_alpha_of_its_own_reaches_exactly_the_layers_that_peft_gives_it_to(
    adapter: Path, tiny: ImportedBase, patterns: dict[str, int]
) -> None:
    tensors = load_file(adapter / WEIGHTS_FILE)
    reconfigure(adapter, alpha_pattern=patterns)
    packed = read_adapter(adapter, tiny.spec)
    found = 0
    for i, layer in enumerate(tiny.spec.layers):
        path = f"bert.{layer.name}"
        b = tensors.get(f"base_model.model.{path}.lora_B.weight")
        if b is not None:
            alpha = patterns.get(get_pattern_key(list(patterns), path), 16)
            np.testing.assert_allclose(packed.arrays[f"lora_b_{i}"][:4], b.numpy().T * alpha / 4, rtol=1e-6)
            found += 1
    assert found == 4, "query and value of two layers"


@pytest.mark.parametrize("name", [CONFIG_FILE, LABELS_FILE])
@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, "\ufeff{}", "null"])
def test_what_is_no_json_object_is_refused(adapter: Path, tiny: ImportedBase, name: str, content: str) -> None:
    (adapter / name).write_text(content)
    with pytest.raises(AdapterRefused, match=name.replace(".", r"\.")):
        read_adapter(adapter, tiny.spec)


@pytest.mark.parametrize("ids", [[], ["no", "yes"], {"0": "no", "2": "yes"}, {"zero": "no", "1": "yes"}, {"0": 1}])
def test_labels_of_a_model_config_must_number_the_rows(adapter: Path, ids: object) -> None:
    (adapter / LABELS_FILE).unlink()
    (adapter / "config.json").write_text(json.dumps({"id2label": ids}))
    with pytest.raises(AdapterRefused, match=r"id2label of .* must look like"):
        read_labels(adapter)


def test_labels_may_come_from_a_model_config(adapter: Path) -> None:
    (adapter / LABELS_FILE).unlink()
    with pytest.raises(AdapterRefused, match=r"does not name its labels; put a labels\.json"):
        read_labels(adapter)
    (adapter / "config.json").write_text(json.dumps({"id2label": {"1": "yes", "0": "no"}}))
    assert read_labels(adapter).labels == ("no", "yes")


def test_the_scale_is_that_of_the_papers() -> None:
    assert lora_scale(16, 8, rslora=False) == 2
    assert lora_scale(16, 4, rslora=True) == 8
