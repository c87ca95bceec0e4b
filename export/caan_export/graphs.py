"""Writes the encoders and the relation network of a `CaanModel` as ONNX graphs."""

import contextlib
import io
import logging
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from caan_hf.encoding.features import Modality
from caan_hf.errors import CaanError, first_line
from caan_hf.modeling_caan import CaanModel

from .manifest import ENCODERS, RELATION, SINGLE_FILE_LIMIT, GraphDType, GraphEntry, Shapes
from .quantise import quantise

OPSETS = (18, 23)
"""Lowest and highest opset that the exporter writes and onnxruntime runs."""
ATTENTION_OPSET = 23
"""First opset with attention as one operator."""
MAX_FREE_SIZE = 2**20


class EncoderModule(nn.Module):
    """Encodes pictures of one modality. Inputs and outputs are float32 in every precision."""

    outputs = ("global_embeds", "local_embeds")

    def __init__(self, model: CaanModel, modality: Modality):
        super().__init__()
        self.model = model
        self.description = f"{modality} tower"
        encode = model.get_sketch_features if modality == "sketch" else model.get_photo_features
        self.encode: Callable[..., Any] = encode

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Global embeddings (B, D) and local embeddings (B, M, R) of pictures (B, 3, H, W)."""
        features = self.encode(pixel_values)
        return features.global_embeds.float(), features.local_embeds.float()

    def example(self) -> dict[str, tuple[Tensor, str]]:
        """A tensor for each input, and the name of its free first dimension. Sizes 0 and 1 would become constants."""
        size = self.model.config.image_size
        return {"pixel_values": (torch.zeros(2, 3, size, size, device=self.model.device), "batch")}


class RelationModule(nn.Module):
    """Relation logits of all pairs; the runtime calls it in chunks."""

    outputs = ("relation_logits",)
    description = "relation network"

    def __init__(self, model: CaanModel):
        super().__init__()
        self.model = model

    def forward(self, sketch_local_embeds: Tensor, photo_local_embeds: Tensor) -> Tensor:
        """Logits (S, P) of sketches (S, M, R) and photos (P, M, R)."""
        score: Callable[..., Tensor] = self.model.get_local_scores
        return score(sketch_local_embeds, photo_local_embeds)

    def example(self) -> dict[str, tuple[Tensor, str]]:
        """See [`EncoderModule.example`]."""
        shape = self.model.local_shape
        return {
            "sketch_local_embeds": (torch.zeros(2, *shape, device=self.model.device), "sketches"),
            "photo_local_embeds": (torch.zeros(3, *shape, device=self.model.device), "photos"),
        }


def write_graphs(model: CaanModel, folder: Path, *, opset: int, dtype: GraphDType = "fp32") -> dict[str, GraphEntry]:
    """Write the two encoders, and the relation network if the model has one.

    Args:
        model: Model in float32, which is modified; pass a copy.
        folder: Where the graphs are written.
        opset: ONNX opset.
        dtype: Precision of the encoders: `fp32`; `fp16`, except where the model itself computes in float32; or `int8`
            for the linear layers. The relation network is always in float32, because its logits would tie in float16.

    Returns:
        Precision, inputs and outputs of each graph.

    Raises:
        CaanError: Torch cannot export a tower, or a tower has no linear layers for int8.
    """
    _use_plain_attention(model.eval(), opset)
    dtypes: dict[str, GraphDType] = dict.fromkeys(ENCODERS, dtype)
    if model.relation is not None:
        _write(RelationModule(model), folder / f"{RELATION}.onnx", opset)
        dtypes[RELATION] = "fp32"
    if dtype == "fp16":
        model.half()
    sketch, photo = (folder / f"{graph}.onnx" for graph in ENCODERS)
    _write_encoder(model, "sketch", sketch, opset, dtype)
    if _encodes_alike(model):  # both graphs refer to the same file of weights if those are stored separately
        shutil.copyfile(sketch, photo)
    else:
        _write_encoder(model, "photo", photo, opset, dtype)
    return {graph: _describe(folder / f"{graph}.onnx", precision) for graph, precision in dtypes.items()}


def _encodes_alike(model: CaanModel) -> bool:
    """Whether sketches and photos share everything: the tower, the projection, the centre and the local tokens."""
    own = (model.sketch_projection, model.sketch_center)
    tied = model.config.tie_visual_towers and model.relation is not None
    return bool(tied) and all(isinstance(module, nn.Identity) for module in own)


def _write_encoder(model: CaanModel, modality: Modality, file: Path, opset: int, dtype: GraphDType) -> None:
    _write(EncoderModule(model, modality), file, opset)
    if dtype == "int8" and not quantise(file):
        raise CaanError(f"the {modality} tower has no linear layers for int8. Choose --dtype fp32 or fp16.")


def _write(module: EncoderModule | RelationModule, file: Path, opset: int) -> None:
    example = module.example()
    free = {name: {0: Dim(dimension, min=1, max=MAX_FREE_SIZE)} for name, (_, dimension) in example.items()}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module.eval(),
                tuple(tensor for tensor, _ in example.values()),
                dynamo=True,
                input_names=list(example),
                output_names=module.outputs,
                dynamic_shapes=free,
                opset_version=opset,
                verbose=False,
            )
            assert program is not None
            for part in (program.model.graph, *program.model.graph):
                part.metadata_props.clear()  # stack traces, which hold paths of this machine
            tensors = [value.const_value for value in program.model.graph.initializers.values()]
            weights = sum(tensor.nbytes for tensor in tensors if tensor is not None)
            program.save(str(file), external_data=weights > SINGLE_FILE_LIMIT)
    except OSError:
        raise
    except Exception as error:  # the exporter raises exceptions of many classes
        raise CaanError(f"the {module.description} cannot be exported ({_reason(error)})") from error


def _describe(file: Path, dtype: GraphDType) -> GraphEntry:
    graph = onnx.load(str(file), load_external_data=False).graph
    return GraphEntry(dtype=dtype, inputs=_shapes(graph.input), outputs=_shapes(graph.output))


def _shapes(values: Iterable[onnx.ValueInfoProto]) -> Shapes:
    return {
        value.name: tuple(size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in values
    }


def _use_plain_attention(model: nn.Module, opset: int) -> None:
    """Below opset 23, replace torch's fused attention, which is exported with checks for fully masked rows."""
    if opset >= ATTENTION_OPSET:
        return
    with _quiet(), contextlib.suppress(ValueError):  # towers without a choice of implementation
        model.set_attn_implementation("eager")  # type: ignore[operator]
    for module in model.modules():
        if isinstance(getattr(module, "fused_attn", None), bool):  # timm
            module.fused_attn = False  # type: ignore[assignment]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's output; the graphs are verified afterwards."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _reason(error: BaseException) -> str:
    """The innermost error in one line, without the advice in which the exporter wraps it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {first_line(error)[:300]}"
