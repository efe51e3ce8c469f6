from cli.advise_command import backbone_of
from retrain.recipe import RATES
from tests.cli.test_main import python

ASK = ("advise", "--task", "text-classification", "--examples", 2000, "--similarity", "medium", "--compute", "low")


def test_advice_is_three_sentences_with_their_figures(driftgate, home):
    shown = driftgate(*ASK)
    assert shown.exit_code == 0
    first, second, third, *rest = shown.stdout.splitlines()
    assert first.startswith("Of 2,000 labelled rows, 1,400 can be trained on, 140 for each of 10 classes")
    assert second.startswith("LoRA of rank 8 trains 77,578 parameters")
    assert third.endswith("within 10 min and 4 GiB.")
    assert any(line.startswith("scratch") and "never advice" in line for line in rest)
    assert not home.exists(), "advice needs no store"


def test_json_holds_what_a_trainer_needs(ask):
    found = ask(*ASK, "--classes", 150)
    assert (found["strategy"], found["rank"], found["targets"]) == ("lora", 8, ["query", "value"])
    rates = {group["name"]: group["learning_rate"] for group in found["groups"]}
    assert rates == {"lower": RATES["lora"].lower, "middle": RATES["lora"].middle, "head": RATES["lora"].head}
    assert found["warmup_steps"] * 10 <= found["total_steps"]
    assert found["seconds"] > 0
    assert found["bytes"] > 0
    assert set(found["rejected"]) == {"head", "partial", "full", "scratch"}
    assert found["fit"]["score"] == 4


def test_similarity_may_be_a_number_that_was_measured(ask, refusal):
    assert ask(*ASK[:6], "0.7", *ASK[7:])["gain"] == ask(*ASK)["gain"]
    assert "say high, medium, low, or a number" in refusal(*ASK[:6], "some", *ASK[7:])
    assert "it must be from 0 to 1" in refusal(*ASK[:6], "1.5", *ASK[7:])


def test_a_base_of_the_store_is_advised_on_by_its_own_shapes(ask, with_base):
    backbone = backbone_of(with_base.spec)
    assert (backbone.layers, backbone.hidden) == (2, 32)
    found = ask(*ASK, "--base", "tiny")
    assert found["situation"]["backbone"]["parameters"] == with_base.spec.parameters
    assert "fit" not in found


def test_the_shapes_of_minilm_are_those_of_the_matrix(minilm):
    from retrain.matrix import MODELS

    found, stated = backbone_of(minilm.spec), MODELS["all-MiniLM-L6-v2"].backbone
    assert (found.parameters, found.layers, found.lora_width) == (stated.parameters, stated.layers, stated.lora_width)
    assert abs(found.embeddings / stated.embeddings - 1) < 0.05


def test_an_unknown_base_or_task_is_told_with_near_matches(refusal, with_base):
    assert "did you mean 'tiny'?" in refusal(*ASK, "--base", "tinny")
    assert "did you mean 'regression'?" in refusal("advise", "--task", "regresion", "--matrix")


def test_the_matrix_is_shown_whole_or_for_a_task_with_its_reasons(driftgate, ask):
    assert len(ask("advise", "--matrix")["matrix"]) == 10
    lines = driftgate("advise", "--matrix", "--task", "multilingual-classification").stdout.splitlines()
    assert lines[2].startswith("xlm-roberta-base")
    assert "100 languages" in lines[2]


def test_what_is_missing_is_wrong_usage(driftgate):
    result = driftgate("advise", "--task", "regression")
    assert result.exit_code == 2
    assert "--examples" in result.stderr


def test_advice_imports_nothing_slow():
    ask = f"import sys; from cli.main import app; app({[str(one) for one in ASK]!r}, standalone_mode=False)"
    found = python("-c", ask + "; print(*sys.modules)")
    assert "LoRA" in found.stdout
    assert set(found.stdout.split()).isdisjoint({"torch", "transformers", "sklearn", "scipy", "pandas", "onnxruntime"})
