import csv
import shutil

import pytest

from cli.base_commands import _advice
from store.bases import get_base
from tests.cli.stock import add_imported_base

STEPS = [
    "reading the weights",
    "exporting the graph",
    "rounding it to int8",
    "storing it",
    "measuring its speed",
    "measuring latency and memory",
]
WORDS = {"shipping": ["parcel", "courier", "late", "door"], "refund": ["money", "charged", "card", "paid"]}


@pytest.fixture
def data(tmp_path):
    """Forty short texts of two classes, in columns of a person's own naming."""
    path = tmp_path / "tickets.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["body", "queue"])
        writer.writerows(
            [f"{one} {other}", label] for label, words in WORDS.items() for one in words for other in words
        )
    return path


@pytest.fixture
def licensed(tiny_source, tmp_path):
    """A folder of `tiny` whose model card says what a test wants it to say."""

    def make(licence):
        folder = shutil.copytree(tiny_source, tmp_path / licence, dirs_exist_ok=True)
        (folder / "README.md").write_text(f"---\nlicense: {licence}\ndatasets: [snli]\n---\n")
        return folder

    return make


def test_a_base_is_imported_once_listed_and_shown(ask, driftgate, opened, tiny_source):
    options = ["--name", "tiny", "--lora-targets", "query, value", "--max-rank", "4", "--max-labels", "8"]
    imported = ask("base", "import", tiny_source, *options, "--license", "apache-2.0", "--approve")
    assert (imported["name"], imported["license"], imported["pooling"]) == ("tiny", "apache-2.0", "pooler")
    assert (imported["spec"]["max_rank"], imported["spec"]["max_labels"]) == (4, 8)
    with opened.read() as session:
        assert get_base(session, "tiny").artifact == imported["artifact"]
    assert [base["name"] for base in ask("base", "list")["bases"]] == ["tiny"]
    assert ask("base", "show", "tiny") == imported
    assert imported["speeds"]["fp32"] > 0
    assert (imported["state"], imported["card"]["licence"]["stated_by"]) == ("approved", "person")
    assert {(one["tokens"], one["batch"]) for one in imported["profile"]["latencies"]} >= {(8, 1), (64, 1)}
    assert imported["profile"]["graph_bytes"]["fp32"] > imported["profile"]["graph_bytes"]["int8"] > 0
    assert [event["kind"] for event in imported["story"]] == ["imported", "approved"]
    shown = driftgate("base", "show", "tiny").stdout
    assert "tokens/s a core" in shown
    assert "rank up to 4, up to 8 labels, on query, value" in shown
    assert str(tiny_source) in shown
    assert "its licence, apache-2.0, is permissive, and whoever imported it said --approve" in shown
    assert "tokens a text   1 at once" in shown


def test_the_same_name_for_other_weights_is_refused(driftgate, with_base, tiny_source):
    result = driftgate("base", "import", tiny_source, "--name", "tiny", "--max-rank", "2")
    assert result.exit_code == 1
    *steps, why = result.stderr.splitlines()  # the libraries say nothing
    assert [step.strip().partition("% ")[2] for step in steps] == STEPS
    assert why.startswith("error: base 'tiny' exists already")
    assert why.endswith("choose another --name")


def test_a_source_that_is_no_model_is_refused(driftgate, tmp_path):
    assert "no folder" in driftgate("base", "import", tmp_path / "nowhere", "--name", "x").stderr
    result = driftgate("base", "import", tmp_path, "--name", "x")
    assert result.exit_code == 1
    assert "is no loadable Hugging Face model" in result.stderr


def test_layers_that_the_model_does_not_have_are_told_with_those_it_has(driftgate, tiny_source):
    result = driftgate("base", "import", tiny_source, "--name", "x", "--lora-targets", "q_proj")
    assert result.exit_code == 1
    assert "no linear layer named q_proj; it has dense, key, query, value" in result.stderr
    result = driftgate("base", "import", tiny_source, "--name", "x", "--lora-targets", " ,")
    assert "names no layer" in result.stderr


def test_an_unknown_base_is_told_with_near_matches(refusal, with_base):
    assert "did you mean 'tiny'?" in refusal("base", "show", "tinny")


def test_without_a_base_the_list_says_how_to_get_one(driftgate):
    assert "driftgate base import" in driftgate("base", "list").stdout


