"""`caan_export.json`: what an exported folder holds, how it was made, and the SHA-256 of every file."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PlainSerializer, model_validator

from caan_hf.encoding.encoder import TrainingData
from caan_hf.encoding.identity import EncoderIdentity
from caan_hf.errors import CaanError
from caan_hf.limits_caan import MAX_EXPAND
from caan_hf.utils.files import is_folder, sha256_of
from caan_hf.utils.records import Record

MANIFEST = "caan_export.json"
PREPROCESSING = "preprocessing.json"
REFERENCE = "reference.npz"
HUB_BANK = "hub_bank.npz"
"""Global embeddings (B, D) of training sketches, as the array `sketches`, if the checkpoint has any."""
CONFIG = "config.json"
SKETCH_ENCODER, PHOTO_ENCODER = "sketch_encoder", "photo_encoder"
RELATION, LATE_INTERACTION = "relation", "late_interaction"
ENCODERS = (SKETCH_ENCODER, PHOTO_ENCODER)
SINGLE_FILE_LIMIT = 1_900_000_000
"""A protobuf holds less than 2 GiB. The weights of larger graphs are stored in a second file."""
EXPORT_AGAIN = "Export the checkpoint again with `caan-export onnx`, or upgrade caan-hf if the export is newer."

GraphDType = Literal["fp32", "fp16", "int8"]
LocalMatchingKind = Literal["relation", "late_interaction"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Shape = tuple[int | str, ...]
"""Sizes of a tensor; a dimension of any size is a name."""
Shapes = dict[str, Shape]
"""Shapes of tensors by name."""
FileName = Annotated[str, Field(pattern=r"^[^/\\\x00]{1,255}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FileEntry(Record):
    """Size and hash of a file."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class CheckpointEntry(Record):
    """The checkpoint that was exported.

    Attributes:
        name: Id on the Hub, or name of the folder without its parents.
        revision: Commit on the Hub; None for a local folder.
        sha256: Hashes of the files that decide about the embeddings, by file name.
    """

    name: str
    revision: str | None
    sha256: dict[FileName, Sha256]


class GraphEntry(Record):
    """Precision of a graph, and the shapes of its inputs and outputs by name."""

    dtype: GraphDType
    inputs: Shapes
    outputs: Shapes


