"""Pages of the documentation site that are not files in docs/: the README, notebooks, command lines and Python API.

They are generated while the site is built, so that no text exists twice. Links to files of the repository that are no
pages lead to pages that show these files.
"""

import ast
import json
import posixpath
import re
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import griffe
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from PIL import Image
from typer.cli import get_docs_for_click

ROOT = Path(__file__).parents[2]
PROGRAMS = {
    "caan": "caan_hf.cli.main",
    "caan-demo": "caan_demo.cli",
    "caan-export": "caan_export.cli.main",
    "caan-hub": "caan_hub.cli.main",
}
API = {
    "Encoders": (
        "From images to features: a checkpoint, an ONNX export, or any vision model as an untrained baseline.",
        ["caan_hf.load_encoder", "caan_hf.Encoder", "caan_export.runtime.CaanOnnx", "caan_hf.CaanError"],
    ),
    "Galleries": ("Photos that are indexed once and searched by sketch.", ["caan_hf.gallery"]),
    "Evaluation": (
        "Metrics, conventions and reports. [Protocols and metrics](../protocols.md) defines them.",
        ["caan_hf.evaluate", "caan_hf.evaluation"],
    ),
    "Benchmarks": ("From folders of images to a `DatasetDict`.", ["caan_hf.benchmarks"]),
    "Training": ("The Hugging Face `Trainer` with CAAN's batches and losses.", ["caan_hf.training"]),
    "Model": (
        "The classes behind `AutoConfig`, `AutoModel` and `AutoProcessor`.",
        [f"caan_hf.{name}" for name in ("CaanModel", "CaanConfig", "CaanProcessor")]
        + [f"caan_hf.{name}" for name in ("CaanImageFeatures", "CaanTextFeatures", "CaanOutput")],
    ),
}
"""Title of a page, its first sentence, and its objects. A package stands for the names in its `__all__`."""
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the repository outside docs/ -> pages of the site."""
LANGUAGES = {".cff": "yaml", ".md": "markdown", ".py": "python", ".sh": "bash", ".yaml": "yaml"}
LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
NAMED_BY_PATH = re.compile(r"\[[\w/]+\.md\](\(([^)\s#]+\.md)[^)\s]*\))")
TITLE = re.compile(r"^# +(.+)$", flags=re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    sources = {f"docs/{file.src_uri}": file.src_uri for file in files}
    contents = {page: (ROOT / name).read_text(encoding="utf-8") for name, page in PAGES.items()}
    sources |= PAGES
    for notebook in sorted((ROOT / "examples").glob("*.ipynb")):
        page = f"notebooks/{notebook.stem}.md"
        sources[f"examples/{notebook.name}"] = page
        contents[page] = notebook_page(notebook)
        files.append(File.generated(config, f"notebooks/{notebook.name}", abs_src_path=str(notebook)))
    origins = {page: name for name, page in sources.items()}
    for page in [file.src_uri for file in files.documentation_pages()] + list(contents):
        text = contents.get(page) or (ROOT / origins[page]).read_text(encoding="utf-8")
        for name in linked_files(text, origins[page]) - set(sources):
            sources[name] = f"source/{name}.md"
            contents[sources[name]] = source_page(ROOT / name, name)
    contents |= {f"cli/{name}.md": command_line_page(name, module) for name, module in PROGRAMS.items()}
    contents |= {f"api/{title.lower()}.md": api_page(title, *what) for title, what in API.items()}
    for page, content in contents.items():
        files.append(File.generated(config, page, content=content))
    config.extra["sources"] = sources
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let relative links lead to the pages of the files that they name, and show titles instead of paths."""
    sources = config.extra["sources"]
    here = page.file.src_uri
    origin = next((name for name, uri in sources.items() if uri == here), None)
    if here == "index.md":
        page.meta["hide"] = ["navigation"]
    if origin is None or here.startswith("source/"):
        return markdown

    def replaced(link: re.Match[str]) -> str:
        target = sources.get(resolved(link[2], origin))
        return link[0] if target is None else link[1] + posixpath.relpath(target, posixpath.dirname(here)) + link[3]

    def titled(link: re.Match[str]) -> str:
        title = TITLE.search((ROOT / resolved(link[2], origin)).read_text(encoding="utf-8"))
        return f"[{title[1]}]{link[1]}" if title else link[0]

    return LINK.sub(replaced, NAMED_BY_PATH.sub(titled, markdown))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Give pictures their size, so that the text below does not move when they are loaded."""

    def sized(picture: re.Match[str]) -> str:
        with Image.open(ROOT / "docs" / resolved(picture[1], page.file.dest_uri)) as opened:
            return f'{picture[0]} width="{opened.width}" height="{opened.height}"'

    return re.sub(r'<img [^>]*?src="([^":]+)"', sized, html)


def resolved(link: str, origin: str) -> str:
    """The path in the repository to which a relative link in the file `origin` leads."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))


