"""Embeddings on disk, found again by content: evaluating a second time costs no forward pass.

`ROOT/<encoder>/` holds what one encoder said: `encoder.json`, the fingerprint that the folder is named after, and
shards. A shard is a safetensors file named after its own hash, with the hashes of its images and their embeddings, so
that a damaged one shows. Shards are written while encoding goes on: an evaluation that is stopped goes on there.
"""

import hashlib
import json
import mmap
import os
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from caan_hf.errors import CaanError
from caan_hf.whole_file import write_whole_text

from .embedding import Embeddings, Modality, encode_batches
from .fingerprint import fingerprint

FORMAT = "caan embeddings 1"
UNFINISHED = ".writing-"
DAY = 24 * 3600.0
IMAGES_A_SHARD = 2048
"""So many local embeddings of 49 tokens of 512 are 100 MB."""


def default_cache_folder() -> Path:
    """Beside the Hub's cache: `$HF_HOME/caan-embeddings`."""
    return Path(huggingface_hub.constants.HF_HOME) / "caan-embeddings"


class EmbeddingCache:
    """Keeps embeddings of images by encoder and by content.

    Args:
        folder: the root, made where it is missing; it may be deleted at any time.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def embed(
        self,
        model: torch.nn.Module,
        processor,
        images: datasets.Dataset,
        hashes: Tensor,
        modality: Modality,
        *,
        local: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **encoding,
    ) -> Embeddings:
        """As `embed_images`, but only images that this encoder has not met are encoded, each content once.

        Args:
            model: a `CaanModel`.
            processor: its `CaanProcessor`.
            images: rows with `image` and `source`.
            hashes: (N, 32) of their contents, see `image_hashes`.
            modality: which encoder to use.
            local: give local embeddings too; they stay on disk and are read as they are asked for.
            device: where to compute.
            dtype: of automatic mixed precision.
            **encoding: further options of `encode_batches`.

        Raises:
            CaanError: the cache cannot be written, or as `embed_images`.
        """
        device = torch.device(device) if device is not None else next(model.parameters()).device
        folder = self._encoder_folder(fingerprint(model, processor, modality, dtype, device))
        wanted = [digest.tobytes() for digest in hashes.numpy()]
        shards = list(_whole_shards(folder, local))
        found = {digest for shard in shards for digest in shard.rows}
        missing: dict[bytes, int] = {}
        for row, digest in enumerate(wanted):
            if digest not in found:
                missing.setdefault(digest, row)
        if missing:
            rows = list(missing.values())
            batches = encode_batches(
                model, processor, images.select(rows), modality, local=local, device=device, dtype=dtype, **encoding
            )
            shards += _write_shards(folder, hashes[rows], batches)
            _drop_superseded(folder, shards)
        return _gathered(shards, wanted, local)

    def _encoder_folder(self, encoder: dict) -> Path:
        text = json.dumps({"format": FORMAT, **encoder}, indent=2, sort_keys=True) + "\n"
        folder = self.folder / hashlib.sha256(text.encode()).hexdigest()[:32]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "encoder.json").is_file():
                write_whole_text(folder / "encoder.json", text)
        except OSError as error:
            raise CaanError(
                f"{self.folder}: embeddings cannot be cached there ({error.strerror or error}); choose another folder "
                "with --cache, or do without by --no-cache"
            ) from None
        return folder


@dataclass(frozen=True)
class _Shard:
    """One file: from an image's hash to its row, and the embeddings, of which local ones stay on disk."""

    path: Path
    rows: dict[bytes, int]
    global_embeds: Tensor  # (n, D)
    has_local: bool


class StoredLocalEmbeds:
    """(N, M, R) float16 local embeddings of which only those asked for are read.

    Args:
        files: of the shards.
        shard: (N,) which of the files holds each.
        row: (N,) where in it.
    """

    def __init__(self, files: list[Path], shard: Tensor, row: Tensor):
        try:
            self._maps = [_mapped_local(path) for path in files]
        except OSError as error:
            raise CaanError(f"{error.filename}: cached embeddings vanished while they were needed; run again") from None
        self._shard, self._row = shard, row
        self.shape = torch.Size((len(shard), *self._maps[0][1].shape[1:]))

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """(..., M, R) float16 of the rows at (...) positions."""
        shard, row = self._shard[rows], self._row[rows]
        read = torch.empty(*shard.shape, *self.shape[1:], dtype=torch.float16)
        for number in shard.unique().tolist():
            mapping, values = self._maps[number]
            here = shard == number
            read[here] = torch.from_numpy(values[row[here].numpy()])
            if hasattr(mapping, "madvise"):  # not on Windows
                mapping.madvise(mmap.MADV_DONTNEED)  # pages that were read count as ours until then
        return read


