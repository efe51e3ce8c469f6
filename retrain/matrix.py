"""Ten well-known pretrained models by eight tasks: how well each fits, 0 to 5, and the one property that decides.

Facts are those that the authors publish. Scores are rules of thumb made from them, not measurements: they say where to
start, `driftgate advise` with figures of the own data says more, and trying says it all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from retrain.cost import Backbone

Modality = Literal["text", "image"]
Objective = Literal["masked words", "replaced words", "pairs of texts", "pairs of image and text", "labelled images"]


@dataclass(frozen=True, slots=True)
class Model:
    backbone: Backbone
    source: str
    """Hub id."""
    reads: tuple[Modality, ...]
    objective: Objective
    pretrained_on: str
    large_corpus: bool
    """100 GB of text or more."""
    images_millions: int
    """0 for text."""
    languages: int
    cased: bool
    license: str


@dataclass(frozen=True, slots=True)
class Task:
    """What a task asks of a base."""

    name: str
    title: str
    reads: Modality = "text"
    answers: Literal["row", "token", "vector"] = "row"
    """What gets an answer: a whole row, each token of it, or the distance of two rows."""
    languages: int = 1
    tokens: int = 24
    """That a row often has."""


@dataclass(frozen=True, slots=True)
class Fit:
    score: int
    """0 does not work, 1 hardly, 2 poor, 3 usable, 4 good, 5 a first choice."""
    reason: str


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("text-classification", "Text classification"),
        Task("multi-label", "Several labels a text"),
        Task("token-classification", "Names and terms in a text", answers="token"),
        Task("similarity", "Similarity and search", answers="vector"),
        Task("regression", "A number for a text"),
        Task("multilingual-classification", "Many languages", languages=50),
        Task("image-classification", "Image classification", reads="image"),
        Task("long-documents", "Long documents", tokens=2_048),
    )
}


def _text(
    name: str, parameters: int, words: int, layers: int, hidden: int, max_tokens: int, targets: tuple[str, ...]
) -> Backbone:
    """words: entries of the vocabulary, each with a row of `hidden`."""
    width = _lora_width(layers, hidden, targets)
    return Backbone(name, parameters, words * hidden, layers, hidden, max_tokens, width, targets)


def _image(name: str, parameters: int, layers: int, hidden: int, positions: int, targets: tuple[str, ...]) -> Backbone:
    """positions: patches, and so many for a convolution that 2 operations for each and each parameter make its sum."""
    width = _lora_width(layers, hidden, targets)
    return Backbone(name, parameters, 0, layers, hidden, positions, width, targets, positions)


def _lora_width(layers: int, hidden: int, targets: tuple[str, ...]) -> int:
    outputs = sum(3 if target == "Wqkv" else 1 for target in targets)
    return layers * hidden * (len(targets) + outputs)


_QV = ("query", "value")

MODELS: Mapping[str, Model] = {
    model.backbone.name: model
    for model in (
        Model(
            _text("all-MiniLM-L6-v2", 22_713_216, 30_522, 6, 384, 256, _QV),
            "sentence-transformers/all-MiniLM-L6-v2",
            ("text",),
            "pairs of texts",
            "1.17 billion pairs of sentences",
            False,
            0,
            1,
            False,
            "Apache-2.0",
        ),
        Model(
            _text("distilbert-base-uncased", 66_362_880, 30_522, 6, 768, 512, ("q_lin", "v_lin")),
            "distilbert/distilbert-base-uncased",
            ("text",),
            "masked words",
            "English Wikipedia and books, taught by BERT",
            False,
            0,
            1,
            False,
            "Apache-2.0",
        ),
        Model(
            _text("bert-base-uncased", 109_482_240, 30_522, 12, 768, 512, _QV),
            "google-bert/bert-base-uncased",
            ("text",),
            "masked words",
            "English Wikipedia and books",
            False,
            0,
            1,
            False,
            "Apache-2.0",
        ),
        Model(
            _text("roberta-base", 124_645_632, 50_265, 12, 768, 512, _QV),
            "FacebookAI/roberta-base",
            ("text",),
            "masked words",
            "160 GB of English web text, news, stories and books",
            True,
            0,
            1,
            True,
            "MIT",
        ),
        Model(
            _text("deberta-v3-base", 183_831_552, 128_100, 12, 768, 512, ("query_proj", "value_proj")),
            "microsoft/deberta-v3-base",
            ("text",),
            "replaced words",
            "160 GB of English web text, news, stories and books",
            True,
            0,
            1,
            True,
            "MIT",
        ),
        Model(
            _text("ModernBERT-base", 149_014_272, 50_368, 22, 768, 8_192, ("Wqkv",)),
            "answerdotai/ModernBERT-base",
            ("text",),
            "masked words",
            "2 trillion tokens of English and code",
            True,
            0,
            1,
            True,
            "Apache-2.0",
        ),
        Model(
            _text("xlm-roberta-base", 278_043_648, 250_002, 12, 768, 512, _QV),
            "FacebookAI/xlm-roberta-base",
            ("text",),
            "masked words",
            "2.5 TB of web text in 100 languages",
            True,
            0,
            100,
            True,
            "MIT",
        ),
        Model(
            _image("vit-base-patch16-224", 86_389_248, 12, 768, 197, ("q_proj", "v_proj")),
            "google/vit-base-patch16-224",
            ("image",),
            "labelled images",
            "14 million labelled images (ImageNet-21k), then 1.3 million (ImageNet-1k)",
            False,
            15,
            0,
            False,
            "Apache-2.0",
        ),
        Model(
            _image("resnet-50", 23_508_032, 16, 2_048, 174, ()),
            "microsoft/resnet-50",
            ("image",),
            "labelled images",
            "1.3 million labelled images (ImageNet-1k)",
            False,
            1,
            0,
            False,
            "Apache-2.0",
        ),
        Model(
            _image("clip-vit-base-patch32", 87_456_000, 12, 768, 50, ("q_proj", "v_proj")),
            "openai/clip-vit-base-patch32",
            ("text", "image"),
            "pairs of image and text",
            "400 million images with their captions",
            False,
            400,
            1,
            False,
            "MIT",
        ),
    )
}


def fit(model: Model, task: Task) -> Fit:
    """What is against it comes first, then what it was made for, then how strong it is in general."""
    if task.reads not in model.reads:
        return Fit(0, f"it reads {model.reads[0]}s only" if model.reads[0] == "image" else "it reads text only")
    if task.reads == "image":
        return _fit_for_images(model)
    if model.objective == "pairs of image and text":
        return Fit(1, "its text side reads 77 tokens and was made for captions")
    return min([*_limits(model, task), _made_for(model, task) or _strength(model, task)], key=lambda one: one.score)


def compatibility() -> dict[str, dict[str, Fit]]:
    """The whole matrix: by model, by task."""
    return {name: {task.name: fit(model, task) for task in TASKS.values()} for name, model in MODELS.items()}


def _limits(model: Model, task: Task) -> list[Fit]:
    found = []
    longest = model.backbone.max_tokens
    if model.languages < task.languages:
        found.append(Fit(1, "English alone: words of other languages fall into pieces"))
    if longest < task.tokens:
        found.append(Fit(2 if longest >= 512 else 1, f"reads {longest} tokens: longer texts must be cut or split"))
    if task.answers == "token" and model.objective == "pairs of texts":
        found.append(Fit(2, "trained to say one thing of a whole text"))
    if task.answers == "token" and not model.cased:
        found.append(Fit(3, "knows no capitals, by which many names are told"))
    if task.answers == "vector" and model.objective != "pairs of texts":
        found.append(Fit(2, "its vectors mean little before they are trained on pairs"))
    if task.languages == 1 and model.languages > 1:
        found.append(Fit(3, f"shares its strength among {model.languages} languages"))
    return found


def _made_for(model: Model, task: Task) -> Fit | None:
    if task.answers == "vector" and model.objective == "pairs of texts":
        return Fit(5, f"made for it: {model.pretrained_on}")
    if task.languages > 1:
        return Fit(5, f"made for it: {model.pretrained_on}")
    if task.tokens > 512:
        return Fit(5, f"reads {model.backbone.max_tokens:,} tokens at once")
    return None


def _strength(model: Model, task: Task) -> Fit:
    millions = (model.backbone.parameters - model.backbone.embeddings) // 1_000_000
    if model.objective == "pairs of texts" and task.name == "text-classification":
        return Fit(4, f"classes lie apart even while it is frozen, and its layers have {millions} million parameters")
    if model.objective == "replaced words" and model.large_corpus:
        return Fit(5, "learned from every word of a large corpus, not only from masked ones")
    if model.large_corpus:
        return Fit(4, "saw more than ten times the text of BERT")
    if model.backbone.layers < 12:
        return Fit(3, f"{model.backbone.layers} layers: quick, a little behind the larger ones")
    return Fit(3, "sound, but pretrained on a tenth of the text of later ones")


def _fit_for_images(model: Model) -> Fit:
    if model.images_millions >= 100:
        return Fit(5, f"{model.images_millions} million images: classes lie apart even while it is frozen")
    if model.images_millions >= 10:
        return Fit(4, f"{model.images_millions} million images in its pretraining")
    return Fit(3, "quick, but convolutions, of little pretraining, and without layers for LoRA")