class Difference(Record):
    """Largest difference from torch for one output, one kind of input and one batch size.

    Attributes:
        graph: Name of the graph; "late_interaction" for local scores that the runtime computes without a graph.
        output: Name of the output.
        inputs: Kind of input: `noise`, `sketches`, `photos` or `pairs`.
        batch: Batch size, such as "3", or "3 x 8" for sketches and photos.
        largest: Largest absolute difference.
        allowed: Largest absolute difference that is accepted.
        cosine: Lowest cosine similarity with torch's embeddings; None for local scores.
    """

    graph: str
    output: str
    inputs: str
    batch: str
    largest: float
    allowed: Positive
    cosine: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the difference is accepted; NaN is not."""
        return self.largest <= self.allowed


class Parity(Record):
    """Comparison of the graphs with torch at the time of the export.

    Attributes:
        atol: Largest absolute difference that was accepted for the encoders.
        provider: Execution provider that ran the encoders.
        differences: All differences that were measured; empty only until the graphs have run.
    """

    atol: Positive
    provider: str
    differences: tuple[Difference, ...]


class Agreement(Record):
    """Two rankings of the same photos for the same sketches, by global embeddings.

    Attributes:
        protocol: Name of the benchmark.
        split: Name of the split.
        sketches: Number of queries.
        photos: Number of photos in the gallery.
        top10_overlap: Mean share of the ten best photos of a sketch that both rankings have in common.
        map_torch: mAP@all of the checkpoint in the convention `standard`.
        map_onnx: mAP@all of the graphs.
    """

    protocol: str
    split: str
    sketches: int
    photos: int
    top10_overlap: float
    map_torch: float
    map_onnx: float


class Manifest(Record):
    """Content of `caan_export.json`.

    Attributes:
        format: Version of this format.
        versions: Versions of Python and of the packages that made the export.
        checkpoint: The checkpoint.
        identity: Identity of the checkpoint's encoder in float32, so that both can use the same galleries.
        training: Benchmark that the checkpoint was trained on; None if it is not recorded.
        opset: ONNX opset of the graphs.
        dtype: Precision of the encoders. Local scores are always computed in float32.
        local_matching: How local scores are computed, as in `CaanConfig`: by the graph of the relation network, or by
            late interaction in the runtime.
        local_position_weight: Weight of the position prior of late interaction.
        hub_weight: Weight of the correction of hubs, whose sketches are in `HUB_BANK`; None for none.
        expand: Number of first photos with which query expansion helps; None where it does not.
        local_weight: Weight of the local score in the score of re-ranking; None for the local score alone.
        graphs: Shapes by name of the graph.
        files: Hashes by file name.
        parity: Comparison with torch.
        agreement: Comparison of retrieval results; None if it was not requested.
    """

    format: Literal[3] = 3
    versions: dict[str, str]
    checkpoint: CheckpointEntry
    identity: EncoderIdentity
    training: Annotated[TrainingData, PlainSerializer(TrainingData._asdict)] | None = None
    opset: Annotated[int, Field(gt=0, lt=100)]
    dtype: GraphDType
    local_matching: LocalMatchingKind
    local_position_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    hub_weight: Annotated[float, Field(ge=0, le=1)] | None = None
    expand: Annotated[int, Field(ge=1, le=MAX_EXPAND)] | None = None
    local_weight: Annotated[float, Field(ge=0, le=1)] | None
    graphs: dict[str, GraphEntry]
    files: dict[FileName, FileEntry]
    parity: Parity
    agreement: Agreement | None = None

    @model_validator(mode="after")
    def _check_files_and_shapes(self) -> Self:
        expected = self._expected_graphs()
        if self.graphs.keys() != expected.keys():
            raise ValueError(f"graphs must list {', '.join(expected)} for local_matching {self.local_matching}")
        for graph, entry in self.graphs.items():
            if (entry.inputs, entry.outputs) != expected[graph]:
                raise ValueError(f"the inputs and outputs of {graph} do not fit the model")
        needed = (*(f"{graph}.onnx" for graph in expected), PREPROCESSING, CONFIG, REFERENCE)
        if missing := [name for name in needed if name not in self.files]:
            raise ValueError(f"files does not list {', '.join(missing)}")
        return self

    def _expected_graphs(self) -> dict[str, tuple[Shapes, Shapes]]:
        """Inputs and outputs of the graphs that such a model has."""
        image, local = self.identity.image_size, self.identity.local_shape
        if local is None or isqrt(local[0]) ** 2 != local[0]:
            raise ValueError("identity.local_shape is not that of a square grid of tokens")
        pixels: Shapes = {"pixel_values": ("batch", 3, image, image)}
        embeds: Shapes = {"global_embeds": ("batch", self.identity.global_dim), "local_embeds": ("batch", *local)}
        graphs = dict.fromkeys(ENCODERS, (pixels, embeds))
        if self.local_matching == RELATION:
            pair: Shapes = {"sketch_local_embeds": ("sketches", *local), "photo_local_embeds": ("photos", *local)}
            graphs[RELATION] = pair, {"relation_logits": ("sketches", "photos")}
        return graphs


def fits(shape: Shape, sizes: Sequence[object]) -> bool:
    """Whether the sizes of a tensor match a declared shape. Sizes that are not integers match any size."""
    return len(sizes) == len(shape) and all(
        isinstance(declared, str) or not isinstance(size, int) or size == declared
        for declared, size in zip(shape, sizes, strict=True)
    )


@dataclass(frozen=True)
class ExportedFolder:
    """A folder that `caan-export onnx` wrote.

    Attributes:
        path: The folder.
        manifest: Its `caan_export.json`.
    """

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | Path) -> "ExportedFolder":
        """Read the manifest and check that all files exist; their content is not checked.

        Raises:
            CaanError: It is not an exported folder, or files are missing.
        """
        path = Path(path)
        if not is_folder(path):
            raise CaanError(f"{path}: no such folder. Give a folder that `caan-export onnx` wrote.")
        if not (path / MANIFEST).is_file():
            raise CaanError(
                f"{path}: no {MANIFEST}, so this is not an exported CAAN. Give a folder that `caan-export onnx` wrote."
            )
        manifest = Manifest.read(path / MANIFEST, EXPORT_AGAIN)
        missing = [name for name in manifest.files if not (path / name).is_file()]
        if missing:
            raise CaanError(f"{path}: {', '.join(missing)} missing. Copy the whole folder, or export again.")
        return cls(path, manifest)

    def graph(self, name: str) -> Path:
        """File of a graph."""
        return self.path / f"{name}.onnx"

    def sha256(self, name: str) -> str:
        """Recorded hash of a file."""
        return self.manifest.files[name].sha256

    def changed(self) -> list[str]:
        """Names of the files whose content differs from the recorded hash.

        Raises:
            CaanError: A file cannot be read.
        """
        return [name for name in self.manifest.files if self._hash(self.path / name) != self.sha256(name)]

    def require_unchanged(self) -> None:
        """Check that all files have the recorded hashes.

        Raises:
            CaanError: A file has changed or cannot be read.
        """
        if changed := self.changed():
            raise CaanError(f"{self.path}: {', '.join(changed)} changed since the export, or damaged. Export again.")

    @staticmethod
    def _hash(file: Path) -> str:
        try:
            return sha256_of(file)
        except OSError as error:  # an error while reading, unlike one while opening, does not name the file
            raise CaanError(f"{file}: cannot be read ({error.strerror or error}). {EXPORT_AGAIN}") from error


def file_entries(folder: Path) -> dict[str, FileEntry]:
    """Size and hash of every file in a folder except the manifest."""
    files = sorted(file for file in folder.iterdir() if file.name != MANIFEST)
    return {file.name: FileEntry(bytes=file.stat().st_size, sha256=sha256_of(file)) for file in files}
