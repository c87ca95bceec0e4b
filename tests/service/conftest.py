"""A gallery to serve."""

from photos import calls  # noqa: F401 - a fixture
from served import checkpoint, drawing, gallery, photos, searcher  # noqa: F401 - fixtures
