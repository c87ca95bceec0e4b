"""Processor of CAAN: sketches, photos and sentences to tensors, the same way in training, evaluation and search."""

from collections.abc import Sequence

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, ViTImageProcessor
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin
from transformers.utils import cached_file

from .images_caan import clean_photo, clean_sketch

TOKENIZER_CONFIG = "tokenizer_config.json"


class CaanProcessor(ProcessorMixin):
    """Turns pictures of any mode and sentences into what [`CaanModel`] takes.

    Sketches are cropped to their ink, centred and padded to a white square; photos are turned upright and flattened
    onto white. Both are then resized and normalised by `image_processor`.

    Args:
        image_processor: A stock image processor, used for both modalities.
        tokenizer (*optional*): Tokenizer of the text tower; retrieval does without.
        sketch_margin (`float`, defaults to 0.08): White margin around a sketch, as a share of its longer side.
        max_text_length (`int`, defaults to 77): Longest sentence, in tokens; the rest is cut off.
    """

    def __init__(self, image_processor=None, tokenizer=None, sketch_margin=0.08, max_text_length=77):
        self.sketch_margin = sketch_margin
        self.max_text_length = max_text_length
        super().__init__(image_processor, tokenizer)

    @classmethod
    def from_backbones(cls, vision: str, text: str | None = None, *, image_size: int | None = None, **kwargs):
        """Processor for a model of these backbones (Hub ids or folders) at `image_size` pixels a side."""
        tokenizer = AutoTokenizer.from_pretrained(text, trust_remote_code=False) if text is not None else None
        image_processor = AutoImageProcessor.from_pretrained(vision, trust_remote_code=False)
        processor = cls(_stock(image_processor), tokenizer, **kwargs)
        return processor if image_size is None else processor.at_size(image_size)

    def at_size(self, image_size: int) -> "CaanProcessor":
        """Sets the height and width of what comes out, in pixels, in place; returns the processor."""
        square = {"height": image_size, "width": image_size}
        self.image_processor.size = type(self.image_processor.size)(**square)
        if getattr(self.image_processor, "crop_size", None):
            self.image_processor.crop_size = type(self.image_processor.crop_size)(**square)
        return self

    def __call__(self, sketches=None, photos=None, texts=None, images=None, **_) -> BatchFeature:
        """Processes any of the three.

        Args:
            sketches: One or a list of paths, PIL images or arrays (see [`images_caan.open_image`]).
            photos: Likewise.
            texts: One or a list of sentences.
            images: Another name of `photos`, the one that pipelines use.

        Returns:
            `pixel_values` (B, 3, H, W) for sketches or photos alone, `sketch_pixel_values` and `photo_pixel_values` for
            both; `input_ids` and `attention_mask` (B, L) for texts.

        Raises:
            ValueError: For a picture that cannot be read, a blank sketch, texts without a tokenizer, or no input.
        """
        photos = images if photos is None else photos
        if sketches is None and photos is None and texts is None:
            raise ValueError("give at least one of sketches=, photos= and texts=")
        for name, given in (("sketches", sketches), ("photos", photos), ("texts", texts)):
            if given is not None and not _as_list(given):
                raise ValueError(f"{name}= is empty: give at least one")
        data = {}
        if sketches is not None:
            data["sketch_pixel_values"] = self.to_pixel_values([self.clean_sketch(s) for s in _as_list(sketches)])
        if photos is not None:
            data["photo_pixel_values"] = self.to_pixel_values([self.clean_photo(p) for p in _as_list(photos)])
        if sketches is None or photos is None:
            data = dict(zip(["pixel_values"], data.values(), strict=False))
        if texts is not None:
            data.update(self.tokenize(texts))
        return BatchFeature(data)

    def clean_sketch(self, image, name: str | None = None) -> Image.Image:
        """A sketch as dark lines in the middle of a white square, in RGB, of any size."""
        return clean_sketch(image, self.sketch_margin, name)

    def clean_photo(self, image, name: str | None = None) -> Image.Image:
        """A photo upright in RGB, of any size."""
        return clean_photo(image, name)

    def to_pixel_values(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Clean RGB images to a tensor (B, 3, H, W), resized and normalised."""
        return self.image_processor(list(images), return_tensors="pt")["pixel_values"]

    def tokenize(self, texts: str | Sequence[str]) -> dict[str, torch.Tensor]:
        """Sentences to `input_ids` and `attention_mask` (B, L), padded to the longest."""
        if self.tokenizer is None:
            raise ValueError("this processor has no tokenizer: it was saved for retrieval, which needs no text")
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
        """Removes the tokenizer, in place; returns the processor for retrieval."""
        self.tokenizer = None
        return self

    @classmethod
    def get_attributes(cls):
        """The parts that are processors of their own."""
        return ["image_processor", "tokenizer"]

    def check_argument_for_proper_class(self, argument_name, argument):
        """As in the base class, but the tokenizer may be missing."""
        if argument_name == "tokenizer" and argument is None:
            return None
        return super().check_argument_for_proper_class(argument_name, argument)

    def save_pretrained(self, save_directory, push_to_hub: bool = False, **kwargs):
        """As in the base class; without a tokenizer no tokenizer files are written."""
        if self.tokenizer is not None:
            return super().save_pretrained(save_directory, push_to_hub, **kwargs)
        self.get_attributes = lambda: ["image_processor"]  # the base class saves every part that it is told of
        try:
            return super().save_pretrained(save_directory, push_to_hub, **kwargs)
        finally:
            del self.get_attributes

    @classmethod
    def _load_tokenizer_from_pretrained(cls, sub_processor_type, pretrained_model_name_or_path, **kwargs):
        where = {name: kwargs[name] for name in ("revision", "token", "cache_dir", "subfolder") if name in kwargs}
        found = cached_file(
            pretrained_model_name_or_path,
            TOKENIZER_CONFIG,
            local_files_only=kwargs.get("local_files_only", False),
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            **where,
        )
        if found is None:
            return None
        return super()._load_tokenizer_from_pretrained(sub_processor_type, pretrained_model_name_or_path, **kwargs)


def _stock(image_processor):
    """timm's image processor refuses to be saved: one that resizes and normalises the same way takes its place."""
    given = getattr(image_processor, "data_config", None)
    if given is None:
        return image_processor
    height, width = given["input_size"][-2:]
    return ViTImageProcessor(
        size={"height": height, "width": width},
        resample=Image.Resampling[given["interpolation"].upper()],
        image_mean=list(given["mean"]),
        image_std=list(given["std"]),
    )


def _as_list(value) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


__all__ = ["CaanProcessor"]
