"""A gallery, its model as an export, and onnxruntime-web or a stand-in for it."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from caan_export import web_runtime
from caan_export.export import export_checkpoint
from caan_export.options import ExportOptions
from chromium import browser
from served import checkpoint, gallery, photos

__all__ = ["browser", "checkpoint", "gallery", "photos"]
RUNTIME = "CAAN_ONNXRUNTIME_WEB"
"""Environment variable: the folder of the npm package onnxruntime-web."""


@pytest.fixture(scope="session")
def onnx(checkpoint, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("web-onnx") / "onnx"
    export_checkpoint(str(checkpoint), folder, ExportOptions(atol=1e-3))
    return folder


@pytest.fixture(scope="session")
def runtime(tmp_path_factory) -> Path:
    """The folder of onnxruntime-web: the one that the environment names, or from npm's cache, without a network."""
    if named := os.environ.get(RUNTIME):
        return Path(named)
    folder = tmp_path_factory.mktemp("npm")
    package = f"{web_runtime.PACKAGE}@{web_runtime.VERSION}"
    missing = f"{package} is missing: set {RUNTIME} to its folder, or run `npm cache add {package}`"
    if (npm := shutil.which("npm")) is None:
        pytest.skip(missing)
    done = subprocess.run(
        [npm, "pack", package, "--offline"], cwd=folder, capture_output=True, check=False, timeout=120
    )
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        pytest.skip(missing)
    subprocess.run(["tar", "-xzf", archives[0], "-C", folder], check=True)
    return folder / "package"


@pytest.fixture
def empty_runtime(tmp_path, monkeypatch) -> Path:
    """A folder in place of onnxruntime-web, for tests that run nothing."""
    folder = tmp_path / "onnxruntime-web" / "dist"
    folder.mkdir(parents=True)
    for name in web_runtime.SHA256:
        (folder / name).write_text(name)
    hashes = {name: hashlib.sha256(name.encode()).hexdigest() for name in web_runtime.SHA256}
    monkeypatch.setattr(web_runtime, "SHA256", hashes)
    return folder.parent
