"""Which model searches where nobody says."""

from pathlib import Path

from caan_hf.errors import CaanError

from .encoder import Encoder, load_encoder

NAME = "caan-vit-tiny-sketchy"
HUB_ID = f"caan-hf/{NAME}"
QUICKSTART = Path("runs/quickstart/model")
"""What `make quickstart` trains, in the folder that one is in."""
HOW_TO_GET_ONE = (
    "`make quickstart` in a checkout trains a small one in three minutes (runs/quickstart/model), "
    "`caan train recipes/sketchy-mini.yaml` a better one, and any folder or Hub id of a trained CAAN, or an ONNX "
    "export, can be named as the model"
)


def load_default_model(device: str | None = None, dtype: str = "float32") -> Encoder:
    """The published model from the checkout or the Hub, else what the quickstart has trained here.

    Raises:
        CaanError: there is none; the message says how to get one.
    """
    shipped = Path(__file__).parents[3] / "hub" / NAME
    for folder in (shipped, Path("hub") / NAME):
        if (folder / "config.json").is_file():
            return load_encoder(str(folder), device=device, dtype=dtype)
    try:
        return load_encoder(HUB_ID, device=device, dtype=dtype)
    except CaanError as error:
        if (QUICKSTART / "config.json").is_file():
            return load_encoder(str(QUICKSTART), device=device, dtype=dtype)
        raise CaanError(f"no model at hand: {HUB_ID} cannot be had from the Hub; {HOW_TO_GET_ONE}") from error
