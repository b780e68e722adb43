"""Who a model file is from: signatures of OpenSSH, which every Raspberry Pi OS brings.

They lie beside the file, as model.rpt.sig, and are made and checked by ssh-keygen's -Y commands:
a key for ssh, in a hardware token too, is all that a signer needs. `allowed_signers` is the file of
that name in ssh-keygen(1): a line "name key-type key" for each whose models are trusted.
"""

import hashlib
import os
import subprocess
from collections.abc import Sequence

from raspitrain.errors import InputError
from raspitrain.use.model_file import DIGEST_BYTES

NAMESPACE = "raspitrain"  # a signature made for mail or git does not count
SUFFIX = ".sig"


def sign(path: str, key: str) -> str:
    """Sign a model file; returns the signature's path.

    Parameters
    ----------
    path : model.rpt
    key : a private key of ssh, or a public one whose other half an agent holds

    Raises
    ------
    InputError
        There is no ssh-keygen, or it will not sign with this key.
    OSError
        The signature cannot be written.
    """
    from raspitrain.results.atomic import write_atomic

    # It would ask for what is missing, on the terminal, as long as nobody answers.
    if not os.path.isfile(key):
        raise InputError(f"there is no key {key}: give a key of ssh, such as ~/.ssh/id_ed25519.")
    with open(path, "rb") as file:
        done = _ssh_keygen(("sign", "-f", key, "-n", NAMESPACE), file.read())
    if done.returncode or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise InputError(f"{path} cannot be signed with {key}: {_reason(done)}")
    write_atomic(path + SUFFIX, done.stdout)
    return path + SUFFIX


def verify(path: str, digest: str, allowed_signers: str) -> str:
    """The name of whoever signed the model that was loaded.

    Parameters
    ----------
    path : model.rpt; its signature lies beside it
    digest : of the model that was loaded, hexadecimal: the file may have changed since

    Raises
    ------
    InputError
        There is no signature, it is of another file, or of nobody in `allowed_signers`.
    """
    signature = path + SUFFIX
    if not os.path.isfile(allowed_signers):
        raise InputError(
            f"there is no file of allowed signers {allowed_signers}: it has a line for each, as "
            "echo NAME $(cat KEY.pub) writes."
        )
    if not os.path.isfile(signature):
        raise InputError(
            f"there is no signature {signature}: raspitrain sign {path} --key KEY makes it."
        )
    with open(path, "rb") as file:
        content = file.read()
    if hashlib.sha256(content[:-DIGEST_BYTES]).hexdigest() != digest:
        raise InputError(f"{path} has changed since it was loaded: try again.")
    found = _ssh_keygen(("find-principals", "-s", signature, "-f", allowed_signers), b"")
    names = found.stdout.decode(errors="replace").splitlines()
    if found.returncode or not names:
        raise InputError(
            f"{signature} is of nobody in {allowed_signers}: add the signer's line there, if you "
            "trust them."
        )
    for name in names:
        words = ("verify", "-f", allowed_signers, "-I", name, "-n", NAMESPACE, "-s", signature)
        done = _ssh_keygen(words, content)
        if done.returncode == 0:
            return name
    raise InputError(f"{signature} is no signature of {path}: {_reason(done)}")


def _ssh_keygen(words: Sequence[str], content: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["ssh-keygen", "-Y", *words], input=content, capture_output=True, timeout=600
        )
    except FileNotFoundError:
        raise InputError("signatures need ssh-keygen: apt-get install openssh-client.") from None
    except subprocess.TimeoutExpired:
        raise InputError("ssh-keygen has not answered in ten minutes.") from None


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    said = (done.stderr + done.stdout).decode(errors="replace").strip().splitlines()
    return f"ssh-keygen says {said[-1]!r}." if said else f"exit code {done.returncode}."
