import pytest

from caan_hf.publishing.public_metrics import public_metrics

DOCUMENT = {
    "protocol": "sample@1",
    "conventions": {"standard": {"mAP@all": 0.5}},
    "checkpoint": "/of/somebody/runs/x/model",
    "data": "/of/somebody/data/sketchy 25",
    "command": "caan evaluate /of/somebody/runs/x/model --data '/of/somebody/data/sketchy 25' --split test "
    "--trained-on /of/somebody/seen.txt",
    "host": "machine-of-somebody",
}


def test_of_folders_only_names_stay_and_the_command_still_works():
    public = public_metrics(DOCUMENT, "me/tiny")
    assert "somebody" not in str(public)
    assert public["conventions"] == DOCUMENT["conventions"]
    assert (public["checkpoint"], public["data"]) == ("me/tiny", "sketchy 25")
    assert public["command"] == "caan evaluate me/tiny --data 'sketchy 25' --split test --trained-on seen.txt"
    assert public_metrics(public, "me/tiny") == public


@pytest.mark.parametrize("command", ["python /of/somebody/x.py", "caan evaluate", "caan 'evaluate", 3, None])
def test_another_command_is_left_out(command):
    assert "command" not in public_metrics(DOCUMENT | {"command": command}, "me/tiny")
