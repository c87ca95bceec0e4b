"""Zero-shot sketch-based image retrieval with CAAN: draw something and find the photos of it.

Importing the package registers CAAN with the Auto classes of `transformers`, so that `AutoModel.from_pretrained` loads
a checkpoint. Nothing heavy is imported until it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import registration as _registration

if TYPE_CHECKING:
    from .configuration_caan import CaanConfig
    from .encoding.encoder import Encoder
    from .encoding.load import load_encoder
    from .errors import CaanError
    from .evaluation.evaluate import evaluate
    from .evaluation.metrics import retrieval_metrics
    from .gallery.gallery import Gallery
    from .modeling_caan import CaanModel
    from .outputs_caan import CaanImageFeatures, CaanOutput, CaanTextFeatures
    from .processing_caan import CaanProcessor

__version__ = "0.1.0"

__all__ = [
    "CaanConfig",
    "CaanError",
    "CaanImageFeatures",
    "CaanModel",
    "CaanOutput",
    "CaanProcessor",
    "CaanTextFeatures",
    "Encoder",
    "Gallery",
    "evaluate",
    "load_encoder",
    "retrieval_metrics",
]

_MODULES = {
    "CaanConfig": "configuration_caan",
    "CaanError": "errors",
    "CaanImageFeatures": "outputs_caan",
    "CaanModel": "modeling_caan",
    "CaanOutput": "outputs_caan",
    "CaanProcessor": "processing_caan",
    "CaanTextFeatures": "outputs_caan",
    "Encoder": "encoding.encoder",
    "Gallery": "gallery",
    "evaluate": "evaluation.evaluate",
    "load_encoder": "encoding.load",
    "retrieval_metrics": "evaluation.metrics",
}

_registration.register_when_needed()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    except ModuleNotFoundError as error:
        from .errors import CaanError  # noqa: PLC0415
        from .utils.installation import missing  # noqa: PLC0415

        if (reason := missing(error.name)) is None:
            raise
        raise CaanError(f"caan_hf.{name}: {reason}") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
