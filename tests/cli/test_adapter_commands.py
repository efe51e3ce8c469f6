"""What PEFT saved comes in as a version, or is refused with the reason, and then leaves nothing behind."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from store.errors import NotFound
from store.versions import get_adapter, get_deployment, get_version

IMPORT = ["--base", "tiny", "--model", "tickets"]


def edit(folder, name, **changes):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_adapter_becomes_a_version_and_only_its_own_files_are_kept(ask, opened, home, with_base, make_adapter):
    folder = make_adapter(with_base, labels=("billing", "refund"), rank=4)
    (folder / "optimizer.pt").write_bytes(b"a pickle")
    found = ask("adapter", "import", folder, *IMPORT)
    assert (found["version"], found["labels"], found["rank"], found["promoted"]) == (1, ["billing", "refund"], 4, False)
    with opened.read() as session:
        assert get_deployment(session, "tickets").production is None
        artifact = home / "artifacts" / get_adapter(session, get_version(session, "tickets", 1)).artifact
    files = {"adapter_config.json", "adapter_model.safetensors", "labels.json", "manifest.json"}
    assert {file.name for file in artifact.iterdir()} == files
    assert json.loads((artifact / "labels.json").read_text()) == {
        "labels": ["billing", "refund"],
        "pooling": "pooler",
        "base_sha256": with_base.spec.weights_sha256,
    }


def test_promotion_can_come_along_and_both_are_in_the_story(ask, with_base, make_adapter):
    assert ask("adapter", "import", make_adapter(with_base), *IMPORT, "--promote")["promoted"] is True
    assert ask("model", "show", "tickets")["production"] == 1
    kinds = [event["kind"] for event in ask("model", "history", "tickets")["events"]]
    assert kinds == ["version_registered", "promoted"]


def test_labels_that_the_folder_does_not_name_can_be_said(ask, refusal, with_base, make_adapter):
    folder = make_adapter(with_base)
    (folder / "labels.json").unlink()
    said = refusal("adapter", "import", folder, *IMPORT)
    assert "does not name its labels" in said
    assert "--labels" in said
    assert "empty label" in refusal("adapter", "import", folder, *IMPORT, "--labels", "no,")
    found = ask("adapter", "import", folder, *IMPORT, "--labels", "no, yes", "--pooling", "pooler")
    assert found["labels"] == ["no", "yes"]


def test_options_do_not_overrule_what_the_folder_says(refusal, with_base, make_adapter):
    folder = make_adapter(with_base, labels=("no", "yes"))
    assert "labels.json says no, yes" in refusal("adapter", "import", folder, *IMPORT, "--labels", "yes,no")
    assert "labels.json says 'pooler'" in refusal("adapter", "import", folder, *IMPORT, "--pooling", "cls")


def test_an_adapter_for_another_base_needs_a_person_to_vouch_for_it(ask, refusal, with_base, make_adapter):
    folder = make_adapter(with_base)
    edit(folder, "adapter_config.json", base_model_name_or_path="bert-large")
    assert "was made for base 'bert-large'" in refusal("adapter", "import", folder, *IMPORT)
    assert ask("adapter", "import", folder, *IMPORT, "--assume-base")["version"] == 1
    edit(folder, "labels.json", base_sha256="0" * 64)
    assert "other base weights" in refusal("adapter", "import", folder, *IMPORT, "--assume-base")


def break_weights(change):
    def spoil(folder):
        path = folder / "adapter_model.safetensors"
        weights = load_file(path)
        change(weights)
        save_file(weights, path)

    return spoil


def to_nan(weights):
    weights[next(iter(weights))][0, 0] = torch.nan


def without_head(weights):
    for name in [name for name in weights if "lora_" not in name]:
        del weights[name]


@pytest.mark.parametrize(
    ("options", "spoil", "reason"),
    [
        ({"dora": True}, None, "uses DoRA"),
        ({"rank": 9}, None, "rank 9, base 'tiny' takes at most 8; import the base again with --max-rank 9"),
        ({"labels": tuple(map(str, range(17)))}, None, "17 labels, base 'tiny' takes at most 16"),
        ({"targets": ("key",)}, None, "the base was not exported for"),
        ({}, break_weights(to_nan), "holds NaN"),
        ({}, break_weights(without_head), "has no classification head"),
        ({}, lambda folder: edit(folder, "labels.json", pooling="mean"), "'mean', base 'tiny' pools by 'pooler'"),
        ({}, lambda folder: edit(folder, "labels.json", labels=["a", "a"]), "names label 'a' twice"),
        ({}, lambda folder: edit(folder, "adapter_config.json", peft_type="LOHA"), "only LORA"),
        ({}, lambda folder: (folder / "adapter_config.json").write_text("{"), "not readable JSON"),
        ({}, lambda folder: (folder / "adapter_config.json").unlink(), "adapter_config.json is missing"),
        ({}, lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"short"), "not a readable safetensors"),
        (
            {},
            lambda folder: (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin"),
            "a pickle is never loaded",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_and_leaves_nothing(
    refusal, opened, home, with_base, make_adapter, options, spoil, reason
):
    folder = make_adapter(with_base, **options)
    if spoil is not None:
        spoil(folder)
    assert reason in refusal("adapter", "import", folder, *IMPORT, "--promote")
    with opened.read() as session, pytest.raises(NotFound):
        get_deployment(session, "tickets")
    assert not (home / "artifacts" / "adapters").exists()


def test_names_that_do_not_exist_are_told(refusal, with_base, make_adapter, tmp_path):
    folder = make_adapter(with_base)
    assert "did you mean 'tiny'?" in refusal("adapter", "import", folder, "--base", "tinny", "--model", "tickets")
    assert "is not usable" in refusal("adapter", "import", folder, "--base", "tiny", "--model", "a b")
    assert "no folder" in refusal("adapter", "import", tmp_path / "nowhere", *IMPORT)


def test_artifacts_that_cannot_be_written_register_nothing(
    refusal, opened, with_base, make_adapter, monkeypatch, tmp_path
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DRIFTGATE_ARTIFACTS_URL", str(tmp_path / "file"))
    assert "cannot write artifact" in refusal("adapter", "import", make_adapter(with_base), *IMPORT)
    with opened.read() as session, pytest.raises(NotFound):
        get_deployment(session, "tickets")


def test_without_data_an_adapter_stays_in_fp32_and_is_told_how_to_be_checked(driftgate, with_base, make_adapter):
    said = driftgate("adapter", "import", make_adapter(with_base), *IMPORT).stdout.splitlines()[-1]
    assert said.endswith("check faster precisions with: driftgate model precision tickets 1 --data FILE")


def test_labelled_rows_check_its_precisions_before_it_is_promoted(ask, with_base, make_adapter, tmp_path):
    data = tmp_path / "rows.jsonl"
    rows = ({"text": f"ticket number {n}", "label": ("no", "yes")[n % 2]} for n in range(120))
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = ask("adapter", "import", make_adapter(with_base), *IMPORT, "--promote", "--data", data)
    assert found["evaluation"]["precision"]["int8"]["rows"] == 120
    kinds = [event["kind"] for event in ask("model", "history", "tickets")["events"]]
    assert kinds == ["version_registered", "precision_checked", "promoted"]


def test_data_that_cannot_check_leaves_nothing_behind(refusal, opened, with_base, make_adapter, tmp_path):
    data = tmp_path / "rows.csv"
    data.write_text("text,label\nhello,maybe\n")
    result = refusal("adapter", "import", make_adapter(with_base), *IMPORT, "--data", data)
    assert "no row has a label of the version" in result
    with opened.read() as session, pytest.raises(NotFound):
        get_deployment(session, "tickets")