def _mapped_local(path: Path) -> tuple[mmap.mmap, np.ndarray]:
    """The file in memory, as far as it is touched, and its (n, M, R) local embeddings."""
    with path.open("rb") as stream:
        header_size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(header_size))["local_embeds"]
        mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    begin, end = header["data_offsets"]
    values = np.frombuffer(mapping, dtype=np.float16, count=(end - begin) // 2, offset=8 + header_size + begin)
    return mapping, values.reshape(header["shape"])


def _whole_shards(folder: Path, local: bool) -> Iterator[_Shard]:
    """The shards of a folder that are what their names say; others are deleted, with a warning."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            shard = _read(path, folder.name)
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            warnings.warn(f"{path}: broken or foreign embeddings, made again ({error})", stacklevel=2)
            with suppress(OSError):  # a folder of that name, or a cache that may only be read
                path.unlink()
            continue
        if shard.has_local or not local:
            yield shard


def _read(path: Path, encoder: str) -> _Shard:
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != path.stem:
            raise ValueError("the content is not what was written")
    with safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("encoder") != encoder:
            raise ValueError("of another encoder")
        digests = file.get_tensor("hashes").numpy()
        rows = {digest.tobytes(): row for row, digest in enumerate(digests)}
        return _Shard(path, rows, file.get_tensor("global_embeds"), "local_embeds" in file.keys())  # noqa: SIM118


def _write_shards(folder: Path, hashes: Tensor, batches: Iterator[Embeddings]) -> list[_Shard]:
    """Puts batches away, in the order of the hashes; what is done when something goes wrong is put away first."""
    shards: list[_Shard] = []
    waiting: list[Embeddings] = []
    done = 0

    def put_away() -> None:
        nonlocal done
        if waiting:
            part = Embeddings.joined(waiting)
            shards.append(_written(folder, hashes[done : done + len(part.global_embeds)], part))
            done += len(part.global_embeds)
            waiting.clear()

    try:
        for batch in batches:
            waiting.append(batch)
            if sum(len(some.global_embeds) for some in waiting) >= IMAGES_A_SHARD:
                put_away()
    finally:
        put_away()
    return shards


def _drop_superseded(folder: Path, shards: list[_Shard]) -> None:
    """Deletes files whose images all stand in files with local embeddings too, and what a kill left half-written."""
    with_local = {digest for shard in shards if shard.has_local for digest in shard.rows}
    for shard in list(_whole_shards(folder, local=False)) if with_local else []:
        if not shard.has_local and shard.rows.keys() <= with_local:
            shard.path.unlink(missing_ok=True)
    for path in folder.glob(f"{UNFINISHED}*"):
        if time.time() - path.stat().st_mtime > DAY:
            path.unlink(missing_ok=True)


def _written(folder: Path, hashes: Tensor, embeddings: Embeddings) -> _Shard:
    tensors = {"hashes": hashes.contiguous(), "global_embeds": embeddings.global_embeds}
    if embeddings.local_embeds is not None:
        tensors["local_embeds"] = embeddings.local_embeds
    temporary = folder / f"{UNFINISHED}{uuid.uuid4()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)  # it may be deleted at any time
        save_file(tensors, temporary, metadata={"encoder": folder.name})
        with temporary.open("rb") as stream:
            path = folder / f"{hashlib.file_digest(stream, 'sha256').hexdigest()}.safetensors"
            os.fsync(stream.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise CaanError(
            f"{folder}: embeddings cannot be cached ({error}); free space there or use --no-cache"
        ) from None
    rows = {digest.tobytes(): row for row, digest in enumerate(hashes.numpy())}
    return _Shard(path, rows, embeddings.global_embeds, embeddings.local_embeds is not None)


def _gathered(shards: list[_Shard], wanted: list[bytes], local: bool) -> Embeddings:
    place = {digest: (number, row) for number, shard in enumerate(shards) for digest, row in shard.rows.items()}
    shard, row = torch.tensor([place[digest] for digest in wanted]).unbind(1)  # (N,) each
    global_embeds = torch.empty(len(wanted), shards[0].global_embeds.shape[1])
    for number in shard.unique().tolist():
        here = shard == number
        global_embeds[here] = shards[number].global_embeds[row[here]]
    if not local:
        return Embeddings(global_embeds)
    return Embeddings(global_embeds, StoredLocalEmbeds([shard.path for shard in shards], shard, row))
