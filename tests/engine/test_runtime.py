"""Exactly one build of ONNX Runtime."""

import sys
from pathlib import Path

import pytest

from engine.runtime import RuntimeBuild, installed_build


def pretend_installed(folder: Path, name: str) -> None:
    """A real dist-info folder, as pip writes it: what importlib.metadata reads."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")


def test_the_one_build_is_found() -> None:
    assert installed_build() == "onnxruntime"


def test_two_builds_are_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_installed(tmp_path, "onnxruntime-gpu")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeBuild, match=r"onnxruntime and onnxruntime-gpu are installed .* pip uninstall"):
        installed_build()


def test_no_build_is_refused_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(RuntimeBuild, match=r"pip install 'driftgate\[cpu\]'"):
        installed_build()
