"""CAAN model configuration."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .limits_caan import MAX_BANK, MAX_EXPAND, MAX_GRID, check_grid, check_limits, check_range

CHOICES = {
    "relation_loss": ("mse", "bce"),
    "alignment": ("text", "visual"),
    "local_matching": ("relation", "late_interaction"),
    "negatives": ("sampled", "in_batch", "both"),
    "triplet_reduction": ("all", "violating"),
    "text_negatives": ("batch", "all"),
    "text_init": ("random", "photos"),
    "instance_score": ("local", "global", "both"),
}
PROBABILITIES = ("text_dropout", "alignment_dropout", "local_weight", "hub_weight", "whitening")
EARLIER_NAMES = {"relation_grid": "local_grid", "relation_dim": "local_dim"}
# Field of `CaanOutput` -> field of the configuration with its weight.
LOSS_WEIGHTS = {
    "loss_tri": "lambda_tri",
    "loss_rn": "lambda_rn",
    "loss_loc": "lambda_loc",
    "loss_ins": "lambda_ins",
    "loss_con": "lambda_con",
    "loss_txt": "lambda_txt",
    "loss_mod": "lambda_mod",
    "loss_dis": "lambda_dis",
}
FROZEN_LAYERS = ("sketch_frozen_layers", "photo_frozen_layers")
NON_NEGATIVE = ("triplet_margin", "local_position_weight", *LOSS_WEIGHTS.values(), *FROZEN_LAYERS)
SIZES = (
    "image_size",
    "num_alignment_layers",
    "alignment_num_heads",
    "alignment_intermediate_size",
    "local_grid",
    "local_dim",
    "projection_dim",
)


@strict
class CaanConfig(PreTrainedConfig):
    r"""Configuration of a [`CaanModel`]: its towers, their alignment, the relation network and the losses.

    The paper (arXiv 2407.00979) publishes neither sizes nor weights. Unless an entry says otherwise, defaults follow
    ZSE-SBIR (CVPR 2023), the closest published code. Terms marked *ours* are not in the paper and are off by default.

    Args:
        sketch_config (`dict` or `PreTrainedConfig`, *optional*):
            Configuration of the sketch tower: any `transformers` vision model, or any timm model with
            `model_type="timm_wrapper"`. The default is a ViT.
        photo_config (`dict` or `PreTrainedConfig`, *optional*):
            Configuration of the photo tower. It is ignored when `tie_visual_towers` is set.
        text_config (`dict` or `PreTrainedConfig`, *optional*):
            Configuration of the text tower: any `AutoModel` text encoder. `None` gives a model without text, which is
            all that retrieval needs.
        image_size (`int`, defaults to 224): Height and width of the input images, in pixels.
        tie_visual_towers (`bool`, defaults to `False`): Encode sketches and photos with one shared tower.
        freeze_text (`bool`, defaults to `True`): Do not train the text tower (our choice).
        sketch_frozen_layers (`int`, defaults to 0):
            *Ours*: number of first layers of the sketch tower to freeze, with the patch embedding before them.
        photo_frozen_layers (`int`, defaults to 0):
            *Ours*: number of first layers of the photo tower to freeze. With `tie_visual_towers` both numbers must be
            equal.
        projection_dim (`int`, *optional*):
            Width to which the tokens of all towers are projected. `None` projects only text tokens, to the width of the
            visual towers, which must then be equal.
        alignment (`str`, defaults to `"text"`):
            What sketches and photos are aligned with in training. `"text"` exchanges information with sentences if the
            model has a text tower. `"visual"` exchanges information between sketch and photo, as ZSE-SBIR does; it
            requires `text_config=None` and `negatives="sampled"`.
        num_alignment_layers (`int`, defaults to 1): Number of cross-attention layers per modality pair.
        alignment_num_heads (`int`, defaults to 8): Number of attention heads. It must divide the token width.
        alignment_intermediate_size (`int`, defaults to 1024): Width of the feed-forward networks of the alignment.
        alignment_norm_first (`bool`, defaults to `True`): Use pre-norm instead of post-norm blocks (our choice).
        alignment_dropout (`float`, defaults to 0.0): Dropout probability of each residual branch of the alignment.
        text_dropout (`float`, defaults to 0.0):
            Probability that a training sample skips the alignment, so that the losses also train the features of
            retrieval, which are computed without text. The paper has no text dropout.
        local_matching (`str`, defaults to `"relation"`):
            How the local tokens of a sketch and a photo are compared. `"relation"` is the paper's relation network.
            `"late_interaction"` (ours) is the mean, over the inked tokens of the sketch, of the best cosine to a token
            of the photo.
        local_grid (`int`, defaults to 7): The local tokens form a grid of `local_grid` x `local_grid`.
        local_dim (`int`, *optional*, defaults to 512):
            Width R of a local token. Late interaction projects patches to their first R principal components on the
            training images, measured after training. R is at most the width of the tower's tokens, which `None` keeps.
        local_position_weight (`float`, defaults to 0.0):
            Weight of the position prior of late interaction, which prefers matches at the same place.
        local_weight (`float`, *optional*):
            *Ours*: weight w of the local score in the score of re-ranking, (1 - w) cosine + w local. It is chosen on
            validation categories. `None` re-ranks by the local score alone.
        relation_hidden_sizes (`list[int]`, defaults to `[343, 49]`): Widths of the relation network's hidden layers.
        relation_loss (`str`, defaults to `"mse"`):
            `"mse"` is the squared error of the sigmoid; `"bce"` is binary cross-entropy on the logits.
        negatives (`str`, defaults to `"sampled"`):
            Photos that repel a sketch: `"sampled"` is the photo- of its triplet, `"in_batch"` (ours) are the photos+ of
            the other categories in the batch, and `"both"` (ours) are the photos+ and photos- of the other categories.
            In distributed training the batch consists of the batches of all processes, for the relation loss too.
        triplet_margin (`float`, defaults to 0.3): Margin m of the triplet loss, on L2-normalised features (our choice).
        triplet_normalized (`bool`, defaults to `True`):
            Compute the triplet loss on L2-normalised global features (our choice) instead of the unnormalised global
            tokens (ZSE-SBIR).
        triplet_reduction (`str`, defaults to `"all"`):
            `"all"` averages the triplet loss over all pairs of a sketch and a negative photo. `"violating"` (ours)
            averages over the pairs that violate the margin.
        lambda_tri (`float`, defaults to 1.0): Weight of the global triplet loss.
        lambda_rn (`float`, defaults to 1.0): Weight of the local relation loss, if `local_matching="relation"`.
        lambda_loc (`float`, defaults to 0.0):
            *Ours*: weight of the category-contrastive loss on the scores of late interaction, with a learned
            temperature.
        lambda_ins (`float`, defaults to 0.0):
            *Ours*: weight of the instance-contrastive loss, in which only the photo that a sketch was drawn from
            matches. All other photos of the batch, also those of its category, are negatives. It requires
            `instance_ids` in training.
        instance_score (`str`, defaults to `"local"`):
            Score that `lambda_ins` contrasts: `"local"` is that of late interaction, with its learned temperature,
            `"global"` the cosine of the global features, and `"both"` averages the two losses.
        lambda_con (`float`, defaults to 0.0):
            *Ours*: weight of the category-contrastive loss between the sketches and photos of the batch.
        contrastive_temperature (`float`, defaults to 0.07): Temperature of the contrastive losses.
        lambda_txt (`float`, defaults to 0.0):
            *Ours*: weight of the category-contrastive loss between images before alignment and descriptions of
            categories. It requires a text tower in training.
        text_negatives (`str`, defaults to `"batch"`):
            Descriptions that `lambda_txt` contrasts an image with: `"batch"` are the sentences of the batch. `"all"`
            are the categories of the training data, each the mean of its sentences, with a learned temperature; it
            requires `freeze_text` and also trains on unpaired images.
        text_init (`str`, defaults to `"random"`):
            *Ours*: text projection before training. `"photos"` predicts the mean pretrained photo feature of each
            training category from its descriptions, by ridge regression; it requires `text_negatives="all"` and
            `lambda_dis`.
        sample_sentences (`bool`, defaults to `False`):
            With `text_negatives="all"`, a training step represents each category by one random sentence.
        lambda_mod (`float`, defaults to 0.0):
            *Ours*: weight of the category-contrastive loss among the sketches and among the photos of the batch, before
            alignment. It also trains on unpaired images.
        lambda_dis (`float`, defaults to 0.0):
            *Ours*: weight of the distillation loss between photo features and `photo_targets`, which are then required
            in training.
        center_features (`bool`, defaults to `False`):
            *Ours*: retrieval subtracts from each feature the mean feature of its modality, which is measured on the
            training images after training.
        whitening (`float`, defaults to 0.0):
            *Ours*: retrieval multiplies the centred features by the inverse of the covariance of features within a
            category, to half this power, so that directions in which sketches and photos of a category differ count
            less. The covariance is measured on the training images after training. 0 changes nothing, and 1 whitens
            entirely. It requires `center_features`, and has no effect on a model that was trained without it.
        hub_bank_size (`int`, defaults to 0):
            *Ours*: number of training sketches whose features are stored with the model, for the correction of hubs.
            They are measured after training, evenly over the categories. With fewer sketches, all are taken.
        hub_weight (`float`, *optional*):
            *Ours*: retrieval lowers the score of each photo by this weight times its mean cosine to the 10 nearest of
            the stored sketches. It is chosen on validation categories. `None` and 0 change no score.
        expand (`int`, *optional*):
            *Ours*: number of first photos for query expansion, chosen on validation categories. `None` if query
            expansion does not help there. Search programs offer query expansion with this number.
        initializer_range (`float`, defaults to 0.02): Standard deviation of the weights of new linear layers.
        training_protocol (`str`, *optional*):
            Name of the training protocol, such as `"sketchy-25@1"`. It is set by training.
        training_categories (`list[str]`, *optional*):
            Categories that the model was trained on. It is set by training, and tells an evaluation which categories
            are unseen.
        validation_categories (`list[str]`, *optional*):
            Categories on which the settings and weights were chosen. It is set by training.

    Example:
        >>> from caan_hf import CaanConfig, CaanModel
        >>> config = CaanConfig(sketch_config={"model_type": "vit"}, photo_config={"model_type": "vit"})
        >>> model = CaanModel(config)
    """

    model_type = "caan"
    sub_configs_defaults = {  # noqa: RUF012  (declared like this in transformers)
        "sketch_config": SubConfigSpec(config_class=AutoConfig, model_type="vit"),
        "photo_config": SubConfigSpec(config_class=AutoConfig, model_type="vit"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_text_model", optional=True),
    }

    sketch_config: dict | PreTrainedConfig | None = None
    photo_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    image_size: int = 224
    tie_visual_towers: bool = False
    freeze_text: bool = True
    sketch_frozen_layers: int = 0
    photo_frozen_layers: int = 0
    projection_dim: int | None = None
    alignment: str = "text"
    num_alignment_layers: int = 1
    alignment_num_heads: int = 8
    alignment_intermediate_size: int = 1024
    alignment_norm_first: bool = True
    alignment_dropout: float | int = 0.0
    text_dropout: float | int = 0.0
    local_matching: str = "relation"
    local_grid: int = 7
    local_dim: int | None = 512
    local_position_weight: float | int = 0.0
    local_weight: float | int | None = None
    relation_hidden_sizes: list[int] | tuple[int, ...] = (343, 49)
    relation_loss: str = "mse"
    negatives: str = "sampled"
    triplet_margin: float | int = 0.3
    triplet_normalized: bool = True
    triplet_reduction: str = "all"
    lambda_tri: float | int = 1.0
    lambda_rn: float | int = 1.0
    lambda_loc: float | int = 0.0
    lambda_ins: float | int = 0.0
    instance_score: str = "local"
    lambda_con: float | int = 0.0
    contrastive_temperature: float | int = 0.07
    lambda_txt: float | int = 0.0
    text_negatives: str = "batch"
    text_init: str = "random"
    sample_sentences: bool = False
    lambda_mod: float | int = 0.0
    lambda_dis: float | int = 0.0
    center_features: bool = False
    whitening: float | int = 0.0
    hub_bank_size: int = 0
    hub_weight: float | int | None = None
    expand: int | None = None
    initializer_range: float | int = 0.02
    training_protocol: str | None = None
    training_categories: list[str] | None = None
    validation_categories: list[str] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        for earlier, name in EARLIER_NAMES.items():
            if earlier in kwargs:
                setattr(self, name, kwargs.pop(earlier))
        check_limits({**vars(self), **kwargs})  # before the configurations of the towers are built
        self.relation_hidden_sizes = list(self.relation_hidden_sizes)  # JSON returns lists, not tuples
        super().__post_init__(**kwargs)

    def validate_losses(self) -> None:
        """Check the loss settings. `@strict` calls this after construction."""
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.alignment == "visual" and (self.text_config is not None or self.negatives != "sampled"):
            raise ValueError('alignment="visual" requires text_config=None and negatives="sampled"')
        if self.local_matching == "relation" and (self.lambda_loc or self.local_position_weight):
            raise ValueError('lambda_loc and local_position_weight require local_matching="late_interaction"')
        if self.local_matching == "relation" and self.lambda_ins and self.instance_score != "global":
            raise ValueError('lambda_ins requires local_matching="late_interaction" or instance_score="global"')
        for name in PROBABILITIES:
            if getattr(self, name) is not None and not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if self.whitening and not self.center_features:
            raise ValueError("whitening requires center_features")
        for name in NON_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.contrastive_temperature <= 0:
            raise ValueError(f"contrastive_temperature must be above 0, got {self.contrastive_temperature}")

    def validate_text(self) -> None:
        """Check the settings of L_txt. `@strict` calls this after construction."""
        if self.text_negatives == "all" and not self.freeze_text:
            raise ValueError('text_negatives="all" requires freeze_text')
        if self.text_init == "photos" and (self.text_negatives != "all" or not self.lambda_dis):
            raise ValueError('text_init="photos" requires text_negatives="all" and lambda_dis')
        if self.sample_sentences and self.text_negatives != "all":
            raise ValueError('sample_sentences requires text_negatives="all"')

    def validate_sizes(self) -> None:
        """Check the sizes. `@strict` calls this after construction."""
        for name in SIZES:
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if self.local_dim is None and self.local_matching == "relation":
            raise ValueError('local_dim=None requires local_matching="late_interaction"')
        if min(self.relation_hidden_sizes, default=1) < 1:
            raise ValueError(f"relation_hidden_sizes must each be at least 1, got {self.relation_hidden_sizes}")
        check_range("hub_bank_size", self.hub_bank_size, 0, MAX_BANK, whole=True)
        if self.expand is not None:
            check_range("expand", self.expand, 1, MAX_EXPAND, whole=True)
        if self.local_grid > MAX_GRID:
            raise ValueError(f"local_grid must be at most {MAX_GRID}, got {self.local_grid}")
        if self.tie_visual_towers and self.sketch_frozen_layers != self.photo_frozen_layers:
            raise ValueError("tie_visual_towers requires equal sketch_frozen_layers and photo_frozen_layers")
        for tower in (self.sketch_config, self.photo_config):
            patch_size = getattr(tower, "patch_size", None)
            if isinstance(patch_size, int):
                check_grid("image_size", self.image_size, patch_size)

    @property
    def is_measured(self) -> bool:
        """Whether retrieval uses means or features that are measured on training images."""
        return self.center_features or self.local_matching == "late_interaction" or self.hub_bank_size > 0

    @property
    def trains_unpaired(self) -> bool:
        """Whether a loss trains on unpaired images, whose category has no image of the other modality."""
        return bool(self.lambda_mod or (self.lambda_txt and self.text_negatives == "all"))

    @property
    def trains_late_interaction(self) -> bool:
        """Whether a loss trains the local tokens of late interaction."""
        return bool(self.lambda_loc or (self.lambda_ins and self.instance_score != "global"))

    @property
    def num_local_tokens(self) -> int:
        """Number M of local tokens per image."""
        return self.local_grid**2


__all__ = ["CaanConfig"]
