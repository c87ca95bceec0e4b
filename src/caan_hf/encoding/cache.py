"""A cache of embeddings on disk, with encoder and image content as the key.

`ROOT/<encoder>/` holds the embeddings of one encoder: shards, and `encoder.json`, whose hash is the name of the folder.
A shard is a safetensors file named after its own hash, with the hashes of its images and their embeddings. Shards are
written during encoding, so that an interrupted evaluation continues after the last shard (2,048 images).
"""

import json
import logging
import mmap
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from caan_hf.errors import CaanError
from caan_hf.utils.files import sha256_of, write_whole_text

from .encoder import BATCH_SIZE, Encoder, Picture
from .features import Array, Features, Modality
from .identity import hash_of_json

logger = logging.getLogger(__name__)

FORMAT = "caan embeddings 2"
UNFINISHED = ".writing-"
DAY = 24 * 3600.0
IMAGES_PER_SHARD = 2048
"""The local embeddings of this many images, 49 tokens of 512 each, take 100 MB."""
PACKAGES = ("torch", "torchvision", "transformers", "timm", "pillow", "numpy", "onnxruntime")
"""Packages whose version may change an embedding."""


def package_versions() -> dict[str, str | None]:
    """Installed versions of the packages whose version may change an embedding."""
    versions: dict[str, str | None] = dict.fromkeys(PACKAGES)
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


class LocalEmbeds(Protocol):
    """(N, M, R) local embeddings: an array, or rows on disk that are read when they are indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, M, R)."""

    def __getitem__(self, rows: Any, /) -> np.ndarray:
        """(..., M, R) embeddings of the rows at positions (...) or in a slice."""


class CachedFeatures(NamedTuple):
    """Like [`Features`], but with local embeddings in half precision, which stay on disk."""

    global_embeds: Array
    local_embeds: "StoredLocalEmbeds | None"


def default_cache_folder() -> Path:
    """The cache beside the Hub's: `$HF_HOME/caan-embeddings`."""
    from huggingface_hub.constants import HF_HOME  # noqa: PLC0415

    if HF_HOME.startswith("~"):  # `os.path.expanduser` did not know the home folder
        raise CaanError(
            "the home folder, for the cache of embeddings, is unknown. Set HOME or HF_HOME, or pass --no-cache."
        )
    return Path(HF_HOME) / "caan-embeddings"


class EmbeddingCache:
    """Keeps embeddings of images by encoder and by content.

    Args:
        folder: Root folder, created if missing. It may be deleted at any time.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)

    def encode(
        self,
        encoder: Encoder,
        pictures: Sequence[Picture],
        hashes: Sequence[bytes],
        modality: Modality,
        *,
        local: bool = False,
        batch_size: int = BATCH_SIZE,
        workers: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> CachedFeatures:
        """Features of pictures. Only pictures whose content is not in the cache are encoded.

        Args:
            encoder: The encoder.
            pictures: N pictures.
            hashes: SHA-256 of each picture's content.
            modality: "sketch" or "photo".
            local: Return local embeddings too, which stay on disk.
            batch_size: Batch size.
            workers: Number of threads that read pictures.
            progress: Called with the number of pictures after each batch that was encoded.

        Raises:
            CaanError: The cache cannot be written.
            ValueError: A picture cannot be read; the message names it.
        """
        folder = self._encoder_folder(encoder, modality)
        shards = [shard for shard in _valid_shards(folder) if shard.has_local or not local]
        found = {digest for shard in shards for digest in shard.rows}
        missing = {digest: row for row, digest in enumerate(hashes) if digest not in found}
        if missing:
            new = (pictures[row] for row in missing.values())
            batches = encoder.stream(new, modality, local=local, batch_size=batch_size, workers=workers)
            shards += _write_shards(folder, list(missing), (batch.features for batch in batches), progress)
            _remove_superseded(folder, shards)
        return _gather(shards, hashes, local)

    def _encoder_folder(self, encoder: Encoder, modality: Modality) -> Path:
        document = {
            "format": FORMAT,
            "modality": modality,
            "encoder": asdict(encoder.identity),
            "device": str(encoder.device).partition(":")[0],
            "packages": package_versions(),
        }
        folder = self.folder / hash_of_json(document)[:32]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "encoder.json").is_file():
                write_whole_text(folder / "encoder.json", json.dumps(document, indent=2, sort_keys=True) + "\n")
        except (OSError, CaanError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CaanError(
                f"{self.folder}: embeddings cannot be cached there ({reason}). Choose another folder with --cache, or "
                "pass --no-cache."
            ) from error
        return folder


class _Shard(NamedTuple):
    path: Path
    rows: dict[bytes, int]  # of its n images, by hash
    global_embeds: Array  # (n, D)
    has_local: bool


class StoredLocalEmbeds:
    """(N, M, R) float16 local embeddings on disk, of which only the rows that are indexed are read.

    Args:
        files: The shards.
        shard: (N,) the shard that holds each image.
        row: (N,) its row in the shard.
    """

    def __init__(self, files: Sequence[Path], shard: np.ndarray, row: np.ndarray):
        try:
            self._maps = [_map_local(path) for path in files]
        except OSError as error:
            raise CaanError(
                f"{error.filename}: cached embeddings were deleted while they were in use. Run the command again."
            ) from error
        self._shard, self._row = shard, row

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, M, R)."""
        return (len(self._shard), *self._maps[0][1].shape[1:])

    def __getitem__(self, rows: Any, /) -> np.ndarray:
        """(..., M, R) float16 embeddings of the rows at positions (...)."""
        shard, row = self._shard[rows], self._row[rows]
        read = np.empty((*shard.shape, *self.shape[1:]), np.float16)
        for number in np.unique(shard).tolist():
            mapping, values = self._maps[number]
            here = shard == number
            read[here] = values[row[here]]
            if hasattr(mapping, "madvise"):  # not on Windows
                mapping.madvise(mmap.MADV_DONTNEED)  # or else the pages count as memory of this process
        return read