def test_importing_the_same_again_is_fine_and_says_what_precisions_are_worth(driftgate, ask, opened, with_base):
    options = ["--lora-targets", "query,value,dense", "--max-rank", 8, "--max-labels", 16]
    before = ask("base", "show", "tiny")
    assert before["speeds"] == {}
    result = driftgate("base", "import", with_base.source, "--name", "tiny", *options, "--no-profile")
    assert result.exit_code == 0, result.stderr
    after = ask("base", "show", "tiny")
    assert after["artifact"] == before["artifact"], "the bundle does not depend on when it was made"
    assert after["speeds"]["fp32"] > 0
    assert (after["state"], after["profile"]) == ("approved", {}), "what was approved stays so"
    said = result.stdout.splitlines()[-1]
    assert said == "nothing but fp32 runs here" or said.startswith("int8 runs ")


def test_speeds_are_told_as_ratios_and_what_they_mean():
    speeds = {"fp32": 4000.0, "int8": 10_400.0, "bf16": 4100.0}
    assert _advice(speeds) == [
        "int8 runs 2.6 times as fast as fp32 here; a version is served in it once its check has passed",
        "bf16 runs 1.0 times as fast as fp32 here; fp32 stays",
    ]
    assert _advice({"fp32": 4000.0}) == ["nothing but fp32 runs here"]


def test_an_import_is_a_candidate_that_says_what_to_read_and_what_comes_next(driftgate, ask, licensed):
    result = driftgate("base", "import", licensed("gpl-3.0"), "--name", "tiny", "--no-profile")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1].endswith("say: driftgate base approve tiny --why TEXT")
    assert "warning: base 'tiny': its licence, 'gpl-3.0', is copyleft" in result.stderr
    known = ask("base", "show", "tiny")
    assert (known["state"], known["card"]["licence"]["kind"]) == ("candidate", "copyleft")
    assert known["card"]["pretrained_on"] == {"datasets": ["snli"]}
    assert "warning: its licence, 'gpl-3.0', is copyleft" in driftgate("base", "show", "tiny").stdout


def test_a_licence_that_a_person_must_read_is_not_approved_in_passing(driftgate, ask, tiny_source):
    result = driftgate("base", "import", tiny_source, "--name", "tiny", "--no-profile", "--approve")
    assert result.exit_code == 1
    said = result.stderr.splitlines()[-1]
    assert said.startswith("error: base 'tiny' was imported but not approved: it states no licence")
    assert said.endswith("say: driftgate base approve tiny --why TEXT")
    assert ask("base", "show", "tiny")["state"] == "candidate"


def test_a_denied_licence_is_refused_before_anything_is_exported(driftgate, licensed, monkeypatch):
    result = driftgate("base", "import", licensed("intel-research"), "--name", "tiny")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: base 'tiny' cannot be used here: its licence, 'intel-research', is one that DRIFTGATE_LICENSES_DENIED "
        "forbids\n"
    )
    monkeypatch.setenv("DRIFTGATE_LICENSES_DENIED", "mit")
    assert "'MIT', is one that" in driftgate("base", "import", licensed("x"), "--name", "t", "--license", "MIT").stderr


def test_a_person_approves_and_retires_with_a_reason(driftgate, ask, refusal, opened, home, tiny):
    add_imported_base(opened, home, tiny, state="candidate")
    assert driftgate("base", "approve", "tiny").exit_code == 2
    assert ask("base", "approve", "tiny", "--why", "tried it")["state"] == "approved"
    assert "is approved already" in refusal("base", "approve", "tiny", "--why", "again")
    retired = ask("base", "retire", "tiny", "--why", "bge is better")
    assert [(event["kind"], event["message"]) for event in retired["story"]] == [
        ("approved", "tried it"),
        ("retired", "bge is better"),
    ]
    assert "retired" in driftgate("base", "list").stdout


def test_a_licence_that_a_person_states_is_held_against_that_of_the_card(driftgate, ask, licensed, monkeypatch):
    source = licensed("cc-by-nc-4.0")
    stated = ("base", "import", source, "--name", "tiny", "--no-profile", "--license", "mit", "--approve")
    result = driftgate(*stated)
    assert result.exit_code == 1
    told = "its model card says 'cc-by-nc-4.0', which is stricter than 'mit'"
    assert f"error: base 'tiny' was imported but not approved: {told}" in result.stderr.splitlines()[-1]
    assert ask("base", "show", "tiny")["state"] == "candidate"
    assert told in " ".join(driftgate("base", "show", "tiny").stdout.split())
    monkeypatch.setenv("DRIFTGATE_LICENSES_DENIED", "cc-by-nc*")
    told = "error: base 'tiny' cannot be used here: its model card says 'cc-by-nc-4.0', which DRIFTGATE_LICENSES_DENIED"
    assert told in driftgate(*stated).stderr
    assert told in driftgate("base", "approve", "tiny", "--why", "I want it").stderr


