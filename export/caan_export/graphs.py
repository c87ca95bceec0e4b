"""The branches of a `CaanModel` as ONNX graphs."""

import contextlib
import io
import logging
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn
from torch.export import Dim

from caan_hf.errors import CaanError

from .manifest import BRANCHES, ENCODERS, RELATION, SINGLE_FILE_LIMIT
from .quantise import quantise

OPSETS = (18, 23)
"""Lowest and highest opset that the exporter writes and onnxruntime runs."""
DEFAULT_OPSET = 20
ATTENTION_OPSET = 23
"""From here on ONNX has an operator for attention as a whole."""
MAX_FREE_SIZE = 2**20


class Encoder(nn.Module):
    """Sketches or photos to their global and local features, always float32 outside."""

    def __init__(self, model: nn.Module, modality: str):
        super().__init__()
        self.model = model
        self.modality = modality

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3, H, W) to (B, D) and (B, M, R)."""
        encode = self.model.get_sketch_features if self.modality == "sketch" else self.model.get_photo_features
        features = encode(pixel_values)
        return features.global_embeds.float(), features.local_embeds.float()


class Relation(nn.Module):
    """Local features of sketches and photos to relation logits, all pairs at once: the runtime takes them in chunks."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, sketch_local_embeds: torch.Tensor, photo_local_embeds: torch.Tensor) -> torch.Tensor:
        """(S, M, R) and (P, M, R) to (S, P)."""
        return self.model.get_relation_logits(sketch_local_embeds, photo_local_embeds)


def write_graphs(
    model: nn.Module, folder: Path, *, opset: int, image_size: int, dtype: str = "fp32"
) -> dict[str, dict[str, Any]]:
    """Writes the three graphs; returns the names and shapes of their inputs and outputs, for the manifest.

    Args:
        model: a `CaanModel` in float32; it is changed: give a copy.
        folder: where to.
        opset: of the graphs.
        image_size: height and width of the encoders' input, in pixels.
        dtype: of the encoders: `fp32`; `fp16`, except where the model itself computes in float32 (the normalisations);
            or `int8` linear layers. The relation network is in float32 always.

    Raises:
        CaanError: a tower that torch cannot export, or one without linear layers for int8.
    """
    _plain_attention(model.eval(), opset)
    tied = model.config.tie_visual_towers and isinstance(model.sketch_projection, nn.Identity)
    for branch in (RELATION, *ENCODERS):
        file = folder / f"{branch}.onnx"
        if branch == "photo_encoder" and tied:
            shutil.copyfile(folder / "sketch_encoder.onnx", file)  # weights beside it are shared by both
            continue
        if dtype == "fp16" and branch != RELATION:
            model.half()
        _write(_module(model, branch), _example(model, branch, image_size), file, opset)
        if dtype == "int8" and branch != RELATION and not quantise(file):
            raise CaanError(f"{branch} has no linear layers to turn to int8; export it in fp32 or fp16")
    return {branch: describe_graph(folder / f"{branch}.onnx") for branch in BRANCHES}


def describe_graph(file: Path) -> dict[str, Any]:
    """Names and shapes of a graph's inputs and outputs; free dimensions by name."""
    graph = onnx.load(str(file), load_external_data=False).graph
    return {"inputs": _shapes(graph.input), "outputs": _shapes(graph.output)}


def _module(model: nn.Module, branch: str) -> nn.Module:
    return Relation(model) if branch == RELATION else Encoder(model, branch.removesuffix("_encoder"))


def _example(model: nn.Module, branch: str, image_size: int) -> dict[str, tuple[torch.Tensor, str]]:
    """Input -> a tensor of its shape and the name of its free first dimension; 0 and 1 would be taken as fixed."""
    device = model.device
    if branch != RELATION:
        return {"pixel_values": (torch.zeros(2, 3, image_size, image_size, device=device), "batch")}
    local = model.config.num_local_tokens, model.config.relation_dim
    return {
        "sketch_local_embeds": (torch.zeros(2, *local, device=device), "sketches"),
        "photo_local_embeds": (torch.zeros(3, *local, device=device), "photos"),
    }


def _write(module: nn.Module, example: dict[str, tuple[torch.Tensor, str]], file: Path, opset: int) -> None:
    outputs = ["relation_logits"] if isinstance(module, Relation) else ["global_embeds", "local_embeds"]
    free = {name: {0: Dim(dimension, min=1, max=MAX_FREE_SIZE)} for name, (_, dimension) in example.items()}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module.eval(),
                tuple(tensor for tensor, _ in example.values()),
                dynamo=True,
                input_names=list(example),
                output_names=outputs,
                dynamic_shapes=free,
                opset_version=opset,
                verbose=False,
            )
            _no_traces(program.model)
            weights = sum(value.const_value.nbytes for value in program.model.graph.initializers.values())
            program.save(str(file), external_data=weights > SINGLE_FILE_LIMIT)
    except OSError:
        raise
    except Exception as error:  # the exporter has dozens of its own, of no common base
        tower = "relation network" if isinstance(module, Relation) else f"{module.modality} tower"
        raise CaanError(f"the {tower} cannot be exported: {_reason(error)}") from error


def _no_traces(graph) -> None:
    """Drops the stack traces that the exporter notes at each node: they hold paths of this machine."""
    for node in graph.graph:
        node.metadata_props.clear()
    graph.metadata_props.clear()


def _plain_attention(model: nn.Module, opset: int) -> None:
    """Attention as two products and a softmax below opset 23: torch's own adds checks for rows that are all masked."""
    if opset >= ATTENTION_OPSET:
        return
    with _quiet(), contextlib.suppress(ValueError):  # a tower without a choice
        model.set_attn_implementation("eager")
    for module in model.modules():
        if isinstance(getattr(module, "fused_attn", None), bool):  # timm
            module.fused_attn = False


def _shapes(values) -> dict[str, list[int | str]]:
    return {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim] for value in values
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints, logs and warns about things that the parity check judges better."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _reason(error: BaseException) -> str:
    """The innermost error in one line: the exporter wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
