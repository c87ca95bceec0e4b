"""Problems that the Hub's `validate-yaml` reports in the metadata of a card, after its published specification.

https://github.com/huggingface/hub-docs: `modelcard.md`, `datasetcard.md` and the reference of Spaces.
"""

import re
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, Field, FiniteFloat, ValidationError

FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)

T = TypeVar("T")
OneOrMore = Annotated[list[T], BeforeValidator(lambda value: value if isinstance(value, list) else [value])]
Text = Annotated[str, Field(min_length=1)]
Identifier = Annotated[str, Field(pattern=r"^([\w-]+/)?[\w\-.]+$")]
Size = Annotated[str, Field(pattern=r"^(n<1K|\d+[KMB]<n<\d+[KMBT]|n>1T)$")]
License = Literal["apache-2.0", "mit", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "bsd-3-clause", "other", "unknown"]
Colour = Literal["red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"]


class Task(BaseModel, extra="forbid", strict=True):
    type: Text
    name: Text | None = None


class Data(BaseModel, extra="forbid", strict=True):
    type: Identifier
    name: Text
    config: Text | None = None
    split: Text | None = None
    revision: Text | None = None
    args: dict[str, Any] = {}


class Metric(BaseModel, extra="forbid", strict=True):
    type: Text
    value: FiniteFloat | int | str
    name: Text | None = None
    config: Text | None = None
    args: dict[str, Any] = {}
    verified: bool = False


class Result(BaseModel, strict=True):
    task: Task
    dataset: Data
    metrics: Annotated[list[Metric], Field(min_length=1)]


class Entry(BaseModel, strict=True):
    name: Text
    results: list[Result]


class Config(BaseModel, strict=True):
    config_name: str
    data_files: Annotated[str | list[Any], Field(min_length=1)]


class Card(BaseModel, strict=True):
    tags: list[str] = []
    datasets: list[Identifier] = []
    metrics: list[str] = []
    models: list[str] = []
    license: OneOrMore[License] = []
    language: OneOrMore[Annotated[str, Field(pattern="^[a-z]{2,3}$")]] = []


class ModelCard(Card):
    pipeline_tag: (
        Literal["image-feature-extraction", "feature-extraction", "image-to-image", "zero-shot-image-classification"]
        | None
    ) = None
    base_model: OneOrMore[Identifier] = []
    model_index: Annotated[list[Entry], Field(alias="model-index", min_length=1)] = []


class DatasetCard(Card):
    configs: list[Config] = []
    size_categories: OneOrMore[Size] = []


class SpaceCard(Card):
    sdk: Literal["gradio", "docker", "static"]
    colorFrom: Colour | None = None
    colorTo: Colour | None = None
    short_description: Annotated[str, Field(max_length=60)] = ""


CARDS: dict[str, type[Card]] = {"model": ModelCard, "dataset": DatasetCard, "space": SpaceCard}


def problems(content: str, kind: str) -> list[str]:
    """One sentence per problem."""
    found = FRONT_MATTER.match(content)
    if found is None:
        return []  # the Hub accepts a card without metadata, with a warning
    try:
        CARDS[kind].model_validate(yaml.safe_load(found[1]))
    except yaml.YAMLError as error:
        return [f"the metadata is not YAML: {error}"]
    except ValidationError as error:
        return [f'"{".".join(map(str, one["loc"]))}": {one["msg"]}' for one in error.errors()]
    return []
