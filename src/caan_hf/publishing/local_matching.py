"""What cards and commands say of the local matching of a model."""

from caan_hf.configuration_caan import CaanConfig
from caan_hf.retrieval.reranking import NUM_CANDIDATES

KINDS = {"relation": "relation network", "late_interaction": "late interaction"}


def describe_local_matching(config: CaanConfig) -> str:
    """Kind and grid, such as "late interaction, 6 x 6 regions"."""
    return f"{KINDS[config.local_matching]}, {config.local_grid} x {config.local_grid} regions"


def describe_reranking(config: CaanConfig) -> str:
    """What is re-ranked by default, such as "the best 100 photos, by 0.7 cosine + 0.3 local score"."""
    weight = config.local_weight
    if not weight:
        return "off by default, because `local_weight` is not set"
    return f"the best {NUM_CANDIDATES} photos, by {1 - weight:g} cosine + {weight:g} local score"
