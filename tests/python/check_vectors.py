"""Reproduces every vector of a folder with mc2proto: check_vectors.py FOLDER X_WING_VECTORS.

X_WING_VECTORS is the file of the X-Wing draft. Prints a line for each file of vectors; ends with 1
at the first vector that differs.
"""

import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import mc2proto as p


def same(what, found, expected):
    if found != expected:
        raise SystemExit(f"{what}: expected {expected!r}, found {found!r}")


def refuses(what, attempt):
    try:
        attempt()
    except (p.Refused, InvalidTag, InvalidSignature, StopIteration):
        return
    raise SystemExit(f"{what} was not refused")


def context(v):
    parts = [bytes.fromhex(part) for part in v["parts"]]
    same("context", p.context(v["label"], *parts).hex(), v["bytes"])


def hpke(v):
    key = p.XWingPrivateKey(bytes.fromhex(v["seed"]))
    info = bytes.fromhex(v["info"])
    same("public key", key.public_key().hex(), v["public_key"])
    same("plaintext", key.open(v["sealed"], info).hex(), v["plaintext"])
    exported = key.export(v["sealed"], info, bytes.fromhex(v["exporter_context"]))
    same("exported key", exported.hex(), v["exported"])
    refuses("another purpose", lambda: key.open(v["sealed"], info + b"x"))


def sealed(v):
    key, ad = bytes.fromhex(v["key"]), p.associated_data(v["dataset"])
    header, size, length = bytes.fromhex(v["header"]), v["segment_size"], v["length"]
    same("associated data", ad.hex(), v["associated_data"])
    plaintext = bytes((at * 31 + 7) % 251 for at in range(length))
    file = p.seal_file(key, ad, header, size, plaintext)
    same("sealed length", len(file.sealed), v["sealed_length"])
    same("sealed bytes", p.sha256(file.sealed).hex(), v["sealed_sha256"])
    if v["sealed"] is not None:
        same("sealed bytes", file.sealed.hex(), v["sealed"])
    same("digests", file.digests.hex(), v["segment_digests"])
    same("digest of digests", file.digest_list_digest().hex(), v["digest_list_digest"])
    same("commitment", p.commitment(key, header).hex(), v["key_commitment"])
    opened = p.open_file(key, ad, header, size, length, file)
    same("plaintext", opened, plaintext)
    other = p.associated_data("other")
    refuses("another dataset", lambda: p.open_file(key, other, header, size, length, file))


def manifest(v):
    text = v["manifest"].encode()
    same("object id", p.object_id(text), v["object"])
    parsed = p.parse_manifest(text)
    same("the bytes", p.dump(parsed), text)
    if v["owner"] is not None:
        key = p.owner_key(parsed, p.Identity.parse(v["owner"]))
        same("owner's key", key.hex(), v["key"])
        stream = parsed["content"]["file"]
        header = bytes.fromhex(stream["header"])
        same("commitment", p.commitment(key, header).hex(), stream["key_commitment"])


def paths(v):
    files = [tuple(file) for file in v["files"]]
    table = p.encode_table(files)
    same("table", table.hex(), v["table"])
    same("padded length", p.padded_length(table), v["padded_length"])
    same("its files", p.parse_table(table + b"rest"), (files, b"rest"))
    refuses("a table cut off", lambda: p.parse_table(table[:-1]))
    refuses("another version", lambda: p.parse_table(b"\x02" + table[1:]))
    for bad in ("../x", "/x", "a//b", "a\\b", "x" * 256, "a\n"):
        refuses(f"the path {bad!r}", lambda: p.parse_table(p.encode_table([(bad, 1)])))
    both = p.encode_table([("a", 1), ("a/b", 1)])
    refuses("a file that is a folder", lambda: p.parse_table(both))


def folder(v):
    manifest, key = p.parse_manifest(v["manifest"].encode()), bytes.fromhex(v["key"])
    streams = [(bytes.fromhex(one["sealed"]), bytes.fromhex(one["digests"])) for one in v["streams"]]
    opened = p.open_folder(manifest, key, [p.SealedFile(*one) for one in streams])
    same("files", [[path, data.hex()] for path, data in opened], v["files"])
    ((kind, _),) = manifest["content"].items()
    if kind == "packed":
        other = {**manifest, "content": {"file": manifest["content"]["packed"]}}
        sealed = p.SealedFile(*streams[0])
        refuses("a folder as a file", lambda: p.open_stream(other, 0, key, sealed))


