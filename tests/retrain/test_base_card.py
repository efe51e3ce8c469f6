import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrain.base_card import read_base_card

README = """---
license: other
license_name: intel-research
license_link: https://example.org/licence
language:
- en
- no
datasets: snli
base_model: bert-base-uncased
pipeline_tag: sentence-similarity
model-index:
- name: m
  results:
  - task: {type: STS, name: similarity}
    dataset: {name: STSB, type: mteb/stsb}
    metrics:
    - {type: cos_sim_pearson, value: 81.5}
    - {type: broken}
---
# A model
## Results after fine-tuning
- accuracy: 0.93
## Recommended fine-tuning
- **learning_rate**: 2e-05
- Epochs: 3
- warmup ratio: 0.1
### What else
- batch size: `32`
## Links
- seed: https://example.org
## Training hyperparameters
- lr_scheduler_type: linear
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "num_hidden_layers": 6}))
    return tmp_path


def test_a_card_holds_what_its_readme_states(folder: Path) -> None:
    (folder / "README.md").write_text(README)
    assert read_base_card(folder) == {
        "licence": {"name": "intel-research", "link": "https://example.org/licence", "stated_by": "model card"},
        "pretrained_on": {"datasets": ["snli"], "base_models": ["bert-base-uncased"], "languages": ["en", "no"]},
        "benchmarks": [{"task": "similarity", "dataset": "STSB", "metric": "cos_sim_pearson", "value": 81.5}],
        "fine_tuning": {"learning_rate": "2e-05", "Epochs": "3", "warmup ratio": "0.1", "batch size": "32"},
        "hyperparameters": {"lr_scheduler_type": "linear"},
        "intended_task": "sentence-similarity",
        "config": {"model_type": "bert", "num_hidden_layers": 6},
    }


def test_what_a_person_says_wins_and_what_the_card_said_stays_beside_it(folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    said = read_base_card(folder, licence="mit")["licence"]
    assert said == {"name": "mit", "stated_by": "person", "card_says": "cc-by-nc-4.0"}


def test_several_licences_all_hold(folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: [mit, cc-by-nc-4.0]\n---\n")
    assert read_base_card(folder)["licence"]["name"] == "mit AND cc-by-nc-4.0"


@pytest.mark.parametrize(
    ("line", "stated"),
    [
        ("- learning_rate: 2e-05", {"learning_rate": "2e-05"}),
        ("* `learning_rate` = `2e-05`", {"learning_rate": "2e-05"}),
        ("  - **learning rate**:  2e-05 ", {"learning rate": "2e-05"}),
        ("- **learning rate:** `2e-05`", {"learning rate": "2e-05"}),
        ("- optimizer: AdamW: betas=(0.9, 0.999)", {"optimizer": "AdamW: betas=(0.9, 0.999)"}),
        ("- learning_rate:", {}),
        ("- learning_rate: ` `", {}),
        ("- see [the learning rates](here): they matter", {}),
        ("learning_rate: 2e-05", {}),
    ],
)
def test_a_setting_is_read_out_of_its_marks(folder: Path, line: str, stated: dict[str, str]) -> None:
    (folder / "README.md").write_text(f"## Fine-tuning ##\n{line}\n")
    assert read_base_card(folder).get("fine_tuning", {}) == stated


@pytest.mark.parametrize("line", ["# a{}x", "# a{}#x", "- lr: x{}x", "- lr{}x", "- lr: **{}", "- `**lr{}: x"])
def test_long_lines_of_a_stranger_are_read_once(folder: Path, line: str) -> None:
    """One that looked again at every blank would not be through before the machine is replaced."""
    for blank in (" ", "\t", "#", "*", "`"):
        (folder / "README.md").write_text(f"# Fine-tuning\n{line.format(blank * 500_000)}\n")
        read_base_card(folder)


@pytest.mark.parametrize("readme", [None, "", "# no front matter", "---\n- a\n---\n", "---\n{: [\n---\n", "---\nx: 1"])
def test_what_is_not_stated_is_not_in_the_card(folder: Path, readme: str | None) -> None:
    if readme is not None:
        (folder / "README.md").write_text(readme)
    assert set(read_base_card(folder)) == {"config"}


def test_the_card_of_the_real_backbone(minilm_source: Path) -> None:
    card = read_base_card(minilm_source)
    assert card["licence"] == {"name": "apache-2.0", "stated_by": "model card"}
    assert {"snli", "multi_nli", "ms_marco"} <= set(card["pretrained_on"]["datasets"])
    assert "fine_tuning" not in card, "its README gives none as a list, and none is made up"


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["license", "license_name", "datasets", "base_model", "language", "model-index", "pipeline_tag"])


@given(st.dictionaries(keys, values), st.text(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_readme_breaks_an_import(folder: Path, data: dict[str, object], text: str) -> None:
    (folder / "README.md").write_text(f"---\n{json.dumps(data)}\n---\n{text}", "utf-8", errors="replace")
    json.dumps(read_base_card(folder), allow_nan=False)
