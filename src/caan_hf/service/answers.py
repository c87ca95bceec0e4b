"""Bodies of requests and answers of the service. Their fields are described on its OpenAPI page."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import File, Query, UploadFile
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from caan_hf.gallery import Explanation, SearchResult
from caan_hf.gallery.options import MAX_TEXT
from caan_hf.gallery.results import shown_name

from .searcher import Answer, Searcher

Box = tuple[float, float, float, float]
Point = Annotated[list[float], Field(min_length=2, max_length=2)]
Words = Annotated[
    str | None,
    Field(
        max_length=MAX_TEXT,
        description="Words that describe the photo, beside the sketch or alone. If they name a category that "
        "the package describes, its descriptions are searched for instead. Needs a gallery with `has_text`.",
        examples=["a cup with two handles"],
    ),
]
GalleryName = Annotated[str | None, Query(description="Name of the gallery. Default: the first one.")]


class SearchQuery(BaseModel):
    """Parameters of a search."""

    model_config = ConfigDict(extra="forbid")

    gallery: str | None = Field(None, description="Name of the gallery. Default: the first one.")
    k: int = Field(10, ge=1, le=1000, description="Number of results.")
    expand: int | None = Field(None, ge=1, le=100, description="Query expansion: search again with the first photos.")


class SketchQuery(SearchQuery):
    """Parameters of a search by sketch."""

    rerank: bool | None = Field(
        None,
        description="Re-rank the best 100 photos by their fused score, whose local score compares the sketch alone; "
        "words alone are not re-ranked. Default: where it helps the model.",
    )


def _require_file(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError("Send the content of a file, as curl does with -F sketch=@FILE")
    return value


class SearchForm(BaseModel):
    """A search for a sketch, words, or both. Fields of other names are refused."""

    model_config = ConfigDict(extra="forbid")

    sketch: Annotated[
        UploadFile | None, BeforeValidator(_require_file), File(description="Picture of a sketch, or strokes as JSON.")
    ] = None
    text: Words = None


class Strokes(BaseModel):
    """A drawing as strokes, each a list of points [x, y]; y grows downwards."""

    strokes: list[list[Point]] = Field(examples=[[[[0, 0], [50, 0], [50, 50]], [[10, 10], [20, 40]]]])
    text: Words = None


class FoundPhoto(BaseModel):
    """A photo that a search found."""

    rank: int = Field(description="1 for the best result.")
    id: str = Field(description="SHA-256 of the file. Copies of a photo share it.")
    name: str = Field(description="File name.")
    path: str | None = Field(description="Path in the gallery; null if the service hides paths.")
    score: float = Field(
        description="Cosine of the photo and the query, lowered for photos that resemble many drawings."
    )
    local_score: float | None = Field(description="How well regions match; null without re-ranking.")
    fused_score: float | None = Field(description="Score that orders re-ranked results; null without re-ranking.")
    width: int = Field(description="Width in pixels.")
    height: int = Field(description="Height in pixels.")

    @classmethod
    def of(cls, result: SearchResult, *, show_path: bool) -> "FoundPhoto":
        """Convert a result of a search."""
        fields = result.to_dict()
        path = fields.pop("path")
        return cls(id=result.sha256, name=shown_name(path), path=path if show_path else None, **fields)


class SearchAnswer(BaseModel):
    """Photos that were found, best first."""

    gallery: str
    results: list[FoundPhoto]
    seconds: dict[str, float] = Field(description="Time of each stage.")

    @classmethod
    def of(cls, gallery: str, answer: Answer, *, show_paths: bool) -> "SearchAnswer":
        """Convert the answer of a searcher."""
        results = [FoundPhoto.of(result, show_path=show_paths) for result in answer.results]
        return cls(gallery=gallery, results=results, seconds={k: round(v, 6) for k, v in answer.seconds.items()})


class GalleryAnswer(BaseModel):
    """A gallery that is served."""

    name: str
    photos: int | None = Field(description="Number of photos; null if the gallery cannot be read at the moment.")
    image_size: int = Field(description="Size in pixels at which the model sees pictures.")
    reranks: bool = Field(description="Whether searches re-rank by default.")
    explains: bool = Field(description="Whether results can be explained.")
    has_text: bool = Field(description="Whether it can be searched by words.")

    @classmethod
    def of(cls, name: str, searcher: Searcher) -> "GalleryAnswer":
        """Describe a gallery."""
        gallery = searcher.gallery
        return cls(
            name=name,
            photos=searcher.num_photos,
            image_size=gallery.encoder.identity.image_size,
            reranks=gallery.reranks,
            explains=gallery.encoder.has_local,
            has_text=searcher.has_text,
        )


class MatchAnswer(BaseModel):
    """A region of the sketch and the region of the photo that it matches best, as shares of width and height."""

    sketch_box: Box = Field(description="Left, top, right, bottom in the clean, square sketch.")
    photo_box: Box = Field(description="Left, top, right, bottom in the photo.")
    share: float = Field(description="Share of this pair in the local score.")


class ExplanationAnswer(BaseModel):
    """Matching regions of sketch and photo, largest share first."""

    gallery: str
    id: str
    matches: list[MatchAnswer]

    @classmethod
    def of(cls, gallery: str, photo: str, explanation: Explanation) -> "ExplanationAnswer":
        """Convert an explanation."""
        return cls(gallery=gallery, id=photo, matches=[MatchAnswer(**asdict(match)) for match in explanation.matches])


class Problem(BaseModel):
    """Why a request is refused."""

    detail: str
