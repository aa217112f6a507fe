"""The reference's own primitives on the same bytes, for `deploy/dev/bench-signing.sh`.

    python primitives.py DIRECTORY KEY ROUNDS

reads what `countersign-load primitives --save DIRECTORY` wrote, and prints a line for each step: its
name, and its median in microseconds. `canonicaljson` and `ecdsa` are what the reference uses.
`openssl-…` is the package `cryptography`, for those who ask what Python could do.
"""

import hashlib
import json
import operator
import statistics
import sys
import time
from pathlib import Path

import canonicaljson
import ecdsa
import ecdsa.util

PREFIX = b"Content-Signature:\x00"


def median(rounds, step):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times) * 1_000_000)


def canonical(records):
    # As its serializer does.
    live = (record for record in records if not record.get("deleted", False))
    live = sorted(live, key=operator.itemgetter("id"))
    return canonicaljson.dumps({"data": live, "last_modified": "1700000000000"})


def main(directory, key_file, rounds):
    records = json.loads(Path(directory, "records.json").read_text())
    expected = Path(directory, "document.json").read_text()
    if canonical(records) != expected:
        sys.exit("The reference's canonical form is another one.")
    document = PREFIX + expected.encode()
    pem = Path(key_file).read_bytes()
    key = ecdsa.SigningKey.from_pem(pem)
    public = key.get_verifying_key()

    def sign(message):
        return key.sign(message, hashfunc=hashlib.sha384, sigencode=ecdsa.util.sigencode_string)

    signature = sign(document)
    steps = {
        "canonical": lambda: canonical(records),
        "digest": lambda: hashlib.sha384(document).digest(),
        "sign": lambda: sign(document),
        "verify": lambda: public.verify(
            signature,
            document,
            hashfunc=hashlib.sha384,
            sigdecode=ecdsa.util.sigdecode_string,
        ),
        "sign-little": lambda: sign(PREFIX + b"{}"),
    }
    steps.update(with_openssl(pem, document))
    for name, step in steps.items():
        print(name, median(rounds, step))


def with_openssl(pem, document):
    try:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        return {}
    key = load_pem_private_key(pem, None)
    public, algorithm = key.public_key(), ec.ECDSA(hashes.SHA384())
    signature = key.sign(document, algorithm)
    return {
        "openssl-sign": lambda: key.sign(document, algorithm),
        "openssl-verify": lambda: public.verify(signature, document, algorithm),
    }


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
