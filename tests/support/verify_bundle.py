"""Verifies an evidence bundle that leaves nothing out, with nothing of Sortie's own: RFC 9162, RFC 8785, Ed25519.

usage: verify_bundle.py BUNDLE.zip KEY        KEY is NAME+ID+BASE64, as `sortie audit key show` prints it
"""

import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile


def sha256(data):
    return hashlib.sha256(data).digest()


def root(leaves):
    """The Merkle tree hash of RFC 9162, 2.1.1, over leaves that are hashed already."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:]))


def signed(public, text, signature):
    """Whether an Ed25519 signature holds; by the `cryptography` package, else by openssl."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("key.der", "text", "signature")]
            # SubjectPublicKeyInfo of an Ed25519 key (RFC 8410).
            der = bytes.fromhex("302a300506032b6570032100") + public
            for path, data in zip(paths, (der, text, signature)):
                with open(path, "wb") as file:
                    file.write(data)
            command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", paths[0]]
            done = subprocess.run(command + ["-sigfile", paths[2], "-in", paths[1]], capture_output=True)
            return done.returncode == 0
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
        return True
    except InvalidSignature:
        return False


def main(bundle, key):
    name, key_id, encoded = key.strip().split("+", 2)
    kind_and_key = base64.b64decode(encoded)
    assert kind_and_key[0] == 1, "an Ed25519 key"
    public = kind_and_key[1:]
    assert sha256(name.encode() + b"\n" + kind_and_key)[:4].hex() == key_id, "the key's own id"

    files = zipfile.ZipFile(bundle)
    text, signatures = files.read("checkpoint.txt").decode().rsplit("\n\n", 1)
    text += "\n"
    line = next(line for line in signatures.splitlines() if line.startswith("\u2014 %s " % name))
    blob = base64.b64decode(line.rsplit(" ", 1)[1])
    assert blob[:4].hex() == key_id, "signed by this key"
    assert signed(public, text.encode(), blob[4:]), "the signature"

    origin, size, claimed = text.splitlines()[:3]
    leaves = []
    for line in files.read("entries.jsonl").decode().splitlines():
        entry = json.loads(line)
        header = entry["entry"]
        canonical = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        leaves.append(sha256(b"\x00" + canonical))
        commitment = sha256(bytes.fromhex(entry["salt"]) + entry["payload"].encode()).hex()
        assert commitment == header["payload"], "the payload of entry %s" % header["seq"]
    assert len(leaves) == int(size), "%d entries of %s" % (len(leaves), size)
    assert base64.b64encode(root(leaves)).decode() == claimed, "the root"
    print("%s: %d entries lead to the root that %s signed" % (origin, len(leaves), name))


if __name__ == "__main__":
    main(*sys.argv[1:])