def card(v):
    seeds = bytes.fromhex(v["signing_seed"]), bytes.fromhex(v["private_seed"])
    identity = p.Identity(v["name"], *seeds)
    same("identity", identity.text(), v["identity"])
    same("identity's card", p.Identity.parse(v["identity"]).card, identity.card)
    same("card", identity.card.text(), v["card"])
    same("digest", identity.card.digest().hex(), v["digest"])
    same("fingerprint", identity.card.fingerprint(), v["fingerprint"])
    altered = bytearray(identity.card.bytes)
    altered[5 + len(v["name"])] ^= 1
    refuses("an altered card", lambda: p.Card.parse("mc2card1" + p.b64url(altered)))


def broker(v):
    owner, card = p.Identity.parse(v["owner"]), p.Card.parse(v["card"])
    same("the broker's text", p.broker_text(card, owner), v["broker"])
    same("the broker's card", p.parse_broker(v["broker"], owner.card), card)
    other = p.Card.parse(v["other"])
    refuses("another owner", lambda: p.parse_broker(v["broker"], other))
    refuses("the broker itself", lambda: p.parse_broker(v["broker"], card))


def replacement(v):
    old, new = p.Identity.parse(v["old"]), p.Identity.parse(v["new"])
    signed = p.Replacement.sign(old, new.card)
    same("replacement", signed.text(), v["replacement"])
    read = p.Replacement.parse(v["replacement"])
    same("cards", (read.old, read.new), (old.card, new.card))
    altered = bytearray(p.unb64url(v["replacement"].removeprefix("mc2next1")))
    altered[-1] ^= 1
    refuses(
        "an altered replacement",
        lambda: p.Replacement.parse("mc2next1" + p.b64url(altered)),
    )


def dsse(v):
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(v["seed"]))
    payload = bytes.fromhex(v["payload"])
    same("public key", p.raw(key.public_key()).hex(), v["public_key"])
    envelope = p.dsse_sign(v["payload_type"], payload, key)
    same("envelope", envelope, v["envelope"].encode())
    public = bytes.fromhex(v["public_key"])
    same("payload", p.dsse_verify(envelope, v["payload_type"], public), payload)
    refuses("another type", lambda: p.dsse_verify(envelope, "a/b", public))


def record(v):
    text = v["record"].encode()
    p.parse_record(text)
    same("session digest", p.session_digest(text).hex(), v["session"])
    same("report data", p.report_data(text, bytes.fromhex(v["nonce"])).hex(), v["report_data"])


def opening(v):
    opener, text = p.Card.parse(v["opener"]), v["open"].encode()
    parsed = p.verify_opening(text, opener)
    same("the bytes", p.dump(parsed), text)
    for field in ("nonce", "challenge"):
        other = p.dump({**parsed, field: "ab" * 32})
        refuses(f"another {field}", lambda: p.verify_opening(other, opener))


def message(v):
    text, session = v["message"].encode(), bytes.fromhex(v["session"])
    key = p.XWingPrivateKey(bytes.fromhex(v["session_seed"]))
    sender = p.Card.parse(v["sender"])
    content, envelope, answer_key = p.open_message(text, session, key, sender)
    approval = envelope.decode() if content["type"] == "approve" else None
    same("approval", approval, v["approval"])
    same("type", content["type"], v["kind"])
    same("sequence", content["sequence"], v["sequence"])
    same("body", content["body"], v["body"])
    request = p.sha256(text)
    same("request", request.hex(), v["request"])
    signer = bytes.fromhex(v["session_signing_key"])
    for shape in ("sealed_answer", "signed_answer"):
        answer = v[shape].encode()
        outcome = p.open_answer(answer, session, request, signer, answer_key)
        same(shape, outcome, v["outcome"])
        other = p.sha256(b"other")
        refuses("another request", lambda: p.open_answer(answer, session, other, signer, answer_key))


def job(v):
    text = v["job"].encode()
    same("job digest", p.sha256(text).hex(), v["digest"])
    same("the bytes", p.dump(json.loads(text)), text)