def linked_files(text: str, origin: str) -> set[str]:
    """Files and folders of the repository outside docs/ to which a page links."""
    links = [link[2] for link in LINK.finditer(text) if not re.match("[a-z]+:", link[2])]
    names = {resolved(link, origin) for link in links}
    return {name for name in names if not name.startswith("docs/") and (ROOT / name).exists()}


def source_page(path: Path, name: str) -> str:
    """A file of the repository, or all scripts and settings of a folder."""
    if path.suffix == ".md":
        return re.sub(r"\A---\n.*?\n---\n", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    files = sorted(one for one in path.iterdir() if one.suffix in LANGUAGES) if path.is_dir() else [path]
    title = "## {}\n\n" if path.is_dir() else ""
    blocks = ((one, fenced(LANGUAGES.get(one.suffix, "text"), one.read_text(encoding="utf-8"))) for one in files)
    sections = (title.format(one.name) + block for one, block in blocks)
    return f"# {name}\n\n" + "\n".join(sections)


def notebook_page(notebook: Path) -> str:
    """The cells of a notebook, below a link to the file."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = ((cell["cell_type"], "".join(cell["source"])) for cell in cells)
    blocks = [fenced("python", text) if kind == "code" else text for kind, text in texts]
    return "\n\n".join([*blocks[:1], f"[Download this notebook]({notebook.name})", *blocks[1:]])


def fenced(language: str, text: str) -> str:
    """A code block."""
    return f"````{language}\n{text.rstrip()}\n````\n"


def command_line_page(name: str, module: str) -> str:
    """All commands of a program, as typer describes them."""
    command = typer.main.get_command(import_module(module).app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name=name), name=name)
    text = re.sub(r"^\* `--(install|show)-completion`.*\n", "", text, flags=re.MULTILINE)
    # typer shortens the first sentences in its list of commands; the sections below have them in full
    before, heading, after = text.partition("**Commands**:\n")
    commands, section, rest = after.partition("\n## ")
    commands = re.sub(r"^\* `([\w-]+)`: .*$", rf"* [`{name} \1`](#{name}-\1)", commands, flags=re.MULTILINE)
    return before + heading + commands + section + rest


def api_page(title: str, sentence: str, objects: Iterable[str]) -> str:
    """Directives for the docstrings of the objects."""
    names = (name for one in objects for name in public_names(one))
    return f"# {title}\n\n{sentence}\n\n" + "\n".join(f"::: {name}" for name in names)


def public_names(name: str) -> list[str]:
    """The objects in the `__all__` of a package; otherwise the name itself."""
    file = ROOT / "src" / name.replace(".", "/") / "__init__.py"
    if not file.is_file():
        return [name]
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [f"{name}.{one}" for one in ast.literal_eval(node.value)]
    raise ValueError(f"{file}: no __all__")


class Docstrings(griffe.Extension):
    """Turns [`name`] into a link if the API pages have that name, otherwise into code. Marks examples as code."""

    def __init__(self) -> None:
        objects = [one for _, names in API.values() for name in names for one in public_names(name)]
        self.targets = {name.rpartition(".")[2]: name for name in objects}

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            text = re.sub(r"^( +\w+ \()\[`([\w.]+)`\]", r"\1\2", obj.docstring.value, flags=re.MULTILINE)  # types
            text = re.sub(r"\[`([\w.]+)`\](?![\[(])", self.reference, text)
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs: object) -> None:
        """Show the type of a command line option, and its help as its description."""
        if not isinstance(attr.annotation, griffe.ExprSubscript) or str(attr.annotation.left) != "Annotated":
            return
        kind, *rest = attr.annotation.slice.elements
        attr.annotation = kind
        for call in (one for one in rest if isinstance(one, griffe.ExprCall)):
            for argument in call.arguments:
                if isinstance(argument, griffe.ExprKeyword) and argument.name == "help":
                    with suppress(ValueError):  # an f-string
                        text = ast.literal_eval(f"({argument.value})")
                        attr.docstring = griffe.Docstring(text, parent=attr)

    def reference(self, found: re.Match[str]) -> str:
        """A link to the class or function that the name begins with."""
        target = self.targets.get(found[1].removeprefix("caan_hf.").partition(".")[0])
        return f"[`{found[1]}`][{target}]" if target else f"`{found[1]}`"
