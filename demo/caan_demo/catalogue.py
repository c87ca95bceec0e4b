"""The galleries that visitors of the page choose from."""

from dataclasses import dataclass

from caan_hf.errors import CaanError
from caan_hf.gallery.results import shown_name
from caan_hf.service.searcher import Searcher


@dataclass(frozen=True)
class Catalogue:
    """Galleries by name.

    Attributes:
        searchers: Galleries by the name that visitors see; the first one is selected.
        notice: Reason why there are no galleries.
        show_paths: Show full paths of photos to visitors and programs instead of names. Only for a server that no other
            machine can reach.
    """

    searchers: dict[str, Searcher]
    notice: str = ""
    show_paths: bool = False

    def searcher(self, name: str | None) -> Searcher:
        """Get a gallery by its name.

        Raises:
            CaanError: There is no such gallery.
        """
        if not self.searchers:
            raise CaanError(self.notice)
        if name not in self.searchers:
            raise CaanError(f"there is no gallery {name!r}. Choose one of {', '.join(self.searchers)}.")
        return self.searchers[name]

    def shown(self, path: str) -> str:
        """What visitors see of the path of a photo."""
        return path if self.show_paths else shown_name(path)
