import subprocess
from importlib.metadata import version

import torch

from retrain.dataset import Row
from retrain.environment import PACKAGES, describe_environment, describe_material, git_state, gone_on_with
from retrain.snapshot import digest_rows
from store.comparison import environment_lines


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_environment_names_what_computes_and_on_what():
    found = describe_environment()
    assert found["packages"]["torch"] == version("torch")
    assert {"transformers", "peft", "accelerate", "tokenizers", "onnx", "numpy", "scipy", "scikit-learn"} <= set(
        found["packages"]
    )
    assert set(found["packages"]) <= set(PACKAGES)
    assert found["threads"]["torch"] == torch.get_num_threads()
    assert found["cores"] >= 1
    assert found["memory_bytes"] > 10**8
    assert found["kernels"]
    assert found["determinism"] == {"deterministic_algorithms": False, "cudnn_benchmark": False}


def test_a_checkout_tells_its_revision_and_whether_it_was_changed(tmp_path):
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    clean = git_state(tmp_path)
    assert clean == {"revision": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "beside.txt").write_text("untracked files change no code")
    assert git_state(tmp_path) == clean
    (tmp_path / "code.py").write_text("a = 2\n")
    assert git_state(tmp_path) == {**clean, "dirty": True}


def test_a_checkout_without_a_commit_tells_nothing(tmp_path):
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None


def test_the_rows_are_named_by_their_own_digest_whatever_the_model_is_called(tiny):
    rows = [Row("a", "b", split="train"), Row("c", "d", split="test")]
    start = {"version": 3, "artifact": "adapters/x"}
    found = describe_material(tiny.spec, tiny.artifact, "snapshot-id", rows, start)
    assert found["snapshot"] == {"id": "snapshot-id", "rows_sha256": digest_rows(rows), "rows": 2}
    assert found["base"]["weights_sha256"] == tiny.spec.weights_sha256
    assert found["start"] == start
    assert describe_material(tiny.spec, tiny.artifact, "s", rows, None)["start"] is None


def test_a_run_that_goes_on_keeps_what_it_began_with_and_tells_what_changed():
    began = {"plan": {"seed": 1}, "start": None, "cores": 2, "packages": {"torch": "1"}}
    assert gone_on_with(began, {"cores": 2, "packages": {"torch": "1"}}) == began
    later = gone_on_with(began, {"cores": 8, "packages": {"torch": "2"}})
    assert later == {**began, "resumed": {"cores": 8, "packages.torch": "2"}}
    assert gone_on_with(later, {"cores": 2, "packages": {"torch": "1"}})["cores"] == 2


def test_an_environment_is_told_one_value_a_line():
    told = environment_lines({"plan": {"seed": 1}, "git": None, "base": {"name": "m", "of": {"it": 1}}, "gpus": []})
    assert told == {"git": None, "base.name": "m", "base.of.it": 1, "gpus": []}
