"""CAAN model: sketch and photo towers that are aligned with text in training and used without text for retrieval."""

import copy
import dataclasses
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from .alignment_caan import CaanAlignment, CaanVisualAlignment
from .arguments_caan import check_arguments, check_step
from .category_losses_caan import CaanTextContrast, category_images, category_losses
from .configuration_caan import CaanConfig
from .features_caan import (
    CaanCenter,
    CaanHubBank,
    CaanLocalTokens,
    CaanPatchTokens,
    CaanWhitening,
    normalized,
    sentence_mean,
)
from .local_matching_caan import CaanLateInteraction, CaanLocalMatching, CaanRelationNetwork, inked_regions
from .loss_caan import distillation_loss, is_distributed, matching_losses, text_loss, weighted_sum
from .outputs_caan import CaanImageFeatures, CaanOutput, CaanTextFeatures
from .towers_caan import (
    build_tower,
    checkpoint_tower,
    default_local_grid,
    encode_image,
    freeze_first_layers,
    freeze_unused,
    inherited_settings,
    load_tower,
    native_image_size,
    tower_width,
)


class CaanModel(PreTrainedModel):
    """Cross-Modal Attention Alignment Network (arXiv 2407.00979) for zero-shot sketch-based image retrieval.

    Args:
        config ([`CaanConfig`]): Configuration of the towers, the alignment, the relation network and the losses.

    Raises:
        ValueError: If the visual towers have different widths and `projection_dim` is not set, or `local_dim` of late
            interaction is larger than the width of the tokens.

    Example:
        >>> from transformers import AutoModel, AutoProcessor
        >>> import caan_hf
        >>> model = AutoModel.from_pretrained("runs/quickstart/model")
        >>> processor = AutoProcessor.from_pretrained("runs/quickstart/model")
        >>> sketch = model.get_sketch_features(**processor(sketches=["sketch.png"]))
        >>> photos = model.get_photo_features(**processor(photos=["a.jpg", "b.jpg"]))
        >>> scores = sketch.global_embeds @ photos.global_embeds.T  # (1, 2)
    """

    config: CaanConfig
    sketch_model: PreTrainedModel
    photo_model: PreTrainedModel | None
    local_tokens: CaanLocalTokens | CaanPatchTokens
    relation: CaanRelationNetwork | None
    late_interaction: CaanLateInteraction | None
    hub_bank: CaanHubBank | None
    text_model: PreTrainedModel | None
    text_projection: nn.Linear | None
    text_contrast: CaanTextContrast | None
    sketch_alignment: CaanAlignment | None
    photo_alignment: CaanAlignment | None
    visual_alignment: CaanVisualAlignment | None

    config_class = CaanConfig
    base_model_prefix = "caan"
    main_input_name = "sketch_pixel_values"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # the Trainer divides the loss by its accumulation steps
    _supports_sdpa = True
    _supports_attention_backend = True
    # `from_pretrained` with `text_config=None` loads a training checkpoint for retrieval, without these weights.
    _keys_to_ignore_on_load_unexpected = [  # noqa: RUF012
        r"^text_model\.",
        r"^text_projection\.",
        r"^text_contrast\.",
        r"^(sketch|photo|visual)_alignment\.",
    ]

    def __init__(self, config: CaanConfig):
        super().__init__(config)
        self.sketch_model = build_tower(config.sketch_config)
        self.photo_model = None if config.tie_visual_towers else build_tower(config.photo_config)
        sketch_width, photo_width = tower_width(self.sketch_model), tower_width(self._photo_tower())
        if config.projection_dim is None and sketch_width != photo_width:
            raise ValueError(
                f"The sketch tower is {sketch_width} wide and the photo tower {photo_width}. Set projection_dim."
            )
        project = config.projection_dim is not None
        width = config.projection_dim or sketch_width
        self.sketch_projection = nn.Linear(sketch_width, width) if project else nn.Identity()
        self.photo_projection = nn.Linear(photo_width, width) if project else nn.Identity()
        self.sketch_center = CaanCenter(width) if config.center_features else nn.Identity()
        self.photo_center = CaanCenter(width) if config.center_features else nn.Identity()
        self.whitening = CaanWhitening(width) if config.whitening else nn.Identity()
        self.hub_bank = CaanHubBank(config.hub_bank_size, width) if config.hub_bank_size else None
        self.relation = self.late_interaction = None
        if config.local_matching == "relation":
            self.local_tokens = CaanLocalTokens(config, width)
            self.relation = CaanRelationNetwork(config)
        else:
            if config.local_dim is not None and config.local_dim > width:
                raise ValueError(f"local_dim must be at most the width of the tokens, {width}, got {config.local_dim}.")
            self.local_tokens = CaanPatchTokens(config, width)
            self.late_interaction = CaanLateInteraction(config)
        self.text_model = self.text_projection = self.text_contrast = None
        self.sketch_alignment = self.photo_alignment = None
        self.visual_alignment = CaanVisualAlignment(config, width) if config.alignment == "visual" else None
        if config.text_config is not None:
            self.text_model = build_tower(config.text_config)
            self.text_projection = nn.Linear(tower_width(self.text_model), width)
            self.sketch_alignment = CaanAlignment(config, width)
            self.photo_alignment = CaanAlignment(config, width)
            if config.lambda_txt and config.text_negatives == "all":
                self.text_contrast = CaanTextContrast(config)
        self._freeze()
        self.post_init()

    @classmethod
    def from_backbones(
        cls,
        vision: str | None = None,
        text: str | None = None,
        *,
        sketch: str | None = None,
        photo: str | None = None,
        **config: Any,
    ) -> "CaanModel":
        """Create a model with pretrained towers and a new alignment and relation network, in evaluation mode.

        Args:
            vision: Hub id or folder of the encoder for both modalities, or of a CAAN model, whose towers are then
                trained further.
            text: Hub id or folder of the text encoder. `None` creates a model without text.
            sketch: Hub id or folder of the sketch encoder, instead of `vision`.
            photo: Hub id or folder of the photo encoder, instead of `vision`.
            **config: Fields of [`CaanConfig`]. `image_size` defaults to that of the CAAN model or of the photo tower,
                `local_grid` to half its patch grid. The training data of a CAAN model are recorded as the new model's.

        Raises:
            ValueError: If a visual encoder is missing, tied towers have two encoders, or `lambda_txt` has no text.
            TypeError: If `CaanConfig` does not have a field.
        """
        sketch, photo = sketch or vision, photo or vision
        if sketch is None or photo is None:
            raise ValueError("The visual encoder is missing. Give vision, or both sketch and photo.")
        unknown = config.keys() - {field.name for field in dataclasses.fields(CaanConfig)} - {"attn_implementation"}
        if unknown:
            raise TypeError(f"CaanConfig has no field {', '.join(sorted(unknown))}.")
        tied = config.get("tie_visual_towers", False)
        if tied and sketch != photo:
            raise ValueError(f"tie_visual_towers requires one encoder for both modalities, got {sketch} and {photo}.")
        if text is None and config.get("lambda_txt"):
            raise ValueError("lambda_txt requires a text tower. Give text, or set lambda_txt to 0.")
        config = inherited_settings(sketch, photo) | config
        photo_model = load_tower(photo, "photo", config.get("image_size"))
        config.setdefault("image_size", native_image_size(photo_model))
        sketch_model = photo_model if tied else load_tower(sketch, "sketch", config["image_size"])
        text_model = load_tower(text, "text") if text is not None else None
        if "local_grid" not in config:
            config["local_grid"] = default_local_grid(photo_model, config["image_size"])
        model = cls(
            CaanConfig(
                sketch_config=copy.deepcopy(sketch_model.config),
                photo_config=photo_model.config,
                text_config=text_model.config if text_model is not None else None,
                **config,
            )
        )
        towers = (model.sketch_model, sketch_model), (model.photo_model, photo_model), (model.text_model, text_model)
        for tower, pretrained in towers:
            if tower is not None and pretrained is not None:
                tower.load_state_dict(pretrained.state_dict())
        return model.eval()

    @check_arguments
    def get_sketch_features(self, pixel_values: torch.Tensor) -> CaanImageFeatures:
        """Compute the features of sketches (B, 3, H, W) for retrieval, without text."""
        return self._features(*self._sketch_tokens(pixel_values), "sketch", sketches=pixel_values)

    @check_arguments
    def get_photo_features(self, pixel_values: torch.Tensor) -> CaanImageFeatures:
        """Compute the features of photos (B, 3, H, W) for retrieval, without text."""
        return self._features(*self._photo_tokens(pixel_values), "photo")

    @check_arguments
    def get_text_features(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> CaanTextFeatures:
        """Compute the features of sentences (B, L), with `attention_mask` (B, L) 1 at tokens and 0 at padding.

        `text_embeds` are in the space of the global features before centring, with which L_txt compares them. To search
        centred features (`center_features`) with a text, subtract the mean text embedding of the training categories,
        as `TextEncoder` does, and apply the module `whitening`.

        Raises:
            ValueError: If the model has no text tower.
        """
        tokens, mask = self._sentence_tokens(input_ids, attention_mask)
        return CaanTextFeatures(text_embeds=sentence_mean(tokens, mask), last_hidden_state=tokens)

    def encode_text(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Compute the text tower's tokens (B, L, T) before projection, which are constant if the tower is frozen.

        Raises:
            ValueError: If the model has no text tower.
        """
        text_model, _ = self._text_tower()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_text):
            return text_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    @property
    def local_shape(self) -> tuple[int, int]:
        """Number M and width R of the local tokens of an image."""
        return self.config.num_local_tokens, self.local_tokens.width

    @property
    def local_matching(self) -> CaanLocalMatching:
        """The relation network, or late interaction."""
        matching = self.late_interaction if self.relation is None else self.relation
        assert matching is not None
        return matching

    def get_local_scores(self, sketch_local_embeds: torch.Tensor, photo_local_embeds: torch.Tensor) -> torch.Tensor:
        """Compute the local scores (S, P) of all sketches (S, M, R) and photos (P, M, R) in bounded memory.

        The relation network returns logits, late interaction scores of at most 1.
        """
        return self.local_matching(self._as_stored(sketch_local_embeds), self._as_stored(photo_local_embeds))

    def get_paired_local_scores(
        self, sketch_local_embeds: torch.Tensor, photo_local_embeds: torch.Tensor
    ) -> torch.Tensor:
        """Compute the local scores (B, K) of each sketch (B, M, R) with its own K photos (B, K, M, R)."""
        matching = self.local_matching
        return matching.score_candidates(self._as_stored(sketch_local_embeds), self._as_stored(photo_local_embeds))

    def _as_stored(self, local_embeds: torch.Tensor) -> torch.Tensor:
        """Convert stored local embeddings, which may have another precision, to the precision of the weights."""
        return local_embeds.to(next(self.local_matching.parameters()).dtype)

    @check_arguments
    def forward(
        self,
        sketch_pixel_values: torch.Tensor | None = None,
        photo_pixel_values: torch.Tensor | None = None,
        category_ids: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        text_hidden_states: torch.Tensor | None = None,
        photo_targets: torch.Tensor | None = None,
        instance_ids: torch.Tensor | None = None,
        unpaired_sketch_pixel_values: torch.Tensor | None = None,
        unpaired_photo_pixel_values: torch.Tensor | None = None,
        unpaired_category_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
    ) -> CaanOutput | CaanImageFeatures:
        """Compute the losses of B sketches and N photos or, given only `pixel_values`, the features of photos.

        In training mode under `torch.distributed`, the losses compare the sketches, photos and sentences of all
        processes. All processes must then have the same B and N.

        Args:
            sketch_pixel_values: Sketches (B, 3, H, W).
            photo_pixel_values: Photos (N, 3, H, W): the B photos+ in the order of the sketches, then the B photos-. The
                photos- are optional unless `negatives="sampled"`.
            category_ids: Categories (N,) of the photos. Without them no loss is computed.
            input_ids: Token ids (N, L) of one sentence per photo. A sketch is aligned with the sentence of its photo+.
            attention_mask: Mask (N, L), 1 at tokens and 0 at padding. The default is no padding.
            text_hidden_states: Output (N, L, T) of `encode_text` for the sentences, instead of `input_ids`.
            photo_targets: Target features (N, D) of the distillation loss; (N + V, D) with unpaired photos.
            instance_ids: Numbers (B + N,) of the photos that the B sketches were drawn from, -1 if unknown, then
                numbers of the N photos. The instance loss requires them.
            unpaired_sketch_pixel_values: Sketches (U, 3, H, W) without photos, for the losses of `lambda_mod` and, with
                `text_negatives="all"`, of `lambda_txt`.
            unpaired_photo_pixel_values: Photos (V, 3, H, W) without sketches, for the same losses.
            unpaired_category_ids: Categories (U + V,) of the unpaired sketches, then of the unpaired photos.
            pixel_values: Photos (N, 3, H, W), instead of all other arguments. Pipelines call models in this way.

        Returns:
            [`CaanOutput`] with the losses and features, or the [`CaanImageFeatures`] of `pixel_values`.

        Raises:
            TypeError: If an argument is unknown.
            ValueError: If inputs are missing, mutually exclusive, or do not match in number.
        """
        named = {
            "category_ids": category_ids,
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "text_hidden_states": text_hidden_states,
            "photo_targets": photo_targets,
        }
        photo_inputs = {name: value for name, value in named.items() if value is not None}
        unpaired = (unpaired_sketch_pixel_values, unpaired_photo_pixel_values, unpaired_category_ids)
        if pixel_values is not None:
            others = (sketch_pixel_values, photo_pixel_values, *photo_inputs.values(), instance_ids, *unpaired)
            if any(value is not None for value in others):
                raise ValueError("pixel_values, for photos alone, cannot be combined with other inputs.")
            return self.get_photo_features(pixel_values)
        if sketch_pixel_values is None or photo_pixel_values is None:
            raise ValueError("Give sketch_pixel_values and photo_pixel_values, or pixel_values for photos alone.")
        batch, photos = len(sketch_pixel_values), len(photo_pixel_values)
        check_step(self.config, batch, photos, photo_inputs, unpaired, instance_ids, self.training)
        all_sketches = _joined(sketch_pixel_values, unpaired_sketch_pixel_values)
        all_photos = _joined(photo_pixel_values, unpaired_photo_pixel_values)
        sketch_tokens, sketch_grid = self._sketch_tokens(all_sketches)
        photo_tokens, photo_grid = self._photo_tokens(all_photos)
        plain_sketch, plain_photo = sketch_tokens[:, 0], photo_tokens[:, 0]  # before alignment
        sketch_tokens, photo_tokens = sketch_tokens[:batch], photo_tokens[:photos]
        sentences = text_hidden_states if input_ids is None else input_ids
        text_embeds = None
        if sentences is not None:
            text, mask = self._sentence_tokens(sentences, attention_mask)
            text_embeds = sentence_mean(text, mask)
            sketch_tokens, photo_tokens = self._align(sketch_tokens, photo_tokens, text, mask)
        elif self.visual_alignment is not None:
            # 2 B sketches: aligned with their photo+, then with their photo-
            sketch_tokens, photo_tokens = self.visual_alignment(sketch_tokens.repeat(2, 1, 1), photo_tokens)
            sketch_pixel_values = sketch_pixel_values.repeat(2, 1, 1, 1)
        sketch = self._features(sketch_tokens, sketch_grid, sketches=sketch_pixel_values)
        photo = self._features(photo_tokens, photo_grid)
        first = CaanImageFeatures(*(rows[:batch] for rows in sketch.to_tuple()))
        if category_ids is None:
            return CaanOutput(sketch_features=first, photo_features=photo)
        gather = self.training and is_distributed()
        losses, scores = matching_losses(
            self.config, self.local_matching, sketch, photo, category_ids, instance_ids, gather=gather
        )
        plain = category_images(plain_sketch, plain_photo, category_ids, unpaired_category_ids, batch)
        losses |= category_losses(self.config, *plain, self.text_contrast, self.text_projection, gather)
        if self.text_contrast is None and self.config.lambda_txt and text_embeds is not None:
            images = normalized(plain_sketch[:batch]), normalized(plain_photo[:photos])
            losses["loss_txt"] = text_loss(self.config, *images, text_embeds, category_ids, gather)
        if self.config.lambda_dis and photo_targets is not None:
            losses["loss_dis"] = distillation_loss(plain_photo, photo_targets)
        loss = weighted_sum(self.config, losses)
        return CaanOutput(loss=loss, **losses, local_scores=scores, sketch_features=first, photo_features=photo)

    def drop_text(self) -> "CaanModel":
        """Remove the parts that only training needs (text tower, alignment), in place. Returns the model."""
        self.text_model = self.text_projection = self.sketch_alignment = self.photo_alignment = None
        self.visual_alignment = self.text_contrast = None
        self.config.text_config, self.config.alignment = None, "text"
        return self

    def train(self, mode: bool = True) -> "CaanModel":
        """Set the training mode, as in torch, but keep a frozen text tower, and its dropout, in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        """Freeze what is not trained. `from_pretrained`, which calls `eval`, loads all parameters as trainable."""
        for tower in (self.sketch_model, self.photo_model, self.text_model):
            if tower is not None:
                freeze_unused(tower)
        freeze_first_layers(self.sketch_model, self.config.sketch_frozen_layers)
        freeze_first_layers(self._photo_tower(), self.config.photo_frozen_layers)
        if isinstance(self.local_tokens, CaanPatchTokens):
            self.local_tokens.requires_grad_(False)  # measured after training
        if self.late_interaction is not None and not self.config.trains_late_interaction:
            self.late_interaction.requires_grad_(False)
        if self.text_model is not None and self.config.freeze_text:
            self.text_model.requires_grad_(False).eval()

    def _text_tower(self) -> tuple[nn.Module, nn.Module]:
        """Return the text tower and its projection."""
        if self.text_model is None or self.text_projection is None:
            raise ValueError("The model has no text tower, since it is for retrieval. Load the training checkpoint.")
        return self.text_model, self.text_projection

    def _photo_tower(self) -> PreTrainedModel:
        return self.sketch_model if self.photo_model is None else self.photo_model

    def _sketch_tokens(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        tokens, grid = encode_image(self.sketch_model, pixel_values.to(self.dtype))
        return self.sketch_projection(tokens), grid

    def _photo_tokens(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        tokens, grid = encode_image(self._photo_tower(), pixel_values.to(self.dtype))
        return self.photo_projection(tokens), grid

    def _sentence_tokens(
        self, sentences: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Projected tokens (N, L, D) and mask (N, L) of sentences: ids (N, L) or text tower outputs (N, L, T)."""
        _, projection = self._text_tower()
        if attention_mask is None:
            attention_mask = torch.ones(sentences.shape[:2], dtype=torch.long, device=sentences.device)
        tokens = sentences if sentences.ndim == 3 else self.encode_text(sentences, attention_mask)
        return projection(tokens.to(self.dtype)), attention_mask

    def _features(
        self,
        tokens: torch.Tensor,
        grid: tuple[int, int],
        modality: Literal["sketch", "photo"] | None = None,
        *,
        sketches: torch.Tensor | None = None,
    ) -> CaanImageFeatures:
        """Compute the features of tokens (B, 1 + h * w, D) of a tower, which may be aligned.

        Args:
            tokens: Tokens.
            grid: Height and width of the grid of the patches.
            modality: Modality whose means retrieval subtracts. None in training, which does not subtract them.
            sketches: Pixel values (B, 3, H, W) of sketches, in which the local tokens of late interaction need ink.
        """
        global_embeds = normalized(tokens[:, 0])
        if modality is not None:
            center = self.sketch_center if modality == "sketch" else self.photo_center
            global_embeds = self.whitening(center(global_embeds))
        if isinstance(self.local_tokens, CaanLocalTokens):
            local = self.local_tokens(tokens[:, 1:], grid)
        else:
            means = {"sketch": self.local_tokens.sketch_mean, "photo": self.local_tokens.photo_mean, None: None}
            inked = None if sketches is None else inked_regions(sketches, self.config.local_grid)
            local = self.local_tokens(tokens[:, 1:], grid, means[modality], inked)
        return CaanImageFeatures(global_embeds=global_embeds, local_embeds=local, last_hidden_state=tokens)

    def _align(
        self, sketch_tokens: torch.Tensor, photo_tokens: torch.Tensor, text: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Align sketch tokens (B, ...) and photo tokens (N, ...) with their sentences (N, L, D)."""
        assert self.sketch_alignment is not None and self.photo_alignment is not None  # as the text tower exists
        batch, photos = sketch_tokens.shape[0], photo_tokens.shape[0]
        aligned_sketch = self.sketch_alignment(sketch_tokens, text[:batch], attention_mask[:batch])
        aligned_photo = self.photo_alignment(photo_tokens, text, attention_mask)
        if not self.training or self.config.text_dropout == 0:
            return aligned_sketch, aligned_photo
        # Dropped samples are aligned too, so that each parameter has a gradient in every step, as DDP requires.
        dropped = torch.rand(batch, 1, 1, device=text.device) < self.config.text_dropout
        photo_dropped = dropped.repeat(photos // batch, 1, 1)  # all images of a triplet are dropped together
        return (
            torch.where(dropped, sketch_tokens, aligned_sketch),
            torch.where(photo_dropped, photo_tokens, aligned_photo),
        )

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, (CaanRelationNetwork, CaanLateInteraction, CaanTextContrast)):
            module.reset()
        elif isinstance(module, CaanWhitening):
            init.eye_(module.matrix)
        elif isinstance(module, (CaanCenter, CaanHubBank, CaanPatchTokens)):
            for measured in module.buffers(recurse=False):
                init.zeros_(measured)

    def _set_gradient_checkpointing(self, enable: bool = True, *args: Any, **kwargs: Any) -> None:
        for tower in {self.sketch_model, self._photo_tower()}:
            checkpoint_tower(tower, enable)
        if any(hasattr(module, "gradient_checkpointing") for module in self.modules()):
            super()._set_gradient_checkpointing(enable, *args, **kwargs)


def _joined(images: torch.Tensor, more: torch.Tensor | None) -> torch.Tensor:
    return images if more is None else torch.cat([images, more])


__all__ = ["CaanModel"]