def receipt(v):
    session, reader = bytes.fromhex(v["session"]), p.Identity.parse(v["reader"])
    envelope = p.open_receipt(v["sealed_receipt"].encode(), session, reader)
    signer = bytes.fromhex(v["signing_public_key"])
    predicate = p.verify_receipt(envelope, signer)
    same("statement", p.dsse_verify(envelope, p.STATEMENT_TYPE, signer), v["statement"].encode())
    record_bytes = p.b64(predicate["record"])
    same("session", p.session_digest(record_bytes), session)
    parsed = p.parse_record(record_bytes)
    same("signer", parsed["signing_public_key"], signer.hex())
    same("policy", parsed["policy"], p.sha256(p.b64(predicate["policy"])).hex())
    (approval,) = predicate["approvals"]
    content = p.verify_message(approval, session, p.Card.parse(v["approver"]))
    same("approval", content["body"], {"policy": parsed["policy"]})
    (output,) = predicate["outputs"]
    job, other = bytes.fromhex(predicate["job"]), p.sha256(b"other job")
    key, length, digest = p.output_secret(session, job, output, reader)
    same("output", {"key": key.hex(), "length": length, "sha256": digest.hex()}, v["output"])
    refuses("another job", lambda: p.output_secret(session, other, output, reader))
    (entry,) = predicate["custody"]
    key, length = p.custody_secret(session, job, entry, reader)
    same("custody", {"key": key.hex(), "length": length}, v["custody"])
    more = {**entry, "runs": entry["runs"] + 1}
    refuses("another count", lambda: p.custody_secret(session, job, more, reader))
    refuses("custody of another job", lambda: p.custody_secret(session, other, entry, reader))
    as_output = {"name": entry["name"], "recipients": [entry["holder"]]}
    refuses("custody as an output", lambda: p.output_secret(session, job, as_output, reader))
    (step,), submitter = predicate["steps"], p.Identity.parse(v["submitter"])
    same("usage", p.usage(session, job, 0, step["usage"], reader), v["usage"])
    same("observed", p.observed(session, job, 0, step["observed"], submitter), v["observed"])
    failed = p.failed_output(session, job, predicate["failure"], submitter)
    same("failed output", failed, v["failed_output"])
    refuses("another step", lambda: p.usage(session, job, 1, step["usage"], reader))
    refuses("another reader", lambda: p.usage(session, job, 0, step["usage"], submitter))


def event(v):
    session, recipient = bytes.fromhex(v["session"]), p.Identity.parse(v["recipient"])
    signer = bytes.fromhex(v["signing_public_key"])
    opened = p.open_event(v["sealed_event"].encode(), session, signer, recipient)
    same("event", opened, v["event"])


def evidence(v):
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(v["simulator_seed"]))
    public = p.raw(key.public_key())
    report = p.verify_sim_evidence(json.loads(v["evidence"]), public)
    same("measurement", report["measurement"], v["measurement"])
    expected = p.report_data(v["record"].encode(), bytes.fromhex(v["nonce"]))
    same("report data", report["report_data"], expected.hex())


def published(vectors):
    v = vectors["rfc9180_a_1_1"]
    data = {name: bytes.fromhex(v[name]) for name in v if isinstance(v[name], str) and name != "suite"}
    ids = v["kem_id"], v["kdf_id"], v["aead_id"]
    schedule = p.KeySchedule.of(*ids, 16, data["shared_secret"], data["info"])
    same("key", schedule.key, data["key"])
    same("base nonce", schedule.base_nonce, data["base_nonce"])
    same("exporter secret", schedule.exporter_secret, data["exporter_secret"])
    same("exported", schedule.export(b""), data["exported"])
    aead = AESGCM(schedule.key)
    same("plaintext", aead.decrypt(schedule.base_nonce, data["ct"], data["aad"]), data["pt"])


def x_wing(v):
    key = p.XWingPrivateKey(bytes.fromhex(v["sk"]))
    same("public key", key.public_key().hex(), v["pk"])
    same("shared secret", key.decapsulate(bytes.fromhex(v["ct"])).hex(), v["ss"])


CHECKS = [
    context,
    hpke,
    sealed,
    manifest,
    paths,
    folder,
    card,
    broker,
    replacement,
    dsse,
    record,
    opening,
    message,
    job,
    receipt,
    event,
    evidence,
]


def main(folder: Path, x_wing_vectors: Path):
    for check in CHECKS:
        vectors = json.loads((folder / f"{check.__name__}.json").read_text())
        for vector in vectors:
            check(vector)
        print(f"{check.__name__}: {len(vectors)} reproduced")
    published(json.loads((folder / "published.json").read_text()))
    print("published: RFC 9180 A.1.1 holds")
    vectors = json.loads(x_wing_vectors.read_text())
    for vector in vectors:
        x_wing(vector)
    print(f"X-Wing draft: {len(vectors)} hold")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
