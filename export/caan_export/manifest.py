"""`caan_export.json`: what an exported folder holds, how it was made, and the fingerprint of every file."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from .borrowed import CaanError

MANIFEST = "caan_export.json"
PREPROCESSING = "preprocessing.json"
REFERENCE = "reference.npz"
CONFIG = "config.json"
ENCODERS = ("sketch_encoder", "photo_encoder")
RELATION = "relation"
BRANCHES = (*ENCODERS, RELATION)
FORMAT = 1
SINGLE_FILE_LIMIT = 1_900_000_000
"""A protobuf holds less than 2 GiB: larger graphs keep their weights beside them."""
BLOCK = 2**20


@dataclass(frozen=True)
class Manifest:
    """An exported folder.

    Attributes:
        folder: where it lies.
        content: `caan_export.json`, as `export.export_checkpoint` composes it.
    """

    folder: Path
    content: dict[str, Any]

    @property
    def dtype(self) -> str:
        """Precision of the encoders: `fp32`, `fp16` or `int8`."""
        return self.content["dtype"]

    @property
    def image_size(self) -> int:
        """Height and width of the encoders' input, in pixels."""
        return self.content["image_size"]

    def graph(self, branch: str) -> Path:
        """File of a branch."""
        return self.folder / f"{branch}.onnx"

    def shape(self, branch: str, tensor: str) -> list[int | str]:
        """Shape of an input or output; dimensions that are free are names."""
        graph = self.content["graphs"][branch]
        return {**graph["inputs"], **graph["outputs"]}[tensor]

    def sha256(self, name: str) -> str:
        """Fingerprint of a file, as recorded."""
        return self.content["files"][name]["sha256"]


def read_manifest(folder: str | Path) -> Manifest:
    """Open an exported folder; that its files are there is checked, their content is not.

    Raises:
        CaanError: it is no exported folder, of a newer format, or files are missing.
    """
    folder = Path(folder)
    file = folder / MANIFEST
    if not folder.is_dir():
        raise CaanError(f"{folder}: no such folder; give one that `caan-export onnx` wrote")
    if not file.is_file():
        raise CaanError(f"{folder}: no {MANIFEST}, so this is not an exported CAAN; make one with `caan-export onnx`")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] > FORMAT:
            raise CaanError(f"{file}: format {content['format']} is newer than this caan-hf knows; upgrade caan-hf")
        _require_fields(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CaanError(f"{file}: damaged ({type(error).__name__}: {error}); export again") from error
    missing = [name for name in content["files"] if not is_inside(name) or not (folder / name).is_file()]
    if missing:
        raise CaanError(f"{folder}: {', '.join(missing)} missing; export again or fetch the whole folder")
    return Manifest(folder, content)


def _require_fields(content: dict[str, Any]) -> None:
    """Raises a KeyError unless all that is there that the runtime will ask for."""
    tensors = dict.fromkeys(ENCODERS, ("pixel_values", "global_embeds", "local_embeds"))
    tensors[RELATION] = ("sketch_local_embeds", "photo_local_embeds", "relation_logits")
    itemgetter("dtype", "image_size", "checkpoint")(content)
    itemgetter(*(f"{branch}.onnx" for branch in BRANCHES), PREPROCESSING)(content["files"])
    for branch, names in tensors.items():
        graph = content["graphs"][branch]
        itemgetter(*names)({**graph["inputs"], **graph["outputs"]})
        itemgetter("dtype")(graph)


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Writes `caan_export.json`."""
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def is_inside(name: str) -> bool:
    """Whether a recorded file name is a plain name: a manifest from elsewhere must not lead out of its folder."""
    return "\\" not in name and name == Path(name).name


def altered_files(manifest: Manifest) -> list[str]:
    """Names of the files whose content is not what was recorded."""
    recorded = manifest.content["files"]
    return [name for name in recorded if sha256_of(manifest.folder / name) != recorded[name]["sha256"]]


def require_unaltered(manifest: Manifest) -> None:
    """Lets a folder pass whose files are what was exported.

    Raises:
        CaanError: some are not, or cannot be read.
    """
    try:
        altered = altered_files(manifest)
    except OSError as error:
        raise CaanError(f"{error.filename}: cannot be read ({error.strerror or error})") from error
    if altered:
        raise CaanError(f"{manifest.folder}: {', '.join(altered)} altered since the export; export again")


def file_entries(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Name -> size in bytes and sha256, for the manifest."""
    return {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)} for name in sorted(names)
    }


def sha256_of(file: Path) -> str:
    """Fingerprint of a file, read in blocks."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
