"""`caan_export.json`: what an exported folder holds, how it was made, and the fingerprint of every file."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
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
DTYPES = ("fp32", "fp16", "int8")
SHA256 = re.compile(r"[0-9a-f]{64}")
# Inputs and outputs with their ranks, and the output whose dimensions are all free.
ENCODER_RANKS = ({"pixel_values": 4}, {"global_embeds": 2, "local_embeds": 3}, None)
RELATION_RANKS = (
    {"sketch_local_embeds": 3, "photo_local_embeds": 3},
    {"relation_logits": 2},
    "relation_logits",
)


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
    if not is_folder(folder):
        raise CaanError(f"{folder}: no such folder; give one that `caan-export onnx` wrote")
    if not file.is_file():
        raise CaanError(f"{folder}: no {MANIFEST}, so this is not an exported CAAN; make one with `caan-export onnx`")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] > FORMAT:
            raise CaanError(f"{file}: format {content['format']} is newer than this caan-hf knows; upgrade caan-hf")
        _require_fields(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).partition("\n")[0]
        raise CaanError(f"{file}: damaged ({reason}); export again") from error
    missing = [name for name in content["files"] if not is_inside(name) or not (folder / name).is_file()]
    if missing:
        raise CaanError(f"{folder}: {', '.join(missing)} missing; export again or fetch the whole folder")
    return Manifest(folder, content)


def _require_fields(content: dict[str, Any]) -> None:
    """Raises a ValueError unless all is there that is asked for later, and of the right kind."""
    _require(content["dtype"] in DTYPES, f"dtype is none of {', '.join(DTYPES)}")
    _require(_is_count(content["image_size"]), "image_size is not a number of pixels")
    _require(isinstance(content["checkpoint"], dict), "checkpoint is not a record")
    _require(_are_strings(content["checkpoint"].get("sha256", {})), "checkpoint.sha256 does not name fingerprints")
    for name in (*(f"{branch}.onnx" for branch in BRANCHES), PREPROCESSING):
        _require(name in content["files"], f"files lacks {name}")
    for name, entry in content["files"].items():
        _require(SHA256.fullmatch(entry["sha256"]) is not None, f"the sha256 of {name} is not one")
    for branch in BRANCHES:
        _require_graph(branch, content["graphs"][branch], content["image_size"])
    if "parity" in content:  # while a folder is being made there is none yet
        atol = content["parity"]["atol"]
        _require(_is_number(atol) and 0 < atol < float("inf"), "parity.atol is not a number above 0")


def _require_graph(branch: str, graph: dict[str, Any], image_size: int) -> None:
    _require(graph["dtype"] in DTYPES, f"the dtype of {branch} is none of {', '.join(DTYPES)}")
    inputs, outputs, pairs = ENCODER_RANKS if branch != RELATION else RELATION_RANKS
    for side, ranks in (("inputs", inputs), ("outputs", outputs)):
        _require(set(graph[side]) == set(ranks), f"{branch} does not have the {side} {', '.join(ranks)}")
        for name, rank in ranks.items():
            shape = graph[side][name]
            free = rank if name == pairs else 1
            fits = isinstance(shape, list) and len(shape) == rank
            fits = fits and all(isinstance(size, str) for size in shape[:free]) and all(map(_is_count, shape[free:]))
            _require(fits, f"the shape of {branch}'s {name} is wrong")
    if branch != RELATION:
        _require(graph["inputs"]["pixel_values"][1:] == [3, image_size, image_size], f"{branch} is of another size")


def _require(fits: bool, message: str) -> None:
    if not fits:
        raise ValueError(message)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _are_strings(values: object) -> bool:
    return isinstance(values, dict) and all(isinstance(value, str) for value in values.values())


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Writes `caan_export.json`."""
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def is_folder(path: Path) -> bool:
    """Whether there is one; a name that none can have is no error."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_inside(name: str) -> bool:
    """Whether a recorded file name is a plain name: a manifest from elsewhere must not lead out of its folder."""
    return "\\" not in name and name == Path(name).name and len(name.encode(errors="replace")) < 256


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
