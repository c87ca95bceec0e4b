"""CAAN: sketch and photo towers, aligned through text in training and compared without it in retrieval."""

import copy
import dataclasses

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init

from .alignment_caan import CaanAlignment, CaanVisualAlignment
from .center_caan import CaanCenter
from .configuration_caan import CaanConfig
from .objective_caan import distillation_term, matching_terms, text_term, weighted_sum
from .outputs_caan import CaanImageFeatures, CaanOutput, CaanTextFeatures
from .relation_caan import CaanLocalTokens, CaanRelationNetwork
from .towers_caan import build_tower, encode_image, load_tower, native_image_size, patch_size, tower_width


class CaanModel(PreTrainedModel):
    """Cross-Modal Attention Alignment Network (arXiv 2407.00979) for zero-shot sketch-based image retrieval.

    Args:
        config ([`CaanConfig`]): Towers, alignment, relation network and loss weights.

    Example:
        >>> from transformers import AutoModel, AutoProcessor
        >>> import caan_hf
        >>> model = AutoModel.from_pretrained("runs/quickstart/model")
        >>> processor = AutoProcessor.from_pretrained("runs/quickstart/model")
        >>> sketch = model.get_sketch_features(**processor(sketches=["sketch.png"]))
        >>> photos = model.get_photo_features(**processor(photos=["a.jpg", "b.jpg"]))
        >>> scores = sketch.global_embeds @ photos.global_embeds.T  # (1, 2)
    """

    config_class = CaanConfig
    base_model_prefix = "caan"
    main_input_name = "sketch_pixel_values"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # the Trainer divides the loss by its accumulation steps
    _supports_sdpa = True
    _supports_attention_backend = True
    # A training checkpoint opens for retrieval with `text_config=None`; what only training needs is passed over.
    _keys_to_ignore_on_load_unexpected = [  # noqa: RUF012
        r"^text_model\.",
        r"^text_projection\.",
        r"^(sketch|photo|visual)_alignment\.",
    ]

    def __init__(self, config: CaanConfig):
        super().__init__(config)
        self.sketch_model = build_tower(config.sketch_config)
        self.photo_model = None if config.tie_visual_towers else build_tower(config.photo_config)
        sketch_width, photo_width = tower_width(self.sketch_model), tower_width(self._photo_tower())
        width = config.projection_dim or sketch_width
        if config.projection_dim is None and sketch_width != photo_width:
            raise ValueError(
                f"the sketch tower is {sketch_width} wide and the photo tower {photo_width}: set projection_dim"
            )
        project = config.projection_dim is not None
        self.sketch_projection = nn.Linear(sketch_width, width) if project else nn.Identity()
        self.photo_projection = nn.Linear(photo_width, width) if project else nn.Identity()
        self.sketch_center = CaanCenter(width) if config.center_features else nn.Identity()
        self.photo_center = CaanCenter(width) if config.center_features else nn.Identity()
        self.local_tokens = CaanLocalTokens(config, width)
        self.relation = CaanRelationNetwork(config)
        self.text_model = self.text_projection = self.sketch_alignment = self.photo_alignment = None
        self.visual_alignment = CaanVisualAlignment(config, width) if config.alignment == "visual" else None
        if config.text_config is not None:
            self.text_model = build_tower(config.text_config)
            self.text_projection = nn.Linear(tower_width(self.text_model), width)
            self.sketch_alignment = CaanAlignment(config, width)
            self.photo_alignment = CaanAlignment(config, width)
            self.text_model.requires_grad_(not config.freeze_text)
        self.post_init()

    @classmethod
    def from_backbones(
        cls,
        vision: str | None = None,
        text: str | None = None,
        *,
        sketch: str | None = None,
        photo: str | None = None,
        **config,
    ) -> "CaanModel":
        """A model with pretrained towers and a new alignment and relation network, in evaluation mode.

        Args:
            vision: Hub id or folder of the encoder for both modalities.
            text: Hub id or folder of the text encoder; `None` for a model without text.
            sketch: Another encoder for sketches than `vision`.
            photo: Another encoder for photos than `vision`.
            **config: Fields of [`CaanConfig`]. `image_size` defaults to the photo tower's own, `relation_grid` to half
                the patch grid.

        Raises:
            ValueError: If neither `vision` nor both `sketch` and `photo` are given, or two encoders for tied towers.
            TypeError: If `CaanConfig` has no such field.
        """
        sketch, photo = sketch or vision, photo or vision
        if sketch is None or photo is None:
            raise ValueError("give vision=, or both sketch= and photo=")
        unknown = config.keys() - {field.name for field in dataclasses.fields(CaanConfig)} - {"attn_implementation"}
        if unknown:
            raise TypeError(f"CaanConfig has no field {', '.join(sorted(unknown))}")
        tied = config.get("tie_visual_towers", False)
        if tied and sketch != photo:
            raise ValueError(f"tie_visual_towers makes one tower of two: {sketch} and {photo} cannot both be it")
        photo_model = load_tower(photo, "vision", config.get("image_size"))
        config.setdefault("image_size", native_image_size(photo_model))
        one_for_both = tied or sketch == photo
        sketch_model = photo_model if one_for_both else load_tower(sketch, "vision", config["image_size"])
        text_model = load_tower(text, "text") if text is not None else None
        if "relation_grid" not in config:
            config["relation_grid"] = _default_relation_grid(photo_model, config["image_size"])
        model = cls(
            CaanConfig(
                sketch_config=copy.deepcopy(sketch_model.config),
                photo_config=photo_model.config,
                text_config=text_model.config if text_model is not None else None,
                **config,
            )
        )
        model.sketch_model.load_state_dict(sketch_model.state_dict())
        if not tied:
            model.photo_model.load_state_dict(photo_model.state_dict())
        if text_model is not None:
            model.text_model.load_state_dict(text_model.state_dict())
        return model.eval()

    def get_sketch_features(self, pixel_values: torch.FloatTensor, **_) -> CaanImageFeatures:
        """Features of sketches (B, 3, H, W), as retrieval uses them: no text takes part."""
        return self._features(*self._sketch_tokens(pixel_values), self.sketch_center)

    def get_photo_features(self, pixel_values: torch.FloatTensor, **_) -> CaanImageFeatures:
        """Features of photos (B, 3, H, W), as retrieval uses them: no text takes part."""
        return self._features(*self._photo_tokens(pixel_values), self.photo_center)

    def get_text_features(
        self, input_ids: torch.LongTensor, attention_mask: torch.LongTensor | None = None, **_
    ) -> CaanTextFeatures:
        """Features of sentences (B, L).

        Raises:
            ValueError: If the model was saved or loaded without its text tower.
        """
        attention_mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        tokens = self.text_projection(self.encode_text(input_ids, attention_mask))  # (B, L, D)
        return CaanTextFeatures(text_embeds=_sentence_mean(tokens, attention_mask), last_hidden_state=tokens)

    def encode_text(self, input_ids: torch.LongTensor, attention_mask: torch.LongTensor) -> torch.FloatTensor:
        """Tokens (B, L, T) of the text tower before projection; of a frozen tower they may be computed once."""
        if self.text_model is None:
            raise ValueError("this model has no text tower: it is for retrieval; load the training checkpoint instead")
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_text):
            return self.text_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    def get_relation_logits(
        self, sketch_local_embeds: torch.FloatTensor, photo_local_embeds: torch.FloatTensor
    ) -> torch.FloatTensor:
        """Relation logits (S, P) of every sketch (S, M, R) with every photo (P, M, R), in bounded memory."""
        return self.relation(sketch_local_embeds, photo_local_embeds)

    def get_paired_relation_logits(
        self, sketch_local_embeds: torch.FloatTensor, photo_local_embeds: torch.FloatTensor
    ) -> torch.FloatTensor:
        """Relation logits (B, K) of each sketch (B, M, R) with its own K photos (B, K, M, R)."""
        return self.relation.score_candidates(sketch_local_embeds, photo_local_embeds)

    def forward(
        self,
        sketch_pixel_values: torch.FloatTensor | None = None,
        photo_pixel_values: torch.FloatTensor | None = None,
        category_ids: torch.LongTensor | None = None,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.LongTensor | None = None,
        text_hidden_states: torch.FloatTensor | None = None,
        photo_targets: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        **_,
    ) -> CaanOutput | CaanImageFeatures:
        """A training step over B triplets; or, as pipelines call a model, the features of photos alone.

        Args:
            sketch_pixel_values: B sketches (B, 3, H, W).
            photo_pixel_values: N photos (N, 3, H, W): first the B photos+, in the order of the sketches, then, unless
                `negatives="in_batch"`, the B photos- (N = 2 B).
            category_ids: (N,) categories of the photos, in their order. Without them no loss is computed.
            input_ids: (N, L) a sentence for each photo; the sketches read those of their photo+.
            attention_mask: (N, L), 1 where a token stands and 0 where padding does.
            text_hidden_states: (N, L, T), what `encode_text` gives for the sentences, in place of `input_ids`.
            photo_targets: (N, D) features that `lambda_dis` holds the photos' global features to.
            pixel_values: Photos (N, 3, H, W), in place of all the others: gives what `get_photo_features` gives.

        Returns:
            [`CaanOutput`] with the losses, each on its own, and the features they were computed from.

        Raises:
            ValueError: If sketches or photos are missing.
        """
        if pixel_values is not None:
            return self.get_photo_features(pixel_values)
        if sketch_pixel_values is None or photo_pixel_values is None:
            raise ValueError("give sketch_pixel_values= and photo_pixel_values=, or pixel_values= for photos alone")
        sketch_tokens, sketch_grid = self._sketch_tokens(sketch_pixel_values)
        photo_tokens, photo_grid = self._photo_tokens(photo_pixel_values)
        untouched_sketch, untouched_photo = sketch_tokens[:, 0], photo_tokens[:, 0]
        text, attention_mask = self._read(input_ids, text_hidden_states, attention_mask)
        if text is not None:
            sketch_tokens, photo_tokens = self._align(sketch_tokens, photo_tokens, text, attention_mask)
        elif self.visual_alignment is not None:
            sketch_tokens, photo_tokens = self._pair(sketch_tokens, photo_tokens)
        sketch = self._features(sketch_tokens, sketch_grid)
        photo = self._features(photo_tokens, photo_grid)
        if category_ids is None:
            return CaanOutput(sketch_features=sketch, photo_features=photo)
        terms, relation_logits = matching_terms(self.config, self.relation, sketch, photo, category_ids)
        if self.config.lambda_txt and text is not None:
            images = _normalized(untouched_sketch), _normalized(untouched_photo)
            terms |= text_term(self.config, *images, _sentence_mean(text, attention_mask), category_ids)
        if self.config.lambda_dis and photo_targets is not None:
            terms |= distillation_term(untouched_photo, photo_targets)
        return CaanOutput(
            loss=weighted_sum(self.config, terms),
            **terms,
            relation_logits=relation_logits,
            sketch_features=sketch,
            photo_features=photo,
        )

    def drop_text(self) -> "CaanModel":
        """Removes what only training needs (text tower, alignment), in place; returns the model for retrieval."""
        self.text_model = self.text_projection = self.sketch_alignment = self.photo_alignment = None
        self.visual_alignment = None
        self.config.text_config, self.config.alignment = None, "text"
        return self

    def train(self, mode: bool = True) -> "CaanModel":
        """As in torch, except that a frozen text tower stays in evaluation mode: its dropout would only add noise."""
        super().train(mode)
        if self.text_model is not None and self.config.freeze_text:
            self.text_model.eval()
        return self

    def _photo_tower(self) -> nn.Module:
        return self.sketch_model if self.photo_model is None else self.photo_model

    def _sketch_tokens(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        tokens, grid = encode_image(self.sketch_model, pixel_values.to(self.dtype))
        return self.sketch_projection(tokens), grid

    def _photo_tokens(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        tokens, grid = encode_image(self._photo_tower(), pixel_values.to(self.dtype))
        return self.photo_projection(tokens), grid

    def _features(self, tokens: torch.Tensor, grid: tuple[int, int], center: nn.Module | None = None):
        """Global and local features of tokens (B, 1 + h * w, D); `center` is for retrieval, and not for training."""
        global_embeds = _normalized(tokens[:, 0])
        return CaanImageFeatures(
            global_embeds=global_embeds if center is None else center(global_embeds),
            local_embeds=self.local_tokens(tokens[:, 1:], grid),
            last_hidden_state=tokens,
        )

    def _read(self, input_ids, text_hidden_states, attention_mask):
        """Projected tokens (N, L, D) of the sentences and their mask (N, L); None and None without any."""
        sentences = input_ids if text_hidden_states is None else text_hidden_states
        if sentences is None:
            return None, None
        if attention_mask is None:
            attention_mask = torch.ones(sentences.shape[:2], dtype=torch.long, device=sentences.device)
        if text_hidden_states is None:
            text_hidden_states = self.encode_text(input_ids, attention_mask)
        return self.text_projection(text_hidden_states.to(self.dtype)), attention_mask

    def _align(self, sketch_tokens, photo_tokens, text, attention_mask):
        """Sketch tokens (B, ...) and photo tokens (N, ...) after reading their sentences (N, L, D)."""
        batch, photos = sketch_tokens.shape[0], photo_tokens.shape[0]
        aligned_sketch = self.sketch_alignment(sketch_tokens, text[:batch], attention_mask[:batch])
        aligned_photo = self.photo_alignment(photo_tokens, text, attention_mask)
        if not self.training or self.config.text_dropout == 0:
            return aligned_sketch, aligned_photo
        # The alignment is computed for dropped samples too: it is cheap, and each parameter has its gradient in every
        # step, as DDP wants it.
        dropped = torch.rand(batch, 1, 1, device=text.device) < self.config.text_dropout
        photo_dropped = dropped.repeat(photos // batch, 1, 1)  # a triplet is dropped as a whole
        return (
            torch.where(dropped, sketch_tokens, aligned_sketch),
            torch.where(photo_dropped, photo_tokens, aligned_photo),
        )

    def _pair(self, sketch_tokens, photo_tokens):
        """Tokens (2 B, ...) of sketches with their photo+, then with their photo-, and of those photos, aligned."""
        sketches, photos = sketch_tokens.shape[0], photo_tokens.shape[0]
        if photos != 2 * sketches:
            raise ValueError(
                f'alignment="visual" wants a photo+ and a photo- for each of {sketches} sketches, got {photos}'
            )
        return self.visual_alignment(sketch_tokens.repeat(2, 1, 1), photo_tokens)

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, CaanRelationNetwork):
            # The default, made for transformer layers, would start this MLP with nearly constant logits.
            for layer in module.layers:
                if isinstance(layer, nn.Linear):
                    init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                    init.zeros_(layer.bias)
        elif isinstance(module, CaanCenter):
            init.zeros_(module.mean)

    def _set_gradient_checkpointing(self, enable: bool = True, **kwargs):
        # timm towers have a switch of their own; transformers towers are found among the sub-modules.
        timm_towers = [tower for tower in (self.sketch_model, self.photo_model) if hasattr(tower, "timm_model")]
        switched = [tower for tower in timm_towers if tower.supports_gradient_checkpointing]
        for tower in switched:
            tower._set_gradient_checkpointing(enable)
        if not switched or any(hasattr(module, "gradient_checkpointing") for module in self.modules()):
            super()._set_gradient_checkpointing(enable, **kwargs)


def _normalized(tokens: torch.Tensor) -> torch.Tensor:
    """L2-normalised, in float32 whatever the towers compute in: half precision would tie distances and scores."""
    return F.normalize(tokens.float(), dim=-1)


def _sentence_mean(tokens: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """L2-normalised mean (B, D) of the tokens (B, L, D) that are not padding."""
    weights = attention_mask.to(tokens.dtype).unsqueeze(-1)  # (B, L, 1)
    mean = (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)
    return F.normalize(mean, dim=-1)


def _default_relation_grid(tower: nn.Module, image_size: int) -> int:
    """Half the patch grid, which the 2x2 convolution of stride 2 then gives without pooling.

    Convolutional and hierarchical encoders have a coarse map already: its own grid, 7 at most.
    """
    with torch.no_grad():
        grid = encode_image(tower, torch.zeros(1, 3, image_size, image_size))[1]
    size = patch_size(tower)
    if size is not None and grid == (image_size // size[0], image_size // size[1]):
        return max(1, min(grid) // 2)
    return min(7, *grid)


__all__ = ["CaanModel"]
