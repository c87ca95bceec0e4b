"""Registers CAAN with the Auto classes of `transformers`, without importing `transformers` or torch too early.

`import caan_hf` must be quick, and must work where only the ONNX runtime is installed. So the registration waits until
`transformers.models.auto` is imported, as `from transformers import AutoModel` does.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

AUTO_MODULE = "transformers.models.auto"


def register() -> None:
    """Register configuration, model and processor; calling it again changes nothing."""
    from transformers import AutoConfig, AutoModel, AutoProcessor  # noqa: PLC0415

    from .configuration_caan import CaanConfig  # noqa: PLC0415
    from .modeling_caan import CaanModel  # noqa: PLC0415
    from .processing_caan import CaanProcessor  # noqa: PLC0415

    AutoConfig.register("caan", CaanConfig, exist_ok=True)
    AutoModel.register(CaanConfig, CaanModel, exist_ok=True)
    AutoProcessor.register(CaanConfig, CaanProcessor, exist_ok=True)


def register_when_needed() -> None:
    """Register now if the Auto classes are imported already, otherwise as soon as they are."""
    if AUTO_MODULE in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the modules of transformers and CAAN as Python does, but with a loader that registers CAAN."""

    def __init__(self) -> None:
        # Nesting of the imports under way. Modules of transformers import the Auto classes before they are complete
        # themselves, and CAAN's modules import the Auto classes.
        self.depth = 0

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith("transformers.") and not (name.startswith("caan_hf.") and name.endswith("_caan")):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _RegisteringLoader(spec.loader, self)
        return spec

    def register(self) -> None:
        """Register CAAN once all modules that it needs can be imported, and step aside."""
        if self.depth == 0 and AUTO_MODULE in sys.modules and self in sys.meta_path:
            sys.meta_path.remove(self)
            register()


class _RegisteringLoader(Loader):
    def __init__(self, loader: Loader, finder: _Finder):
        self.loader = loader
        self.finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.finder.depth += 1
        try:
            self.loader.exec_module(module)
        finally:
            self.finder.depth -= 1
        self.finder.register()

    def __getattr__(self, name: str) -> object:
        return getattr(self.loader, name)  # inspect and pickle read source files through the loader
