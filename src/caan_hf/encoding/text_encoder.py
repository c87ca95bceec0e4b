"""Sentences as queries: the text side of a model, which lies beside the model for retrieval in the folder `text`.

Retrieval by sketches does not need it. It holds the text projection that was trained, and names the frozen text tower,
which is only loaded here; a tower that has no name lies beside it.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from transformers import AutoTokenizer, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from caan_hf.errors import CaanError, one_line
from caan_hf.features_caan import sentence_mean
from caan_hf.limits_caan import MAX_NUMBER
from caan_hf.modeling_caan import CaanModel
from caan_hf.processing_caan import CaanProcessor
from caan_hf.towers_caan import load_tower
from caan_hf.utils.download import download
from caan_hf.utils.files import check_regular, is_folder, writing
from caan_hf.utils.installation import install_command
from caan_hf.utils.records import MAX_BYTES, Record

from .encoder import NEEDS_TEXT
from .features import Array
from .model_files import check_model_files
from .torch_encoder import quiet_loading
from .towers import PACKAGE, PACKAGED, locate_tower

TEXT_FOLDER = "text"
SETTINGS, WEIGHTS, TOWER = "text.json", "text.safetensors", "tower"
TOWER_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
NAMED = rf"^({PACKAGE})?\w[\w.-]*(/\w[\w.-]*)*$"
Sentences = str | Sequence[str]


class TextSettings(Record):
    """The contents of `text.json`.

    Attributes:
        tower: Hub id of the text tower, or `package:NAME/FOLDER`; None for a tower in the folder `tower`.
        max_text_length: Maximum number of tokens per sentence.
    """

    tower: Annotated[str, Field(pattern=NAMED)] | None
    max_text_length: Annotated[int, Field(ge=1, le=MAX_NUMBER)]


def has_text_side(model_folder: Path) -> bool:
    """Whether a model was saved with its text side."""
    return (model_folder / TEXT_FOLDER / SETTINGS).is_file()


def _available_tower(tower: str, folder: Path) -> str:
    """The folder of a named text tower: in an installed package if one has it, otherwise downloaded from the Hub."""
    name = f"{folder / SETTINGS}: tower"
    packaged = PACKAGED.get(tower)
    if packaged is not None:
        with suppress(CaanError):  # the package is not installed
            return locate_tower(packaged, name)
    place = locate_tower(tower, name)
    if is_folder(place):
        return place
    try:
        return str(download(place, patterns=TOWER_FILES))
    except CaanError as error:
        remedy = "Search by a sketch without words"
        remedy += f", or install the text tower: {install_command('minilm')}" if packaged else "."
        raise CaanError(f"{folder}: the text tower is not available. {error} {remedy}") from error


class TextEncoder:
    """Encodes sentences in the space of the global embeddings of sketches and photos before whitening.

    Args:
        tower: Frozen text tower.
        tokenizer: Its tokenizer.
        projection: Projection that training gave the tower.
        center: Mean (D,) of the embeddings of the training categories, which is subtracted as for images; zeros for a
            model without `center_features`.
        settings: Maximum length of a sentence, and the name of the tower.
    """

    def __init__(
        self,
        tower: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        projection: nn.Linear,
        center: torch.Tensor,
        settings: TextSettings,
    ):
        self.tower = tower.eval()
        self.tokenizer = tokenizer
        self.projection = projection
        self.center = center
        self.settings = settings

    @classmethod
    def of_model(cls, model: CaanModel, processor: CaanProcessor, tower: str | None) -> "TextEncoder":
        """The text side of a model in training, whose category sentences are set.

        Args:
            model: The model.
            processor: Its processor.
            tower: Hub id or `package:NAME/FOLDER` of the text tower; None saves the tower itself.
        """
        contrast, projection = model.text_contrast, model.text_projection
        assert contrast is not None and projection is not None and model.text_model is not None
        was_training = contrast.training
        with torch.inference_mode():
            embeds, has_text = contrast.eval().category_embeds(projection)
            center = embeds[has_text].mean(dim=0) * float(model.config.center_features)
        contrast.train(was_training)
        settings = TextSettings(tower=tower, max_text_length=processor.max_text_length)
        return cls(model.text_model, processor.tokenizer, projection, center, settings)

    @classmethod
    def load(cls, model_folder: Path) -> "TextEncoder":
        """Load the text side of a model, on the CPU.

        Raises:
            CaanError: The model was trained without it, it is damaged, or the tower is not available.
        """
        folder = model_folder / TEXT_FOLDER
        if not has_text_side(model_folder):
            raise CaanError(f"{model_folder}: no folder {TEXT_FOLDER}, so it cannot encode text. {NEEDS_TEXT}")
        settings = TextSettings.read(folder / SETTINGS, NEEDS_TEXT)
        if settings.tower is None:
            check_model_files(folder / TOWER)
            place = str(folder / TOWER)
        else:
            place = _available_tower(settings.tower, folder)
        try:
            check_regular(folder / WEIGHTS, MAX_BYTES, NEEDS_TEXT)
            weights = load_file(folder / WEIGHTS)
            width, text_width = weights["weight"].shape
            projection = nn.Linear(text_width, width)
            projection.load_state_dict({name: weights[name].float() for name in ("weight", "bias")})
            with quiet_loading():
                tower = load_tower(place, "text")
            tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
            encoder = cls(tower, tokenizer, projection, weights["center"].float(), settings)
            if not np.isfinite(encoder.encode(["a photo"])).all():
                raise ValueError("its embeddings hold NaN or infinity")
        except (OSError, ValueError, LookupError, RuntimeError, SafetensorError) as error:
            raise CaanError(f"{folder}: cannot be loaded ({one_line(error)}). {NEEDS_TEXT}") from error
        return encoder

    def save(self, model_folder: Path) -> None:
        """Save the text side beside a model that has none yet.

        Raises:
            CaanError: The folder cannot be written.
        """
        folder = model_folder / TEXT_FOLDER
        with writing(folder):
            folder.mkdir()
            weights = {"weight": self.projection.weight, "bias": self.projection.bias, "center": self.center}
            save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, folder / WEIGHTS)
            if self.settings.tower is None:
                self.tower.save_pretrained(folder / TOWER)
                self.tokenizer.save_pretrained(folder / TOWER)
            (folder / SETTINGS).write_text(self.settings.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @torch.inference_mode()
    def encode(self, queries: Sequence[Sentences], *, batch_size: int = 64) -> Array:
        """Encode queries.

        Args:
            queries: Q sentences, or several sentences for a query, whose mean embedding it then has.
            batch_size: Number of sentences that are encoded at a time.

        Returns:
            (Q, D) float32 on the CPU, L2-normalised and centred like the embeddings of sketches and photos.
        """
        grouped = [[query] if isinstance(query, str) else list(query) for query in queries]
        sentences = [sentence for group in grouped for sentence in group]
        embeds = torch.cat([self._plain(sentences[i : i + batch_size]) for i in range(0, len(sentences), batch_size)])
        groups = embeds.split([len(group) for group in grouped])
        means = F.normalize(torch.stack([group.mean(dim=0) for group in groups]), dim=-1)
        return np.asarray(F.normalize(means - self.center, dim=-1).cpu().numpy(), dtype=np.float32)

    def _plain(self, sentences: list[str]) -> torch.Tensor:
        """Embeddings (B, D) before centring, as `CaanModel.get_text_features` computes them."""
        length = self.settings.max_text_length
        encoded = self.tokenizer(sentences, padding=True, truncation=True, max_length=length, return_tensors="pt")
        inputs = {name: encoded[name].to(self.tower.device) for name in ("input_ids", "attention_mask")}
        tokens = self.projection(self.tower(**inputs).last_hidden_state)
        return sentence_mean(tokens, inputs["attention_mask"]).float()
