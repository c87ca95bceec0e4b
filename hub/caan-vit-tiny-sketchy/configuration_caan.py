"""Configuration of CAAN."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

RELATION_LOSSES = ("mse", "bce")
ALIGNMENTS = ("text", "visual")
NEGATIVES = ("sampled", "in_batch", "both")
SIZES = (
    "image_size",
    "num_alignment_layers",
    "alignment_num_heads",
    "alignment_intermediate_size",
    "relation_grid",
    "relation_dim",
)


@strict
class CaanConfig(PreTrainedConfig):
    r"""Everything that fixes a [`CaanModel`]: its three towers, how they are aligned, and how the losses are weighed.

    The paper (arXiv 2407.00979) publishes neither sizes nor weights; unless an entry says otherwise, its default
    follows ZSE-SBIR (CVPR 2023), the closest published code, and the terms marked *ours* are off by default.

    Args:
        sketch_config (`dict` or `PreTrainedConfig`):
            Sketch tower: any `transformers` vision model, or any timm model with `model_type="timm_wrapper"`.
        photo_config (`dict` or `PreTrainedConfig`):
            Photo tower; ignored when `tie_visual_towers` is set.
        text_config (`dict` or `PreTrainedConfig`, *optional*):
            Text tower: any `AutoModel` encoder. `None` gives a model for retrieval, which needs no text.
        image_size (`int`, defaults to 224): Height and width of the towers' input, in pixels.
        tie_visual_towers (`bool`, defaults to `False`): One tower encodes both modalities.
        freeze_text (`bool`, defaults to `True`): The text tower is not trained (our choice).
        projection_dim (`int`, *optional*):
            Projects the tokens of every tower to this width. `None` keeps the visual towers' width, which then must
            be one and the same; text is always projected to that width.
        alignment (`str`, defaults to `"text"`):
            What images exchange information with in training: `"text"`, where there is a text tower, or `"visual"`, the
            other image of a pair, as in ZSE-SBIR, which does without text.
        num_alignment_layers (`int`, defaults to 1): Cross-attention layers of each modality pair.
        alignment_num_heads (`int`, defaults to 8): Attention heads; they must divide the width.
        alignment_intermediate_size (`int`, defaults to 1024): Width of the alignment's feed-forward networks.
        alignment_norm_first (`bool`, defaults to `True`): Pre-norm instead of post-norm residual blocks (our choice).
        alignment_dropout (`float`, defaults to 0.0): Dropout on each residual branch of the alignment.
        text_dropout (`float`, defaults to 0.0):
            Probability that a training sample skips the alignment, so that its features are those of retrieval, which
            no text has touched. 0 is the literal paper.
        relation_grid (`int`, defaults to 7): Local tokens lie on a `relation_grid` x `relation_grid` grid.
        relation_dim (`int`, defaults to 512): Width of a local token.
        relation_hidden_sizes (`list[int]`, defaults to `[343, 49]`): Hidden layers of the relation network.
        relation_loss (`str`, defaults to `"mse"`): `"mse"` on the sigmoid, or `"bce"` on the logits.
        negatives (`str`, defaults to `"sampled"`):
            Which photos repel a sketch: the `"sampled"` photo- of its triplet, the other categories' photos that are
            `"in_batch"` (ours), or `"both"`.
        triplet_margin (`float`, defaults to 0.3): Margin m of the triplet loss, on L2-normalised features (our choice).
        triplet_normalized (`bool`, defaults to `True`):
            The triplet loss compares the features of retrieval (our choice), or, as ZSE-SBIR does, the bare global
            tokens.
        lambda_tri (`float`, defaults to 1.0): Weight of the global triplet loss.
        lambda_rn (`float`, defaults to 1.0): Weight of the local relation loss.
        lambda_con (`float`, defaults to 0.0): *Ours*: weight of a category-contrastive loss over the batch.
        contrastive_temperature (`float`, defaults to 0.07): Its temperature.
        lambda_txt (`float`, defaults to 0.0):
            *Ours*: weight of the same contrast between images that no text has touched and the sentences of the batch.
        lambda_dis (`float`, defaults to 0.0): *Ours*: weight that holds photo features to given target features.
        center_features (`bool`, defaults to `False`):
            *Ours*: retrieval subtracts from each feature the mean of its modality over the training images, which is
            measured after training. Sketches and photos otherwise lie in two cones.
        initializer_range (`float`, defaults to 0.02): Standard deviation of new linear layers.
        training_protocol (`str`, *optional*): What the model was trained on, such as `"sketchy-25@1"`; set by training.
        training_categories (`list[str]`, *optional*):
            The categories it was trained on, so that an evaluation can tell which are unseen; set by training.
        validation_categories (`list[str]`, *optional*): Those by which its settings and weights were chosen, likewise.

    Example:
        >>> from caan_hf import CaanConfig, CaanModel
        >>> config = CaanConfig(sketch_config={"model_type": "vit"}, photo_config={"model_type": "vit"})
        >>> model = CaanModel(config)
    """

    model_type = "caan"
    sub_configs_defaults = {  # noqa: RUF012  (transformers declares it so)
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
    projection_dim: int | None = None
    alignment: str = "text"
    num_alignment_layers: int = 1
    alignment_num_heads: int = 8
    alignment_intermediate_size: int = 1024
    alignment_norm_first: bool = True
    alignment_dropout: float | int = 0.0
    text_dropout: float | int = 0.0
    relation_grid: int = 7
    relation_dim: int = 512
    relation_hidden_sizes: list[int] | tuple[int, ...] = (343, 49)
    relation_loss: str = "mse"
    negatives: str = "sampled"
    triplet_margin: float | int = 0.3
    triplet_normalized: bool = True
    lambda_tri: float | int = 1.0
    lambda_rn: float | int = 1.0
    lambda_con: float | int = 0.0
    contrastive_temperature: float | int = 0.07
    lambda_txt: float | int = 0.0
    lambda_dis: float | int = 0.0
    center_features: bool = False
    initializer_range: float | int = 0.02
    training_protocol: str | None = None
    training_categories: list[str] | None = None
    validation_categories: list[str] | None = None

    def __post_init__(self, **kwargs):
        self.relation_hidden_sizes = list(self.relation_hidden_sizes)  # as JSON gives it back
        super().__post_init__(**kwargs)

    def validate_losses(self):
        """Called by `@strict` after construction: refuses settings that no loss understands."""
        if self.relation_loss not in RELATION_LOSSES:
            raise ValueError(f"relation_loss is {self.relation_loss!r}; choose one of {', '.join(RELATION_LOSSES)}")
        if self.negatives not in NEGATIVES:
            raise ValueError(f"negatives is {self.negatives!r}; choose one of {', '.join(NEGATIVES)}")
        if self.alignment not in ALIGNMENTS:
            raise ValueError(f"alignment is {self.alignment!r}; choose one of {', '.join(ALIGNMENTS)}")
        if self.alignment == "visual" and (self.text_config is not None or self.negatives != "sampled"):
            raise ValueError('alignment="visual" pairs each sketch with two photos: text null, negatives="sampled"')
        if not 0 <= self.text_dropout <= 1:
            raise ValueError(f"text_dropout is {self.text_dropout}; it is a probability between 0 and 1")
        for name in ("triplet_margin", "lambda_tri", "lambda_rn", "lambda_con", "lambda_txt", "lambda_dis"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.contrastive_temperature <= 0:
            raise ValueError(f"contrastive_temperature is {self.contrastive_temperature}; it must be above 0")

    def validate_sizes(self):
        """Called by `@strict` after construction: refuses sizes that no layer can have."""
        for name in SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if min(self.relation_hidden_sizes, default=1) < 1:
            raise ValueError(f"relation_hidden_sizes is {self.relation_hidden_sizes}; each must be at least 1")

    @property
    def num_local_tokens(self) -> int:
        """M, the number of local tokens of an image."""
        return self.relation_grid**2


__all__ = ["CaanConfig"]
