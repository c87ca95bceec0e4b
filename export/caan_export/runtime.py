"""CAAN on onnxruntime, numpy and PIL, without torch and transformers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from PIL import Image

from caan_hf.encoding.encoder import Encoder, TrainingData
from caan_hf.encoding.features import Array, Features, Modality
from caan_hf.encoding.identity import EncoderIdentity
from caan_hf.encoding.late_interaction import late_interaction_scores
from caan_hf.encoding.load import model_folder
from caan_hf.encoding.preprocessing import Preprocessing
from caan_hf.errors import CaanError, first_line
from caan_hf.sketches_caan import clean_sketch
from caan_hf.utils.download import download, looks_local

from .manifest import (
    EXPORT_AGAIN,
    HUB_BANK,
    MANIFEST,
    PHOTO_ENCODER,
    PREPROCESSING,
    RELATION,
    SKETCH_ENCODER,
    ExportedFolder,
    Shape,
    fits,
)
from .session import CPU, TENSORRT, TENSORRT_MAX_BATCH, GraphSession, Provider, choose_providers

MAX_CHUNK_BYTES = 256 * 2**20
"""Memory that the pairs of one call of the relation network may take."""
AT_ONCE = {CPU: 8, TENSORRT: TENSORRT_MAX_BATCH}
"""Pictures per call of an encoder. On the CPU, the activations of more pictures leave the cache, which takes longer."""
FILES = ("*.json", "*.onnx", "*.onnx.data", "*.npz")
PRECISION = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
ENCODER_OF: dict[Modality, str] = {"sketch": SKETCH_ENCODER, "photo": PHOTO_ENCODER}
SKETCH_LOCAL, PHOTO_LOCAL, LOGITS = "sketch_local_embeds", "photo_local_embeds", "relation_logits"


class CaanOnnx(Encoder):
    """An exported CAAN.

    Attributes:
        name: Folder or Hub id from which it can be loaded again.
        export: The exported folder and its manifest.
        preprocessing: Prepares pictures.
        sessions: Inference sessions by name of the graph. Late interaction has no graph; numpy computes it.

    Example:
        >>> from caan_export.runtime import CaanOnnx
        >>> encoder = CaanOnnx.from_pretrained("runs/sketchy-mini/onnx")
        >>> sketch = encoder.encode("sketch.png", "sketch")
        >>> photos = encoder.encode(["a.jpg", "b.jpg"], "photo")
        >>> scores = sketch.global_embeds @ photos.global_embeds.T  # (1, 2)
        >>> local = encoder.local_scores(sketch.local_embeds, photos.local_embeds)  # (1, 2)
    """

    kind = "ONNX export"
    preprocessing: Preprocessing

    def __init__(
        self, name: str, export: ExportedFolder, preprocessing: Preprocessing, sessions: Mapping[str, GraphSession]
    ):
        self.name = name
        self.export = export
        self.preprocessing = preprocessing
        self.sessions = sessions
        device, number = sessions[PHOTO_ENCODER].device
        self.device = device if device == "cpu" else f"{device}:{number}"
        self._identity = replace(export.manifest.identity, precision=PRECISION[export.manifest.dtype])

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        providers: Sequence[Provider] | None = None,
        *,
        revision: str | None = None,
        subfolder: str = "",
        threads: int = 0,
        spinning: bool = False,
        device_id: int = 0,
    ) -> "CaanOnnx":
        """Open a folder that `caan-export onnx` wrote.

        Args:
            name_or_path: Folder, or id of a repository on the Hub.
            providers: Execution providers in the order of preference: onnxruntime's names, or "tensorrt", "cuda",
                "cpu", or (name, options). By default TensorRT, CUDA and CPU, as far as they are installed; for int8
                graphs the CPU.
            revision: Branch, tag or commit on the Hub.
            subfolder: Place of the files in the folder or repository, such as "onnx".
            threads: Number of threads within an operator; 0 lets onnxruntime choose.
            spinning: Let idle threads spin, which lowers the latency a little if no other process needs the cores.
            device_id: Number of the GPU.

        Raises:
            CaanError: There is no such folder or repository, files are missing or damaged, or a requested provider is
                not installed or does not start.
        """
        chosen = choose_providers(providers)  # before anything is downloaded
        export = open_unchanged(name_or_path, revision, subfolder)
        preprocessing = Preprocessing.read(export.path / PREPROCESSING, EXPORT_AGAIN)
        preprocessing.require_size(export.manifest.identity.image_size, str(export.path / PREPROCESSING), EXPORT_AGAIN)
        if providers is None and export.manifest.dtype == "int8":
            chosen = [CPU]  # GPU providers lack the int8 operators

        def session(graph: str) -> GraphSession:
            strict = providers is not None
            return GraphSession(
                export, graph, chosen, strict=strict, threads=threads, spinning=spinning, device_id=device_id
            )

        sketch = session(SKETCH_ENCODER)
        # Tied towers are exported as two identical graphs, which share one session to halve the memory.
        same = export.sha256(f"{SKETCH_ENCODER}.onnx") == export.sha256(f"{PHOTO_ENCODER}.onnx")
        photo = sketch if same else session(PHOTO_ENCODER)
        sessions = {SKETCH_ENCODER: sketch, PHOTO_ENCODER: photo}
        if RELATION in export.manifest.graphs:
            sessions[RELATION] = session(RELATION)
        name = str(export.path.resolve() if looks_local(str(name_or_path)) else name_or_path)
        return cls(name, export, preprocessing, sessions)

    @property
    def identity(self) -> EncoderIdentity:
        """Identity of the checkpoint that was exported, with the precision of the graphs."""
        return self._identity

    @property
    def training_data(self) -> TrainingData | None:
        """Benchmark that the checkpoint was trained on; None if it is not recorded."""
        return self.export.manifest.training

    @cached_property
    def hub_sketches(self) -> Array | None:
        """See [`Encoder.hub_sketches`].

        Raises:
            CaanError: Their file is damaged.
        """
        if HUB_BANK not in self.export.manifest.files:
            return None
        file = self.export.path / HUB_BANK
        try:
            with np.load(file, allow_pickle=False) as arrays:
                sketches: Array = arrays["sketches"].astype(np.float32)
            if not len(sketches) or sketches.shape[1:] != (self.identity.global_dim,):
                raise ValueError(f"features of shape {sketches.shape}")
        except (OSError, KeyError, ValueError, AttributeError, TypeError, BadZipFile) as error:
            raise CaanError(f"{file}: holds no features of sketches ({first_line(error)}). {EXPORT_AGAIN}") from error
        return sketches

    @property
    def hub_weight(self) -> float | None:
        """See [`Encoder.hub_weight`]."""
        return self.export.manifest.hub_weight

    @property
    def expand(self) -> int | None:
        """See [`Encoder.expand`]."""
        return self.export.manifest.expand

    @property
    def local_weight(self) -> float | None:
        """See [`Encoder.local_weight`]."""
        return self.export.manifest.local_weight

    @property
    def local_position_weight(self) -> float | None:
        """See [`Encoder.local_position_weight`]."""
        manifest = self.export.manifest
        return None if manifest.local_matching == RELATION else manifest.local_position_weight

    @property
    def providers(self) -> dict[str, str]:
        """The provider that runs each graph."""
        return {name: session.provider for name, session in self.sessions.items()}

    def clean_sketch(self, sketch: Any, name: str | None = None) -> Image.Image:
        """See [`Encoder.clean_sketch`]."""
        return clean_sketch(sketch, self.preprocessing.sketch_margin, name)

    def prepare(self, image: Any, modality: Modality, name: str | None = None) -> Array:
        """See [`Encoder.prepare`]."""
        return self.preprocessing.pixel_values(image) if modality == "sketch" else self.preprocessing.photo(image, name)

    def encode_prepared(self, pixel_values: Array, modality: Modality) -> Features:
        """Features of prepared pictures (B, 3, H, W), of which the graph runs at most `AT_ONCE` at a time.

        Raises:
            ValueError: The pixel values have another shape.
        """
        graph = ENCODER_OF[modality]
        entry = self.export.manifest.graphs[graph]
        pixel_values = _checked("pixel_values", pixel_values, entry.inputs["pixel_values"])
        count = len(pixel_values)
        outputs = {name: np.empty((count, *map(int, shape[1:])), np.float32) for name, shape in entry.outputs.items()}
        session = self.sessions[graph]
        at_once = AT_ONCE.get(session.provider, max(1, count))
        for part in _slices(count, at_once):
            session.run({"pixel_values": pixel_values[part]}, {name: array[part] for name, array in outputs.items()})
        return Features(**outputs)

    def local_scores(self, sketch_local: Array, photo_local: Array) -> Array:
        """See [`Encoder.local_scores`].

        Raises:
            ValueError: An argument has another shape.
        """
        sketches = _checked(SKETCH_LOCAL, sketch_local, ("sketches", *self._local_shape))
        photos = _checked(PHOTO_LOCAL, photo_local, ("photos", *self._local_shape))
        if self.local_position_weight is not None:
            return late_interaction_scores(sketches, photos, self.local_position_weight)
        return relation_logits(self.sessions[RELATION], sketches, photos)

    def paired_local_scores(self, sketch_local: Array, photo_local: Array) -> Array:
        """See [`Encoder.paired_local_scores`].

        Raises:
            ValueError: An argument has another shape.
        """
        if np.ndim(photo_local) != 4 or len(photo_local) != len(sketch_local):
            raise ValueError(
                f"photo_local must have the shape ({len(sketch_local)}, K, M, R) for {len(sketch_local)} sketches, got "
                f"{np.shape(photo_local)}"
            )
        scores = np.empty(photo_local.shape[:2], np.float32)
        for row, (sketch, photos) in enumerate(zip(sketch_local, photo_local, strict=True)):
            scores[row] = self.local_scores(sketch[None], photos)
        return scores

    @property
    def _local_shape(self) -> tuple[int, int]:
        shape = self.identity.local_shape
        assert shape is not None  # as the manifest requires
        return shape


def relation_logits(session: GraphSession, sketches: Array, photos: Array) -> Array:
    """Compute the logits (S, P) of sketches (S, M, R) and photos (P, M, R) with the graph of a relation network."""
    tokens, width = photos.shape[1:]
    # The photos, cosine matrices and hidden layers of a chunk.
    at_once = max(1, MAX_CHUNK_BYTES // (4 * (tokens * width + 3 * tokens * tokens)))
    logits = np.empty((len(sketches), len(photos)), np.float32)
    columns_at_once = max(1, min(len(photos), at_once))
    for columns in _slices(len(photos), columns_at_once):
        placed = session.place(photos[columns])
        for rows in _slices(len(sketches), max(1, at_once // columns_at_once)):
            block = np.empty_like(logits[rows, columns], order="C")
            session.run({SKETCH_LOCAL: sketches[rows], PHOTO_LOCAL: placed}, {LOGITS: block})
            logits[rows, columns] = block
    return logits


def open_export(folder: Path, name: str) -> CaanOnnx:
    """Open an export for [`caan_hf.load_encoder`], which has found it in `folder` under a name (folder or Hub id)."""
    return CaanOnnx.from_pretrained(name, revision=folder.name)


def open_unchanged(name_or_path: str | Path, revision: str | None = None, subfolder: str = "") -> ExportedFolder:
    """Open an export and compare its files with their recorded hashes.

    An export on the Hub is downloaded at one commit. Files that were damaged in the cache are downloaded once more.

    Args:
        name_or_path: Folder, or id of a repository on the Hub.
        revision: Branch, tag or commit on the Hub.
        subfolder: Place of the files in the folder or repository.

    Raises:
        CaanError: There is no such export, the Hub cannot be reached, or a file has changed since the export.
    """
    name, inside = str(name_or_path), f"{subfolder.strip('/')}/" if subfolder else ""
    folder = model_folder(name, revision, [inside + pattern for pattern in FILES])
    if not looks_local(name):
        return _open_cached(name, folder, inside)
    export = ExportedFolder.open(folder / subfolder)
    export.require_unchanged()
    return export


def _open_cached(name: str, commit: Path, inside: str) -> ExportedFolder:
    """Open an export in the Hub's cache after its damaged files were downloaded once more."""

    def repair(files: Iterable[str]) -> None:
        try:
            download(name, revision=commit.name, patterns=[inside + file for file in files], force=True)
        except CaanError as error:
            raise CaanError(f"{name}: {', '.join(files)} damaged in the cache, and not repaired: {error}") from error

    try:
        export = ExportedFolder.open(commit / inside)
    except CaanError:
        if not (commit / inside / MANIFEST).is_file():
            raise
        repair([MANIFEST])
        export = ExportedFolder.open(commit / inside)
    if changed := export.changed():
        repair(changed)
        export.require_unchanged()
    return export


def _checked(name: str, array: np.ndarray, shape: Shape) -> Array:
    """The array as C-contiguous float32; an error if it does not have the given shape."""
    array = np.ascontiguousarray(array, dtype=np.float32)
    if not fits(shape, array.shape):
        raise ValueError(f"{name} must have the shape ({', '.join(map(str, shape))}), got {array.shape}")
    return array


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