def test_a_denied_licence_is_not_approved_either(refusal, opened, home, tiny, monkeypatch):
    add_imported_base(opened, home, tiny, state="candidate")
    monkeypatch.setenv("DRIFTGATE_LICENSES_DENIED", "none stated")
    assert "its licence, 'none stated', is one that" in refusal("base", "approve", "tiny", "--why", "I want it")


def test_an_adapter_on_a_candidate_is_stored_but_not_promoted(refusal, ask, opened, home, tiny, make_adapter):
    add_imported_base(opened, home, tiny, state="candidate")
    options = ["adapter", "import", make_adapter(tiny), "--base", "tiny", "--model", "tickets"]
    assert "stands on base 'tiny', which is a candidate" in refusal(*options, "--promote")
    assert ask(*options)["version"] == 1
    assert "driftgate base approve tiny --why" in refusal("model", "promote", "tickets", 1)


def test_a_sample_is_answered_by_the_frozen_features_of_a_new_base(driftgate, ask, tiny_source, data):
    columns = ["--text-column", "body", "--label-column", "queue"]
    ask("base", "import", tiny_source, "--name", "tiny", "--no-profile", "--sample", data, *columns)
    sample = ask("base", "show", "tiny")["profile"]["sample"]
    assert (sample["file"], sample["rows"], sample["classes"]) == ("tickets.csv", 32, 2)
    assert sample["interval"][0] <= sample["accuracy"] <= sample["interval"][1]
    assert "on 32 rows of 2 classes of tickets.csv" in driftgate("base", "show", "tiny").stdout


def test_an_entry_of_pytorch_hub_is_not_run_unasked(refusal, tmp_path):
    (tmp_path / "hubconf.py").write_text("raise AssertionError('it was run')")
    assert "say --trust-code" in refusal("base", "import", f"torchhub:{tmp_path}:encoder", "--name", "x")


@pytest.fixture
def two_bases(opened, home, tiny, minilm):
    add_imported_base(opened, home, tiny, state="candidate")
    add_imported_base(opened, home, minilm)


def test_a_trial_puts_two_bases_side_by_side(driftgate, ask, two_bases, data):
    options = ["--data", data, "--text-column", "body", "--label-column", "queue", "--rows", 30]
    found = ask("base", "trial", "tiny", "minilm", *options)
    assert (found["rows"], found["classes"], found["seed"]) == (30, 2, 0)
    tiny, minilm = found["bases"]
    assert (tiny["base"], tiny["state"], tiny["difference"], tiny["p_value"]) == ("tiny", "candidate", None, None)
    assert (minilm["parameters"], minilm["state"]) == (22_713_216, "approved")
    assert minilm["difference"] == pytest.approx(minilm["accuracy"] - tiny["accuracy"])
    assert minilm["won"] - minilm["lost"] == round(30 * minilm["difference"])
    assert min(one[figure] for one in (tiny, minilm) for figure in ("tokens_per_s", "p50_s")) > 0
    again = ask("base", "trial", "tiny", "minilm", *options)
    figures = ("accuracy", "won", "lost", "p_value")
    assert [[one[f] for f in figures] for one in again["bases"]] == [
        [one[f] for f in figures] for one in found["bases"]
    ]
    shown = driftgate("base", "trial", "minilm", "tiny", *options)
    assert "30 rows of 2 classes, 5 folds" in shown.stdout
    assert f"{minilm['lost']} won, {minilm['won']} lost" in shown.stdout, "who is named first is compared with"


@pytest.mark.parametrize("names", [["tiny"], ["tiny", "tiny"], ["a", "b", "c", "d"]])
def test_a_trial_needs_two_or_three_different_bases(refusal, names, data):
    assert "two or three different bases" in refusal("base", "trial", *names, "--data", data)


def test_a_trial_names_an_unknown_base_before_it_reads_anything(refusal, two_bases, tmp_path):
    assert "did you mean 'minilm'" in refusal("base", "trial", "tiny", "minlm", "--data", tmp_path / "nowhere.csv")
