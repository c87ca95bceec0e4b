"""Which device to compute on."""

import torch

from caan_hf.errors import CaanError


def usable_device(name: str | None) -> torch.device:
    """The device of that name, or by default a GPU if there is one.

    Raises:
        CaanError: nothing can be computed on it here.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise CaanError(f"--device {name}: not usable here ({reason})") from error
    return device
