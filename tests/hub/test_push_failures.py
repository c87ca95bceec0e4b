"""A push that fails changes no revision of the repository."""

import threading
import time

import pytest
from caan_hub.options import PushDatasetOptions, PushOptions
from caan_hub.push import push_dataset, push_model
from hub_server import READ, STRANGER

from caan_hf import CaanError

pytestmark = pytest.mark.slow

LOAD = """
import sys, caan_hf
from transformers import AutoModel, AutoProcessor
model, processor = AutoModel.from_pretrained(sys.argv[1]), AutoProcessor.from_pretrained(sys.argv[1])
print(sum(parameter.numel() for parameter in model.parameters()))
"""


@pytest.fixture
def pushed(client, server, checkpoint):
    """A repository that contains the model already."""
    status, printed = client.hub("push", checkpoint, "me/tiny")
    assert status == 0, printed
    return server.repository("me/tiny")


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "hf auth login"),
        ("hf_wrong", "hf auth login"),
        ("hf_é", "invalid characters"),
        (READ, "the rights to write with this token"),
        (STRANGER, "under the namespace me"),
    ],
)
def test_a_token_without_the_right_to_create_the_repository_is_refused(client, server, checkpoint, token, reason):
    status, printed = client.hub("push", checkpoint, "me/tiny", token=token)
    assert status == 2
    assert reason in printed
    assert "Traceback" not in printed
    assert not server.repositories


@pytest.mark.parametrize("token", [READ, STRANGER])
def test_a_token_without_the_right_to_write_is_refused(client, pushed, checkpoint, token):
    refuses_and_changes_nothing(client, pushed, checkpoint, "", token=token)


def refuses_and_changes_nothing(client, pushed, checkpoint, reason, *words, **options):
    before = dict(pushed.branches)
    status, printed = client.hub("push", checkpoint, "me/tiny", "--with-text", *words, **options)
    assert (status, reason in printed, "Traceback" in printed) == (2, True, False), printed
    assert pushed.branches == before


def test_private_refuses_a_public_repository(client, server, pushed, checkpoint):
    status, printed = client.hub("push", checkpoint, "me/tiny", "--private")
    assert (status, "is public" in printed) == (2, True)
    status, printed = client.hub("push", checkpoint, "me/secret", "--private")
    assert status == 0, printed
    assert server.repository("me/secret").private
    status, printed = client.hub("push", checkpoint, "me/secret", token=STRANGER)
    assert status == 2


def test_a_tag_is_refused_as_a_branch(client, pushed, checkpoint):
    pushed.tags["v1"] = pushed.branches["main"]
    refuses_and_changes_nothing(client, pushed, checkpoint, "is a tag", "--revision", "v1")


@pytest.mark.parametrize(
    ("method", "path", "fault", "reason", "revision"),
    [
        ("PUT", r"^/lfs/", {"status": 500}, "HTTP 500", "new"),
        ("POST", "/commit/", {"status": 503}, "HTTP 503", "new"),
        ("POST", "/commit/", {"status": 503}, "HTTP 503", "main"),
        ("POST", "/preupload/", {"status": 429, "headers": {"Retry-After": "3600"}}, "wait 3600 seconds", "main"),
    ],
)
def test_a_request_that_fails_changes_no_revision(
    client, server, pushed, checkpoint, method, path, fault, reason, revision
):
    server.fail(method, path, **fault)
    refuses_and_changes_nothing(client, pushed, checkpoint, reason, "--revision", revision)


def test_a_temporary_fault_is_retried(client, server, pushed, checkpoint):
    server.large.clear()
    temporary = server.fail("PUT", r"^/lfs/", status=500, times=1)
    slow = server.fail("GET", "/refs", delay=0.5)
    status, printed = client.hub("push", checkpoint, "me/tiny", "--with-text")
    assert status == 0, printed
    assert (temporary.seen, slow.seen, len(pushed.history())) == (1, 1, 3)


def test_a_full_disk_is_a_one_line_error_and_leaves_nothing(full_disk, checkpoint, benchmark, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_write")
    dry_run = {"dry_run": True, "out": tmp_path / "out"}
    for push, source, options in (
        (push_model, checkpoint, PushOptions(**dry_run)),
        (push_dataset, benchmark, PushDatasetOptions(**dry_run)),
        (push_model, checkpoint, PushOptions()),  # temporary files cannot be written
    ):
        with pytest.raises(CaanError, match="cannot be written") as error:
            push(source, "me/tiny", options)
        assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_concurrent_push_is_refused(client, server, pushed, checkpoint):
    held = server.fail("POST", "/preupload/", delay=1.0, times=1)
    answers = []
    pushing = threading.Thread(target=lambda: answers.append(client.hub("push", checkpoint, "me/tiny", "--with-text")))
    pushing.start()
    assert held.reached.wait(180)
    theirs = pushed.commit("main", "theirs", dict(pushed.find("main").files))
    pushing.join(timeout=180)

    ((status, printed),) = answers
    assert status == 2
    assert "changed by another push" in printed
    assert pushed.branches == {"main": theirs.sha}


def test_a_client_killed_during_a_push_changes_no_revision(client, server, pushed, checkpoint, tmp_path):
    before = pushed.find("main")
    server.large.clear()
    for blob in before.files.values():
        server.large[blob.sha256] = blob.data
    held = server.fail("PUT", r"^/lfs/", hold=True)
    process = client.start("-m", "caan_hub.cli.main", "push", checkpoint, "me/tiny", "--with-text")
    assert held.reached.wait(180)
    process.kill()
    process.communicate(timeout=10)
    server.faults.clear()
    time.sleep(0.1)

    assert pushed.branches == {"main": before.sha}
    assert int(client.python(LOAD, "me/tiny", HF_HOME=str(tmp_path))) > 0
    status, printed = client.hub("push", checkpoint, "me/tiny", "--with-text")
    assert status == 0, printed
    assert pushed.find("main").parent == before.sha