def _map_local(path: Path) -> tuple[mmap.mmap, np.ndarray]:
    """The memory-mapped file and its (n, M, R) local embeddings."""
    with path.open("rb") as stream:
        header_size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(header_size))["local_embeds"]
        mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    begin, end = header["data_offsets"]
    values = np.frombuffer(mapping, dtype=np.float16, count=(end - begin) // 2, offset=8 + header_size + begin)
    return mapping, values.reshape(header["shape"])


def _valid_shards(folder: Path) -> Iterator[_Shard]:
    """The shards that are intact. Damaged shards are deleted."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            yield _read(path, folder.name)
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            logger.warning("%s: damaged embeddings are computed again (%s)", path, error)
            with suppress(OSError):  # the cache may be read-only
                path.unlink()


def _read(path: Path, encoder: str) -> _Shard:
    if sha256_of(path) != path.stem:
        raise ValueError("the content has changed")
    with safe_open(path, framework="np") as file:
        if (file.metadata() or {}).get("encoder") != encoder:
            raise ValueError("they belong to another encoder")
        rows = {digest.tobytes(): row for row, digest in enumerate(file.get_tensor("hashes"))}
        return _Shard(path, rows, file.get_tensor("global_embeds"), "local_embeds" in file.keys())  # noqa: SIM118


def _write_shards(
    folder: Path, hashes: Sequence[bytes], batches: Iterable[Features], progress: Callable[[int], object] | None
) -> list[_Shard]:
    """Write batches in the order of the hashes. If encoding fails, the batches before are written."""
    shards: list[_Shard] = []
    waiting: list[Features] = []
    done = written = 0
    try:
        for batch in batches:
            waiting.append(batch)
            done += len(batch.global_embeds)
            if progress is not None:
                progress(len(batch.global_embeds))
            if done - written >= IMAGES_PER_SHARD:
                shards.append(_write_shard(folder, hashes[written:done], Features.joined(waiting)))
                waiting, written = [], done
    finally:
        if waiting:
            shards.append(_write_shard(folder, hashes[written:done], Features.joined(waiting)))
    return shards


def _write_shard(folder: Path, hashes: Sequence[bytes], features: Features) -> _Shard:
    tensors: dict[str, np.ndarray] = {
        "hashes": np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), -1),
        "global_embeds": np.ascontiguousarray(features.global_embeds),
    }
    if features.local_embeds is not None:
        tensors["local_embeds"] = features.local_embeds.astype(np.float16)
    temporary = folder / f"{UNFINISHED}{uuid.uuid4()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)  # it may be deleted at any time
        save_file(tensors, temporary, metadata={"encoder": folder.name})
        path = folder / f"{sha256_of(temporary)}.safetensors"
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise CaanError(
            f"{folder}: embeddings cannot be cached ({error}). Free disk space, or pass --no-cache."
        ) from error
    rows = {digest: row for row, digest in enumerate(hashes)}
    return _Shard(path, rows, features.global_embeds, features.local_embeds is not None)


def _remove_superseded(folder: Path, shards: Sequence[_Shard]) -> None:
    """Delete shards whose images are all in shards with local embeddings, and what killed processes left behind."""
    with_local = {digest for shard in shards if shard.has_local for digest in shard.rows}
    for shard in _valid_shards(folder) if with_local else []:
        if not shard.has_local and shard.rows.keys() <= with_local:
            shard.path.unlink(missing_ok=True)
    for path in folder.glob(f"{UNFINISHED}*"):
        with suppress(FileNotFoundError):  # another process has just finished it
            if time.time() - path.stat().st_mtime > DAY:
                path.unlink()


def _gather(shards: Sequence[_Shard], hashes: Sequence[bytes], local: bool) -> CachedFeatures:
    place = {digest: (number, row) for number, shard in enumerate(shards) for digest, row in shard.rows.items()}
    places = np.array([place[digest] for digest in hashes])
    shard, row = places[:, 0], places[:, 1]  # (N,) each
    global_embeds = np.empty((len(hashes), shards[0].global_embeds.shape[1]), np.float32)
    for number in np.unique(shard).tolist():
        here = shard == number
        global_embeds[here] = shards[number].global_embeds[row[here]]
    stored = StoredLocalEmbeds([shard.path for shard in shards], shard, row) if local else None
    return CachedFeatures(global_embeds, stored)
