"""CAAN on onnxruntime, numpy and PIL: no torch, no transformers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from .borrowed import CaanError
from .branch import Branch
from .manifest import MANIFEST, PREPROCESSING, RELATION, Manifest, is_folder, read_manifest, sha256_of
from .preprocessing import Preprocessing
from .providers import CPU, TENSORRT, TENSORRT_MAX_BATCH, Provider, choose_providers
from .stream import OnError, prepared_batches

PAIRS_BUDGET = 256 * 2**20
"""Bytes that the pairs of one call of the relation network may take."""

Modality = Literal["sketch", "photo"]
SKETCH_LOCAL, PHOTO_LOCAL, LOGITS = "sketch_local_embeds", "photo_local_embeds", "relation_logits"


@dataclass(frozen=True)
class OnnxImageFeatures:
    """Features of N sketches or photos, as `CaanModel` gives them.

    Attributes:
        global_embeds: (N, D) float32, L2-normalised; the score of a sketch and a photo is their dot product.
        local_embeds: (N, M, R) float32, L2-normalised local tokens, for `relation_logits`.
    """

    global_embeds: np.ndarray
    local_embeds: np.ndarray


@dataclass(frozen=True)
class EncodedBatch:
    """A part of a stream: `features` of the B `sources` that could be read, and the others with the reason."""

    sources: list
    features: OnnxImageFeatures
    skipped: list[tuple[object, str]] = field(default_factory=list)


class CaanOnnx:
    """An exported CAAN.

    Example:
        >>> from caan_export.runtime import CaanOnnx
        >>> caan = CaanOnnx.from_pretrained("runs/sketchy-mini/onnx")
        >>> sketch = caan.encode_sketches("sketch.png")
        >>> photos = caan.encode_photos(["a.jpg", "b.jpg"])
        >>> scores = sketch.global_embeds @ photos.global_embeds.T  # (1, 2)
        >>> caan.relation_logits(sketch.local_embeds, photos.local_embeds)  # (1, 2)
    """

    def __init__(self, manifest: Manifest, preprocessing: Preprocessing, branches: dict[str, Branch]):
        self.manifest = manifest
        self.preprocessing = preprocessing
        self.branches = branches

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
        """Open what `caan-export onnx` wrote.

        Args:
            name_or_path: A folder, or the id of a repository on the Hub that holds its files.
            providers: onnxruntime's names, or `"tensorrt"`, `"cuda"`, `"cpu"`, or (name, options), best first. By
                default TensorRT, CUDA and CPU, as far as they are installed; for int8 graphs the CPU.
            revision: Branch, tag or commit on the Hub.
            subfolder: Where in the folder or repository the files lie, such as `"onnx"`.
            threads: Threads within an operator; 0 lets onnxruntime choose.
            spinning: Let idle threads spin: a little faster alone on a machine, ruinous on a shared one.
            device_id: Which GPU.

        Raises:
            CaanError: There is no such folder or repository, files are missing or damaged, or a provider that was
                asked for is not installed (the message lists those that are) or does not start.
        """
        chosen = choose_providers(providers)  # a missing one shows before anything is downloaded
        manifest = read_manifest(fetch(name_or_path, revision, subfolder))
        preprocessing = _preprocessing(manifest)
        if providers is None and manifest.dtype == "int8":
            chosen = [CPU]  # GPUs lack its operators: the data would go back and forth
        options = {"strict": providers is not None, "threads": threads, "spinning": spinning, "device_id": device_id}
        sketch = Branch(manifest, "sketch_encoder", chosen, **options)
        # Tied towers give the same graph twice: one session serves both, at half the memory.
        same = manifest.sha256("sketch_encoder.onnx") == manifest.sha256("photo_encoder.onnx")
        photo = sketch if same else Branch(manifest, "photo_encoder", chosen, **options)
        relation = Branch(manifest, RELATION, chosen, **options)
        branches = {"sketch_encoder": sketch, "photo_encoder": photo, RELATION: relation}
        return cls(manifest, preprocessing, branches)

    @property
    def providers(self) -> dict[str, str]:
        """Branch -> the provider that runs it."""
        return {name: branch.provider for name, branch in self.branches.items()}

    def encode_sketches(self, sketches, *, batch_size: int = 32, workers: int = 2) -> OnnxImageFeatures:
        """Features of one or a list of sketches: paths, bytes, PIL images or arrays of any mode.

        Args:
            sketches: The pictures.
            batch_size: Pictures an encoder call.
            workers: Threads that read pictures.

        Raises:
            ValueError: A sketch cannot be read or is blank (the message names it), or there is none.
        """
        return self._encode("sketch", sketches, batch_size, workers)

    def encode_photos(self, photos, *, batch_size: int = 32, workers: int = 2) -> OnnxImageFeatures:
        """Features of one or a list of photos; arguments and errors as for `encode_sketches`.

        For more photos than fit in memory there is `stream_photos`.
        """
        return self._encode("photo", photos, batch_size, workers)

    def stream_photos(
        self, photos: Iterable, *, batch_size: int = 32, workers: int = 2, on_error: OnError = "raise"
    ) -> Iterator[EncodedBatch]:
        """Encodes photos as they come, in bounded memory: two batches are held at a time.

        Args:
            photos: Anything to iterate over, such as `Path("photos").rglob("*.jpg")`.
            batch_size: Photos an encoder call.
            workers: Threads that read photos.
            on_error: `"raise"` where a photo cannot be read, or `"skip"` it and name it in the batch's `skipped`.

        Yields:
            [`EncodedBatch`], in the order of the photos.
        """
        return self._stream("photo", photos, batch_size, workers, on_error)

    def stream_sketches(
        self, sketches: Iterable, *, batch_size: int = 32, workers: int = 2, on_error: OnError = "raise"
    ) -> Iterator[EncodedBatch]:
        """As `stream_photos`, for sketches."""
        return self._stream("sketch", sketches, batch_size, workers, on_error)

    def encode_pixel_values(self, modality: Modality, pixel_values: np.ndarray) -> OnnxImageFeatures:
        """Features of prepared pictures (B, 3, H, W) float32, in one call of the encoder; under TensorRT one in 64.

        Raises:
            ValueError: They have another shape than the encoder takes.
        """
        branch = f"{modality}_encoder"
        _check_shape("pixel_values", pixel_values, self.manifest.shape(branch, "pixel_values"))
        outputs = {
            name: np.empty((len(pixel_values), *self.manifest.shape(branch, name)[1:]), np.float32)
            for name in ("global_embeds", "local_embeds")
        }
        encoder = self.branches[branch]
        at_once = TENSORRT_MAX_BATCH if encoder.provider == TENSORRT else max(1, len(pixel_values))
        for start in range(0, len(pixel_values), at_once):
            part = slice(start, start + at_once)
            inputs = {"pixel_values": np.ascontiguousarray(pixel_values[part], dtype=np.float32)}
            encoder.run(inputs, {name: array[part] for name, array in outputs.items()})
        return OnnxImageFeatures(**outputs)

    def relation_logits(self, sketch_local_embeds: np.ndarray, photo_local_embeds: np.ndarray) -> np.ndarray:
        """Relation logits (S, P) of every sketch (S, M, R) with every photo (P, M, R), in bounded memory.

        Raises:
            ValueError: An argument has another shape.
        """
        sketches = self._local(SKETCH_LOCAL, sketch_local_embeds)
        photos = self._local(PHOTO_LOCAL, photo_local_embeds)
        logits = np.empty((len(sketches), len(photos)), np.float32)
        if not logits.size:
            return logits
        branch, at_once = self.branches[RELATION], self._pairs_at_once()
        width = min(len(photos), at_once)
        height = max(1, at_once // width)
        for left in range(0, len(photos), width):
            columns = slice(left, left + width)
            gallery = branch.put(photos[columns])
            for top in range(0, len(sketches), height):
                block = np.empty_like(logits[top : top + height, columns], order="C")
                branch.run({SKETCH_LOCAL: sketches[top : top + height], PHOTO_LOCAL: gallery}, {LOGITS: block})
                logits[top : top + height, columns] = block
        return logits

    def paired_relation_logits(self, sketch_local_embeds: np.ndarray, photo_local_embeds: np.ndarray) -> np.ndarray:
        """Relation logits (B, K) of each sketch (B, M, R) with its own K photos (B, K, M, R): what re-ranking asks for.

        Raises:
            ValueError: An argument has another shape.
        """
        if np.ndim(photo_local_embeds) != 4 or len(photo_local_embeds) != len(sketch_local_embeds):
            raise ValueError(
                f"{PHOTO_LOCAL} has the shape {np.shape(photo_local_embeds)}; each of {len(sketch_local_embeds)} "
                "sketches has K photos of its own: (B, K, M, R)"
            )
        logits = np.empty(photo_local_embeds.shape[:2], np.float32)
        for row, (sketch, photos) in enumerate(zip(sketch_local_embeds, photo_local_embeds, strict=True)):
            logits[row] = self.relation_logits(sketch[None], photos)[0]
        return logits

    def _encode(self, modality: Modality, sources, batch_size: int, workers: int) -> OnnxImageFeatures:
        sources = list(sources) if isinstance(sources, (list, tuple)) else [sources]
        if not sources:
            raise ValueError("there is no picture to encode: give at least one")
        batches = self._stream(modality, sources, batch_size, min(workers, len(sources)), "raise")
        features = [batch.features for batch in batches]
        if len(features) == 1:
            return features[0]
        return OnnxImageFeatures(
            np.concatenate([part.global_embeds for part in features]),
            np.concatenate([part.local_embeds for part in features]),
        )

    def _stream(
        self, modality: Modality, sources: Iterable, batch_size: int, workers: int, on_error: OnError
    ) -> Iterator[EncodedBatch]:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        if self.branches[f"{modality}_encoder"].provider == TENSORRT:
            batch_size = min(batch_size, TENSORRT_MAX_BATCH)
        prepare = self.preprocessing.sketch if modality == "sketch" else self.preprocessing.photo
        for batch in prepared_batches(sources, prepare, batch_size, workers, on_error):
            pixel_values = batch.pixel_values
            if not len(pixel_values):
                pixel_values = np.empty(
                    (0, *self.manifest.shape(f"{modality}_encoder", "pixel_values")[1:]), np.float32
                )
            yield EncodedBatch(batch.sources, self.encode_pixel_values(modality, pixel_values), batch.skipped)

    def _local(self, name: str, embeds: np.ndarray) -> np.ndarray:
        embeds = np.ascontiguousarray(embeds, dtype=np.float32)
        _check_shape(name, embeds, self.manifest.shape(RELATION, name))
        return embeds

    def _pairs_at_once(self) -> int:
        """Pairs whose photos, cosine matrices and hidden layers fit in the budget."""
        _, tokens, width = self.manifest.shape(RELATION, PHOTO_LOCAL)
        return max(1, PAIRS_BUDGET // (4 * (tokens * width + 3 * tokens * tokens)))


def fetch(name_or_path: str | Path, revision: str | None = None, subfolder: str = "") -> Path:
    """The folder with an exported CAAN; what is on the Hub is downloaded, or found in the cache.

    Raises:
        CaanError: There is none.
    """
    folder = Path(name_or_path)
    name = str(name_or_path)
    on_disk = is_folder(folder) or is_folder(folder.parent)
    if on_disk or name.count("/") != 1 or name.startswith((".", "/", "~")):
        return folder / subfolder
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - a folder needs no Hub
    except ModuleNotFoundError:
        raise CaanError(f"{name}: no such folder; to look on the Hub, pip install huggingface_hub") from None

    inside = f"{subfolder.strip('/')}/" if subfolder else ""
    wanted = [f"{inside}{pattern}" for pattern in ("*.json", "*.onnx", "*.onnx.data", "*.npz")]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted)) / subfolder
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CaanError(
            f"{name}: no such folder, and not to be had from the Hub ({reason}); {MANIFEST} is wanted"
        ) from error


def _preprocessing(manifest: Manifest) -> Preprocessing:
    """As it was exported: a setting changed by hand would quietly spoil every feature. Small enough to be hashed."""
    file = manifest.folder / PREPROCESSING
    preprocessing = Preprocessing.load(file)
    if sha256_of(file) != manifest.sha256(PREPROCESSING):
        raise CaanError(f"{file}: altered since the export; export again")
    return preprocessing


def _check_shape(name: str, array: np.ndarray, shape: list[int | str]) -> None:
    fits = array.ndim == len(shape) and all(
        isinstance(wanted, str) or wanted == given for wanted, given in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{name} has the shape {array.shape}; this model takes ({wanted})")


__all__ = ["CaanOnnx", "EncodedBatch", "OnnxImageFeatures"]
