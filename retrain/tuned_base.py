"""A tuned backbone becomes a base of its own: exported without room for adapters, as it serves one version alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine.base import BaseSpec
from retrain.backbone import load_backbone
from retrain.export import store_bundle
from store.artifacts import ArtifactStore, digest_file


def export_tuned(
    folder: Path,
    parent: BaseSpec,
    artifacts: ArtifactStore,
    *,
    name: str,
    labels: int,
    progress: Callable[[str, float], None] = lambda step, share: None,
) -> tuple[BaseSpec, str]:
    """Export the backbone in `folder`, tuned from base `parent`; returns its spec and artifact key.

    folder: config.json, model.safetensors and tokenizer.json. labels: of the one head that it will carry.
    """
    backbone = load_backbone(folder, attention="eager").eval()
    weights_sha256 = digest_file(folder / "model.safetensors")
    spec = replace(
        parent,
        name=name,
        source=f"{parent.name}, tuned",
        aliases=(),
        revision=weights_sha256[:12],
        layers=(),
        max_rank=1,
        max_labels=labels,
        weights_sha256=weights_sha256,
        backbone_artifact="",
    )
    return store_bundle(backbone, [], spec, folder, artifacts, progress=progress)
