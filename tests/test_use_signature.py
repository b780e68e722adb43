"""Who a model is from: signed with keys of ssh, refused where a signature is asked for."""

import json
import os
import subprocess

import pytest
from test_use_commands import model_file

from raspitrain.__main__ import main as raspitrain
from raspitrain.errors import InputError
from raspitrain.use import load


def key(folder, name):
    path = folder / name
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path]
    subprocess.run(command, check=True)
    return path, f"{name}@lab {path.with_suffix('.pub').read_text()}"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A signed model, the signer's line, and those of others."""
    folder = tmp_path_factory.mktemp("signed")
    _, line = key(folder, "ann")
    _, other = key(folder, "bob")
    (folder / "ann").chmod(0o600)
    (folder / "allowed").write_text(other + line)
    (folder / "others").write_text(other)
    model_file(folder / "model.rpt")
    return folder


def command(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["raspitrain", *map(str, words)])
    return raspitrain()


def test_a_signed_model_names_its_signer(given, monkeypatch, capsys):
    model, allowed = given / "model.rpt", given / "allowed"
    assert command(monkeypatch, "check", model, "--json", "--require-signature", allowed) == 2
    assert (
        f"there is no signature {model}.sig: raspitrain sign {model} --key KEY"
        in capsys.readouterr().err
    )
    assert command(monkeypatch, "sign", model, "--key", given / "ann") == 0
    assert capsys.readouterr().out == f"{model}.sig\n"
    assert load(model, allowed_signers=allowed).signer == "ann@lab"
    assert load(model).signer is None
    assert command(monkeypatch, "check", given, "--json", "--require-signature", allowed) == 0
    assert json.loads(capsys.readouterr().out)["signer"] == "ann@lab"
    with pytest.raises(InputError, match="of nobody in"):
        load(model, allowed_signers=given / "others")


def test_a_signature_is_of_one_file(given, tmp_path):
    """Neither another model's, nor one made for something else."""
    other = model_file(tmp_path / "model.rpt", hop=8)
    words = ["ssh-keygen", "-Y", "sign", "-f", given / "ann", "-n"]
    signature = tmp_path / "model.rpt.sig"
    model_file(tmp_path / "signed.rpt", hop=16)
    for namespace, path in (("raspitrain", "signed.rpt"), ("file", "model.rpt")):
        subprocess.run([*words, namespace, tmp_path / path], check=True, capture_output=True)
        os.replace(tmp_path / f"{path}.sig", tmp_path / "moved")
        os.replace(tmp_path / "moved", signature)
        with pytest.raises(InputError, match="is no signature of"):
            load(other, allowed_signers=given / "allowed")
    signature.write_text("nothing")
    with pytest.raises(InputError, match=r"model\.rpt\.sig"):
        load(other, allowed_signers=given / "allowed")


@pytest.mark.parametrize("wrong", ["missing", "given.txt"])
def test_what_cannot_sign_is_named(given, tmp_path, monkeypatch, capsys, wrong):
    (tmp_path / "given.txt").write_text("no key")
    model = model_file(tmp_path / "model.rpt")
    assert command(monkeypatch, "sign", model, "--key", tmp_path / wrong) == 2
    assert str(tmp_path / wrong) in capsys.readouterr().err
    assert not (tmp_path / "model.rpt.sig").exists()
