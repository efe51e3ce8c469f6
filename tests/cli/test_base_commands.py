from cli.base_commands import _advice
from store.bases import get_base

STEPS = ["reading the weights", "exporting the graph", "rounding it to int8", "storing it", "measuring its speed"]


def test_a_base_is_imported_once_listed_and_shown(ask, driftgate, opened, tiny_source):
    options = ["--name", "tiny", "--lora-targets", "query, value", "--max-rank", "4", "--max-labels", "8"]
    imported = ask("base", "import", tiny_source, *options, "--license", "apache-2.0")
    assert (imported["name"], imported["license"], imported["pooling"]) == ("tiny", "apache-2.0", "pooler")
    assert (imported["spec"]["max_rank"], imported["spec"]["max_labels"]) == (4, 8)
    with opened.read() as session:
        assert get_base(session, "tiny").artifact == imported["artifact"]
    assert [base["name"] for base in ask("base", "list")["bases"]] == ["tiny"]
    assert ask("base", "show", "tiny") == imported
    assert imported["speeds"]["fp32"] > 0
    shown = driftgate("base", "show", "tiny").stdout
    assert "tokens/s a core" in shown
    assert "rank up to 4, up to 8 labels, on query, value" in shown
    assert str(tiny_source) in shown


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
    result = driftgate("base", "import", with_base.source, "--name", "tiny", *options)
    assert result.exit_code == 0, result.stderr
    after = ask("base", "show", "tiny")
    assert after["artifact"] == before["artifact"], "the bundle does not depend on when it was made"
    assert after["speeds"]["fp32"] > 0
    said = result.stdout.splitlines()[-1]
    assert said == "nothing but fp32 runs here" or said.startswith("int8 runs ")


def test_speeds_are_told_as_ratios_and_what_they_mean():
    speeds = {"fp32": 4000.0, "int8": 10_400.0, "bf16": 4100.0}
    assert _advice(speeds) == [
        "int8 runs 2.6 times as fast as fp32 here; a version is served in it once its check has passed",
        "bf16 runs 1.0 times as fast as fp32 here; fp32 stays",
    ]
    assert _advice({"fp32": 4000.0}) == ["nothing but fp32 runs here"]
