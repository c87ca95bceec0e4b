"""From section `model` of a recipe to a model and its processor."""

from typing import Any

from huggingface_hub import is_offline_mode
from huggingface_hub.errors import StrictDataclassClassValidationError, StrictDataclassError
from safetensors import SafetensorError
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, ViTImageProcessor

from caan_hf.configuration_caan import CaanConfig
from caan_hf.encoding.towers import locate_tower
from caan_hf.errors import CaanError, one_line
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor

from .recipe import DataSection, ModelSection

# Raised by transformers for an encoder that it cannot find, read or build, or for an inconsistent configuration.
BUILD_ERRORS = (OSError, ValueError, TypeError, RuntimeError, SafetensorError, StrictDataclassError)


def build_model(model: ModelSection, data: DataSection, sentences: list[str]) -> tuple[CaanModel, CaanProcessor]:
    """Build a model and its processor.

    Args:
        model: Towers and configuration.
        data: Settings of the processor.
        sentences: Training sentences, whose words are the vocabulary of a new text tower.

    Raises:
        CaanError: A tower cannot be found or is missing, or the configuration is inconsistent.
    """
    if model.text is None and model.config.get("lambda_txt"):
        raise CaanError("model.lambda_txt: requires a text tower. Give model.text, or set model.lambda_txt=0.")
    options = {"sketch_margin": data.sketch_margin, "max_text_length": data.max_text_length}
    try:
        if isinstance(model.vision, dict):
            return _build_untrained(model, model.vision, sentences, options)
        return _build_pretrained(model, options)
    except BUILD_ERRORS as error:
        # The cause has the message about an inconsistent configuration. The error itself adds only a validator's name.
        reason = error.__cause__ if isinstance(error, StrictDataclassClassValidationError) else error
        raise CaanError(_unavailable(model, error) or f"section model: {one_line(reason or error)}") from error


def _unavailable(model: ModelSection, error: Exception) -> str | None:
    """The message for a tower that is not there; None for other errors."""
    if not isinstance(error, OSError):
        return None
    given = {"vision": model.vision, "text": model.text, "sketch": model.sketch, "photo": model.photo}
    named = ", ".join(f"{key}={tower}" for key, tower in given.items() if isinstance(tower, str))
    reason = "HF_HUB_OFFLINE is set, and the cache lacks a file" if is_offline_mode() else one_line(error)
    remedy = "A tower may also be a folder: model.vision=FOLDER model.text=FOLDER."
    return f"section model: a tower cannot be loaded ({named}): {reason.rstrip('.')}. {remedy}"


def word_tokenizer(sentences: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of lower-case words with the vocabulary of the given sentences."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(sentences, trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"]))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")


def _build_pretrained(model: ModelSection, options: dict[str, Any]) -> tuple[CaanModel, CaanProcessor]:
    vision, text = _locate(model.vision, "vision"), _locate(model.text, "text")
    sketch, photo = _locate(model.sketch, "sketch"), _locate(model.photo, "photo")
    preprocessed_like = vision or photo
    if preprocessed_like is None or not (vision or sketch):
        raise CaanError("section model: no encoder. Give vision, or both sketch and photo.")
    caan = CaanModel.from_backbones(vision, text, sketch=sketch, photo=photo, **model.config)
    size = caan.config.image_size
    return caan, CaanProcessor.from_backbones(preprocessed_like, text, image_size=size, **options)


def _build_untrained(
    model: ModelSection, vision: dict[str, Any], sentences: list[str], options: dict[str, Any]
) -> tuple[CaanModel, CaanProcessor]:
    """Build untrained towers, which need no download."""
    if model.sketch is not None or model.photo is not None:
        raise CaanError("section model: sketch and photo cannot be combined with a new vision tower (a mapping).")
    size = model.config.get("image_size", 224)
    tokenizer, text_config = None, None
    if model.text is not None:
        if not isinstance(model.text, dict):
            raise CaanError("model.text: must be a mapping or null if vision is a new tower (a mapping).")
        tokenizer = word_tokenizer(sentences)
        text_config = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **model.text}
    vision = {"image_size": size, **vision}
    caan = CaanModel(CaanConfig(sketch_config=vision, photo_config=vision, text_config=text_config, **model.config))
    image_processor = ViTImageProcessor(size={"height": size, "width": size})
    return caan, CaanProcessor(image_processor, tokenizer, **options)


def _locate(tower: str | dict[str, Any] | None, key: str) -> str | None:
    if tower is None:
        return None
    if not isinstance(tower, str):
        raise CaanError(f"model.{key}: must be a Hub id or a folder if vision is one.")
    return locate_tower(tower, f"model.{key}")
