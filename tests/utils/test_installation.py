"""The command that adds an extra fits the way in which the package was installed."""

import json
import subprocess
import sys

import pytest

from caan_hf.errors import CaanError
from caan_hf.utils.installation import require
from tests.bare import BareEnvironment

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GIT = {"url": "https://git.example/caan", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}
WHEEL = {"url": "file:///wheels/caan_hf-0.1.0-py3-none-any.whl", "archive_info": {}}


def command(folder, origin: object) -> str:
    """The command of an installation of that origin, which stands before others on the path."""
    place = folder / "caan_hf-0.1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: caan-hf\nVersion: 0.1.0\n", encoding="utf-8")
    if origin is not None:
        (place / "direct_url.json").write_text(json.dumps(origin), encoding="utf-8")
    code = "from caan_hf.utils.installation import install_command; print(install_command('gallery,train'))"
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, '"caan-hf[gallery,train]"'),
        (
            {"url": "file:///home/me/my%20clone", "dir_info": {"editable": True}},
            '-e "/home/me/my clone[gallery,train]"',
        ),
        ({"url": "file:///home/me/clone", "dir_info": {}}, '"/home/me/clone[gallery,train]"'),
        (GIT, '"caan-hf[gallery,train] @ git+https://git.example/caan"'),
        (WHEEL, '"caan-hf[gallery,train] @ file:///wheels/caan_hf-0.1.0-py3-none-any.whl"'),
        (["damaged"], '"caan-hf[gallery,train]"'),
    ],
)
def test_the_command_names_the_origin(tmp_path, origin, expected):
    assert command(tmp_path, origin) == f"pip install {expected}"


def test_an_installed_package_is_accepted_and_a_missing_one_is_named():
    require("numpy")
    with pytest.raises(CaanError, match="no_such_package"):
        require("no_such_package")


RECORDED = """
import caan_hf
from caan_hf.publishing.training_record import training_record
from caan_hf.utils.installation import install_command, versions
record = training_record({"model": {}})
assert record.versions["caan-hf"] == versions(["caan-hf"])["caan-hf"] == caan_hf.__version__
assert record.commit is None or len(record.commit.removesuffix("-dirty")) == 40
assert install_command("train") == 'pip install "caan-hf[train]"'
"""


def test_a_clone_that_is_not_installed_records_its_own_version(tmp_path):
    clone = BareEnvironment(tmp_path, "train")
    for installation in tmp_path.glob("caan_hf-*.dist-info"):
        installation.unlink()
    answer = clone.run("-c", RECORDED)
    assert answer.returncode == 0, answer.stderr
