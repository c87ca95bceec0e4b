"""The interface of all encoders: a checkpoint, an ONNX export, or an untrained tower."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from PIL import Image

from caan_hf.errors import CaanError, one_line
from caan_hf.utils.prefetch import batched, map_ahead

from .features import PLURAL, Array, EncodedSketch, Features, Modality
from .identity import EncoderIdentity
from .late_interaction import late_interaction_shares
from .preprocessing import Preprocessing
from .sketch_file import load_sketch

OnError = Literal["raise", "skip"]
BATCH_SIZE = 32
NEEDS_TEXT = "Use a checkpoint that was trained with model.text_negatives=all."


class Picture(NamedTuple):
    """A picture and what error messages call it.

    Attributes:
        source: Path, encoded bytes, PIL image or array, see [`images_caan.open_image`].
        name: Such as the path relative to the benchmark.
    """

    source: Any
    name: str


class EncodedBatch(NamedTuple):
    """Features of a part of a stream of pictures.

    Attributes:
        sources: The B pictures that were encoded, as they were given.
        features: Their features.
        skipped: The pictures that could not be read, each with the reason.
    """

    sources: list[Any]
    features: Features
    skipped: list[tuple[Any, str]]


class TrainingData(NamedTuple):
    """Benchmark that a model was trained on.

    Attributes:
        protocol: Protocol id, such as "sketchy-25@1".
        categories: Categories whose images the model was trained on.
        validation: Categories on which checkpoints and settings were selected.
    """

    protocol: str
    categories: tuple[str, ...]
    validation: tuple[str, ...]


class Encoder(ABC):
    """Encodes sketches and photos to features that can be compared.

    Pictures are paths, encoded bytes, PIL images, arrays or [`Picture`]; sketches may also be stroke files (JSON).
    Threads read and prepare pictures while the model encodes the batch before.

    Attributes:
        name: Folder or Hub id from which the encoder can be loaded again.
        kind: What reports call the model: "checkpoint", "ONNX export" or "untrained tower".
        device: Where it computes, such as "cpu" or "cuda:0".
        preprocessing: How it resizes and crops pictures; None if it does so in a way that only torch can follow.

    Example:
        >>> encoder = caan_hf.load_encoder("hub/caan-vit-tiny-v2")
        >>> scores = encoder.encode_sketches("cup.png") @ encoder.encode_photos(["a.jpg", "b.jpg"]).T  # (1, 2)
    """

    name: str
    kind: str = "model"
    device: Any = "cpu"
    preprocessing: Preprocessing | None = None

    @property
    def training_data(self) -> TrainingData | None:
        """Benchmark that the model was trained on; None if it is not recorded."""
        return None

    @property
    @abstractmethod
    def identity(self) -> EncoderIdentity:
        """Decides whether embeddings of two encoders may be compared, and which cached embeddings are valid."""

    @abstractmethod
    def clean_sketch(self, sketch: Any, name: str | None = None) -> Image.Image:
        """A sketch as the encoder sees it before resizing: dark lines on a white square, cropped to the ink.

        Raises:
            ValueError: The sketch cannot be read or is blank; the message names it.
        """

    @abstractmethod
    def prepare(self, image: Any, modality: Modality, name: str | None = None) -> Array:
        """A photo, or a sketch that `clean_sketch` gave, as pixel values (3, H, W). Called from several threads.

        Raises:
            ValueError: The picture cannot be read; the message names it.
        """

    @abstractmethod
    def encode_prepared(self, pixel_values: Array, modality: Modality) -> Features:
        """Features of prepared pictures (B, 3, H, W)."""

    def local_scores(self, sketch_local: Array, photo_local: Array) -> Array:
        """Local scores (S, P) of every sketch (S, M, R) with every photo (P, M, R), in bounded memory.

        Raises:
            CaanError: The encoder has no local tokens.
        """
        raise CaanError(f"{self.name}: has no local tokens. Rank by global embeddings alone.")

    def paired_local_scores(self, sketch_local: Array, photo_local: Array) -> Array:
        """Local scores (B, K) of each sketch (B, M, R) with its own K photos (B, K, M, R).

        Raises:
            CaanError: The encoder has no local tokens.
        """
        raise CaanError(f"{self.name}: has no local tokens. Rank by global embeddings alone.")

    @property
    def has_text(self) -> bool:
        """Whether it encodes words too."""
        return False

    def encode_text(self, texts: Sequence[str | Sequence[str]]) -> Array:
        """Encode words in the space of the global embeddings of sketches and photos.

        The text tower is loaded, and fetched if it is on the Hub, with the first words.

        Args:
            texts: Q sentences, or several sentences for each query, whose mean embedding it then has.

        Returns:
            (Q, D), L2-normalised.

        Raises:
            CaanError: The model was trained without text, or its text tower is not available.
        """
        raise CaanError(f"{self.name}: cannot encode words ({self.kind} without a text tower). {NEEDS_TEXT}")

    def local_shares(self, sketch_local: Array, photo_local: Array) -> Array:
        """Shares (M, M) of the token pairs of a sketch (M, R) and a photo (M, R), see `late_interaction_shares`."""
        return late_interaction_shares(sketch_local, photo_local, self.local_position_weight or 0.0)

    @property
    def local_position_weight(self) -> float | None:
        """Weight of the position prior of late interaction; None if the local score is another."""
        return None

    @property
    def local_weight(self) -> float | None:
        """Weight w of the local score in the score of re-ranking, (1 - w) cosine + w local; None for local alone."""
        return None

    @property
    def reranks(self) -> bool:
        """Whether searches and evaluations re-rank by default: with a weight, which is set only where it helps."""
        return self.has_local and bool(self.local_weight)

    @property
    def hub_sketches(self) -> Array | None:
        """(B, D) global embeddings of training sketches, for the correction of hubs; None if there are none."""
        return None

    @property
    def hub_weight(self) -> float | None:
        """Weight of the correction of hubs, see `HubCorrection`; None or 0 for no correction."""
        return None

    @property
    def expand(self) -> int | None:
        """Number of first photos with which query expansion helped on validation categories; None if it is unknown."""
        return None

    @property
    def has_local(self) -> bool:
        """Whether the encoder has local tokens, which re-ranking and explanations need."""
        return self.identity.local_shape is not None

    def encode_sketches(self, sketches: Any, *, batch_size: int = BATCH_SIZE, workers: int | None = None) -> Array:
        """Global embeddings (N, D) of one picture or a list of N, L2-normalised; arguments as for `stream`.

        Raises:
            ValueError: A sketch cannot be read or is blank, or the list is empty.
        """
        return self.encode(sketches, "sketch", local=False, batch_size=batch_size, workers=workers).global_embeds

    def encode_photos(self, photos: Any, *, batch_size: int = BATCH_SIZE, workers: int | None = None) -> Array:
        """Global embeddings (N, D) of one or a list of photos; arguments and errors as for `encode_sketches`."""
        return self.encode(photos, "photo", local=False, batch_size=batch_size, workers=workers).global_embeds

    def encode(
        self,
        pictures: Any,
        modality: Modality,
        *,
        local: bool = True,
        batch_size: int = BATCH_SIZE,
        workers: int | None = None,
    ) -> Features:
        """Global and, with `local`, local features of one or a list of pictures; errors as for `encode_sketches`."""
        if isinstance(pictures, Picture) or not isinstance(pictures, (list, tuple)):  # a Picture is a tuple too
            pictures = [pictures]
        if not pictures:
            raise ValueError(f"there are no {PLURAL[modality]} to encode")
        batches = self.stream(pictures, modality, local=local, batch_size=batch_size, workers=workers)
        return Features.joined([batch.features for batch in batches])

    def stream(
        self,
        pictures: Iterable[Any],
        modality: Modality,
        *,
        local: bool = True,
        batch_size: int = BATCH_SIZE,
        workers: int | None = None,
        on_error: OnError = "raise",
    ) -> Iterator[EncodedBatch]:
        """Encode any number of pictures in bounded memory.

        Args:
            pictures: Any iterable, such as `Path("photos").rglob("*.jpg")`.
            modality: "sketch" or "photo".
            local: Return local features too, if the encoder has any.
            batch_size: Batch size; two batches are held at a time.
            workers: Number of threads that read pictures; one per core, at most 8, by default.
            on_error: "raise" a ValueError for a picture that cannot be read, or "skip" it and list it in the batch.

        Yields:
            Batches in the order of the pictures.
        """
        if on_error not in get_args(OnError):
            raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be a positive integer, got {batch_size}")
        prepared = map_ahead(
            lambda picture: self._try_prepare(picture, modality), pictures, workers=workers, ahead=2 * batch_size
        )
        for batch in batched(prepared, batch_size):
            failed = [(picture, result) for picture, result in batch if isinstance(result, Exception)]
            if failed and on_error == "raise":
                raise failed[0][1]
            sources = [picture for picture, result in batch if not isinstance(result, Exception)]
            pixel_values = [result for _, result in batch if not isinstance(result, Exception)]
            features = self.encode_batch(pixel_values, modality, local=local)
            yield EncodedBatch(sources, features, [(picture, str(error)) for picture, error in failed])

    def encode_sketch(self, sketch: Any) -> EncodedSketch:
        """Open, clean and encode one sketch, once for all searches and explanations.

        Args:
            sketch: A picture, a stroke file (path or bytes), or the result of this method, which is returned as it is.

        Raises:
            CaanError: The sketch cannot be read or is blank.
        """
        if isinstance(sketch, EncodedSketch):
            return sketch
        clean, prepared = self.prepare_sketch(sketch)
        return EncodedSketch.from_features(clean, self.encode_batch([prepared], "sketch", local=True))

    def prepare_sketch(self, sketch: Any) -> tuple[Image.Image, Array]:
        """Open and clean one sketch. Returns it as the encoder sees it, and as pixel values (3, H, W).

        Raises:
            CaanError: The sketch cannot be read or is blank.
        """
        source, name = _named(sketch)
        image = load_sketch(source, name)
        try:
            clean = self.clean_sketch(image, name)
            return clean, self.prepare(clean, "sketch", name)
        except ValueError as error:
            raise CaanError(str(error)) from error

    def encode_batch(self, prepared: Sequence[Array], modality: Modality, *, local: bool) -> Features:
        """Features of a batch of prepared pictures, checked to be finite.

        Args:
            prepared: Results of `prepare`, each (3, H, W); may be empty.
            modality: "sketch" or "photo".
            local: Return local features too, if the encoder has any.

        Raises:
            CaanError: An embedding holds NaN or infinity.
        """
        size = self.identity.image_size
        pixel_values = np.stack(prepared) if prepared else np.empty((0, 3, size, size), np.float32)
        features = self.encode_prepared(pixel_values, modality)
        if not local:
            features = Features(features.global_embeds)
        if not all(np.isfinite(values).all() for values in features if values is not None):
            raise CaanError(
                f"{self.name}: its {modality} embeddings hold NaN or infinity. Training diverged, or the precision is "
                "too low."
            )
        return features

    def _try_prepare(self, picture: Any, modality: Modality) -> tuple[Any, Array | ValueError]:
        """The picture, and its pixel values or why it cannot be read."""
        source, name = _named(picture)
        try:
            if modality == "sketch":
                source = self.clean_sketch(load_sketch(source, name), name)
            return picture, self.prepare(source, modality, name)
        except (CaanError, ValueError) as error:
            return picture, ValueError(str(error))
        except Exception as error:  # decoders raise errors of any type
            return picture, ValueError(f"{name or 'image'}: not a picture that can be read ({one_line(error)})")


def _named(picture: Any) -> tuple[Any, str | None]:
    """The source of a picture and its name, if it has one."""
    if isinstance(picture, Picture):
        return picture.source, picture.name
    return picture, os.fspath(picture) if isinstance(picture, (str, os.PathLike)) else None
