"""Processor of CAAN: converts sketches, photos and sentences to tensors."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, ViTImageProcessor
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin
from transformers.utils.hub import cached_file

from .arguments_caan import check_arguments
from .images_caan import clean_photo, cut_ends
from .limits_caan import MAX_MARGIN, MAX_NUMBER, check_image_processor, check_range
from .sketches_caan import clean_sketch

TOKENIZER_CONFIG = "tokenizer_config.json"
ImageSource = str | os.PathLike[str] | bytes | Image.Image | np.ndarray


class CaanProcessor(ProcessorMixin):
    """Convert images of any mode and sentences to the inputs of [`CaanModel`].

    Sketches are cropped to their ink, centred and padded to a white square. Photos are turned upright and flattened
    onto white. Both are then resized and normalised by the image processor.

    Args:
        image_processor: Image processor for both modalities.
        tokenizer (*optional*): Tokenizer of the text tower. Retrieval does not need it.
        sketch_margin (`float`, defaults to 0.08): White margin around a sketch, as a share of its longer side.
        max_text_length (`int`, defaults to 77): Maximum length of a sentence in tokens. Longer ones are truncated.

    Raises:
        ValueError: If a setting of this processor or of the image processor is out of bounds.
    """

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, sketch_margin: float = 0.08, max_text_length: int = 77
    ) -> None:
        check_range("sketch_margin", sketch_margin, 0, MAX_MARGIN)
        check_range("max_text_length", max_text_length, 1, MAX_NUMBER, whole=True)
        check_image_processor(image_processor)
        self.sketch_margin = sketch_margin
        self.max_text_length = max_text_length
        super().__init__(image_processor, tokenizer)

    @classmethod
    def from_backbones(
        cls, vision: str, text: str | None = None, *, image_size: int | None = None, **kwargs: Any
    ) -> "CaanProcessor":
        """Create the processor of a model with the given backbones.

        Args:
            vision: Hub id or folder of the vision encoder.
            text: Hub id or folder of the text encoder.
            image_size: Height and width of the output in pixels. The default is that of the vision encoder.
            **kwargs: Other arguments of [`CaanProcessor`].
        """
        tokenizer = AutoTokenizer.from_pretrained(text, trust_remote_code=False) if text is not None else None
        image_processor = AutoImageProcessor.from_pretrained(vision, trust_remote_code=False)
        processor = cls(_savable(image_processor), tokenizer, **kwargs)
        return processor if image_size is None else processor.at_size(image_size)

    def at_size(self, image_size: int) -> "CaanProcessor":
        """Set the height and width of the output, in pixels, in place. Returns the processor."""
        square = {"height": image_size, "width": image_size}
        self.image_processor.size = type(self.image_processor.size)(**square)
        if getattr(self.image_processor, "crop_size", None):
            self.image_processor.crop_size = type(self.image_processor.crop_size)(**square)
        return self

    @check_arguments
    def __call__(
        self,
        sketches: ImageSource | Sequence[ImageSource] | None = None,
        photos: ImageSource | Sequence[ImageSource] | None = None,
        texts: str | Sequence[str] | None = None,
        images: ImageSource | Sequence[ImageSource] | None = None,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """Convert sketches, photos and sentences to tensors. At least one of them is required.

        Args:
            sketches: One sketch or a list of sketches: paths, PIL images, encoded bytes or arrays.
            photos: One photo or a list of photos, of the same types as sketches.
            texts: One sentence or a list of sentences.
            images: Alias of `photos`, which transformers pipelines use.
            return_tensors: Only `"pt"` (PyTorch) is supported.

        Returns:
            `pixel_values` (B, 3, H, W) for either sketches or photos; `sketch_pixel_values` and `photo_pixel_values`
            for both; `input_ids` and `attention_mask` (B, L) for sentences.

        Raises:
            TypeError: If an argument is unknown.
            ValueError: If an image cannot be read, a sketch is blank, the processor has no tokenizer for the sentences,
                an input is empty or missing, or `return_tensors` is not supported.
        """
        if return_tensors not in (None, "pt"):
            raise ValueError(f'return_tensors={return_tensors!r} is not supported. Use "pt".')
        if photos is not None and images is not None:
            raise ValueError("photos and images are aliases. Give one of them.")
        photos = images if photos is None else photos
        given = {"sketches": sketches, "photos": photos, "texts": texts}
        if all(value is None for value in given.values()):
            raise ValueError("No input. Give at least one of sketches, photos and texts.")
        for name, value in given.items():
            if value is not None and not _as_list(value):
                raise ValueError(f"{name} is empty. Give at least one.")
        data = {}
        if sketches is not None:
            data["sketch_pixel_values"] = self.to_pixel_values([self.clean_sketch(s) for s in _as_list(sketches)])
        if photos is not None:
            data["photo_pixel_values"] = self.to_pixel_values([self.clean_photo(p) for p in _as_list(photos)])
        if len(data) == 1:
            data = {"pixel_values": next(iter(data.values()))}
        if texts is not None:
            data.update(self.tokenize(texts))
        return BatchFeature(data)

    def clean_sketch(self, image: ImageSource, name: str | None = None) -> Image.Image:
        """Convert a sketch to dark lines on a white RGB square of any size. Error messages use `name`."""
        return clean_sketch(image, self.sketch_margin, name)

    def clean_photo(self, image: ImageSource, name: str | None = None) -> Image.Image:
        """Convert a photo to an upright RGB image of any size. Error messages use `name`."""
        return clean_photo(image, name)

    def to_pixel_values(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Resize and normalise clean RGB images to a tensor (B, 3, H, W)."""
        size = dict(getattr(self.image_processor, "size", None) or {})
        if size.get("shortest_edge") and getattr(self.image_processor, "do_center_crop", False):
            images = [cut_ends(image) for image in images]
        return self.image_processor(list(images), return_tensors="pt")["pixel_values"]

    def tokenize(self, texts: str | Sequence[str]) -> dict[str, torch.Tensor]:
        """Convert sentences to `input_ids` and `attention_mask` (B, L), padded to the longest."""
        if self.tokenizer is None:
            raise ValueError("The processor has no tokenizer, since it was saved for retrieval. Load the training one.")
        encoded = self.tokenizer(
            [texts] if isinstance(texts, str) else list(texts),
            padding=True,
            truncation=True,
            max_length=self.max_text_length,
            return_tensors="pt",
        )
        return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors that the processor may return."""
        return ["pixel_values", "sketch_pixel_values", "photo_pixel_values", "input_ids", "attention_mask"]

    def drop_text(self) -> "CaanProcessor":
        """Remove the tokenizer, which retrieval does not need, in place. Returns the processor."""
        self.tokenizer = None
        return self

    @classmethod
    def get_attributes(cls) -> list[str]:
        """Names of the sub-processors."""
        return ["image_processor", "tokenizer"]

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        """Check the type of a sub-processor, as in the base class, but allow a missing tokenizer."""
        if argument_name == "tokenizer" and argument is None:
            return None
        return super().check_argument_for_proper_class(argument_name, argument)

    def save_pretrained(self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any) -> Any:
        """Save the processor, as in the base class, but without tokenizer files if there is no tokenizer."""
        if self.tokenizer is None:
            self.get_attributes = lambda: ["image_processor"]  # type: ignore[method-assign]
        try:
            return super().save_pretrained(save_directory, push_to_hub, **kwargs)
        finally:
            self.__dict__.pop("get_attributes", None)

    @classmethod
    def _load_tokenizer_from_pretrained(
        cls, sub_processor_type: str, pretrained_model_name_or_path: str, subfolder: str = "", **kwargs: Any
    ) -> Any:
        """Load the tokenizer. Returns None if the folder or repository has no tokenizer."""
        where = {name: kwargs[name] for name in ("revision", "token", "cache_dir") if name in kwargs}
        found = cached_file(
            pretrained_model_name_or_path,
            TOKENIZER_CONFIG,
            local_files_only=kwargs.get("local_files_only", False),
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            subfolder=subfolder,
            **where,
        )
        if found is None:
            return None
        return super()._load_tokenizer_from_pretrained(
            sub_processor_type, pretrained_model_name_or_path, subfolder, **kwargs
        )


def _savable(image_processor: Any) -> Any:
    """Replace timm's image processor, which cannot be saved, by one with the same size and normalisation."""
    vars(image_processor).pop("auto_map", None)  # names code in the repository that it comes from
    data_config = getattr(image_processor, "data_config", None)
    if data_config is None:
        return image_processor
    height, width = data_config["input_size"][-2:]
    return ViTImageProcessor(
        size={"height": height, "width": width},
        resample=Image.Resampling[data_config["interpolation"].upper()],
        image_mean=list(data_config["mean"]),
        image_std=list(data_config["std"]),
    )


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


__all__ = ["CaanProcessor"]
