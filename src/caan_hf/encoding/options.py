"""Options of an encoder that several commands share: where it computes, and in which precision."""

from typing import Annotated

from typer import Option

from .identity import DType

DeviceOption = Annotated[str | None, Option(help="Such as `cpu` or `cuda:0`.", show_default="a GPU if there is one")]
DTypeOption = Annotated[
    DType,
    Option(
        help="Precision of the encoder. `auto` is bfloat16 on processors and GPUs that multiply it natively, and "
        "float32 on others. An ONNX export has its own."
    ),
]
