"""Zero-shot sketch-based image retrieval with CAAN.

Importing this package registers CAAN with the Auto classes of `transformers`.
"""

from transformers import AutoConfig, AutoModel, AutoProcessor

from .configuration_caan import CaanConfig
from .errors import CaanError
from .modeling_caan import CaanModel
from .outputs_caan import CaanImageFeatures, CaanOutput, CaanTextFeatures
from .processing_caan import CaanProcessor

AutoConfig.register("caan", CaanConfig, exist_ok=True)
AutoModel.register(CaanConfig, CaanModel, exist_ok=True)
AutoProcessor.register(CaanConfig, CaanProcessor, exist_ok=True)

__version__ = "0.1.0"

__all__ = [
    "CaanConfig",
    "CaanError",
    "CaanImageFeatures",
    "CaanModel",
    "CaanOutput",
    "CaanProcessor",
    "CaanTextFeatures",
]
