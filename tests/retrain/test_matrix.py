"""The matrix: its facts against the architectures themselves, and what any reader would object to."""

import pytest

from retrain.matrix import MODELS, TASKS, compatibility, fit


def test_ten_models_by_eight_tasks_each_with_its_reason():
    found = compatibility()
    assert (len(found), {len(row) for row in found.values()}) == (10, {8})
    for row in found.values():
        for one in row.values():
            assert 0 <= one.score <= 5
            assert len(one.reason) > 10
            assert not one.reason.endswith(".")


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_first_choice(task):
    assert max(fit(model, TASKS[task]).score for model in MODELS.values()) == 5


def test_what_cannot_read_the_input_does_not_work():
    assert fit(MODELS["roberta-base"], TASKS["image-classification"]).score == 0
    assert fit(MODELS["vit-base-patch16-224"], TASKS["text-classification"]).score == 0


@pytest.mark.parametrize(
    ("task", "better", "worse"),
    [
        ("multilingual-classification", "xlm-roberta-base", "deberta-v3-base"),
        ("long-documents", "ModernBERT-base", "roberta-base"),
        ("long-documents", "roberta-base", "all-MiniLM-L6-v2"),
        ("similarity", "all-MiniLM-L6-v2", "deberta-v3-base"),
        ("token-classification", "roberta-base", "all-MiniLM-L6-v2"),
        ("image-classification", "clip-vit-base-patch32", "resnet-50"),
    ],
)
def test_a_property_that_a_task_needs_decides(task, better, worse):
    assert fit(MODELS[better], TASKS[task]).score > fit(MODELS[worse], TASKS[task]).score


def _architectures():
    from transformers import (
        BertConfig,
        CLIPVisionConfig,
        DebertaV2Config,
        DistilBertConfig,
        ModernBertConfig,
        ResNetConfig,
        RobertaConfig,
        ViTConfig,
        XLMRobertaConfig,
    )

    roberta = {"max_position_embeddings": 514, "type_vocab_size": 1}
    deberta = {"relative_attention": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm", "type_vocab_size": 0}
    return {
        "all-MiniLM-L6-v2": BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
        ),
        "distilbert-base-uncased": DistilBertConfig(),
        "bert-base-uncased": BertConfig(),
        "roberta-base": RobertaConfig(vocab_size=50_265, **roberta),
        "deberta-v3-base": DebertaV2Config(
            vocab_size=128_100,
            hidden_size=768,
            num_hidden_layers=12,
            num_attention_heads=12,
            intermediate_size=3072,
            share_att_key=True,
            pos_att_type=["p2c", "c2p"],
            position_biased_input=False,
            **deberta,
        ),
        "ModernBERT-base": ModernBertConfig(),
        "xlm-roberta-base": XLMRobertaConfig(vocab_size=250_002, **roberta),
        "vit-base-patch16-224": ViTConfig(),
        "resnet-50": ResNetConfig(),
        "clip-vit-base-patch32": CLIPVisionConfig(),
    }


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_the_parameters_that_its_architecture_has(name):
    import torch
    from transformers import AutoModel

    with torch.device("meta"):
        model = AutoModel.from_config(_architectures()[name])
    backbone = MODELS[name].backbone
    assert sum(p.numel() for p in model.parameters()) == backbone.parameters
    linear = {module: layer for module, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    targets = [layer for path, layer in linear.items() if path.rpartition(".")[2] in backbone.lora_targets]
    assert sum(layer.in_features + layer.out_features for layer in targets) == backbone.lora_width
