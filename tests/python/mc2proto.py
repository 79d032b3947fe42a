"""The formats of docs/protocol.md a second time, from the document alone.

It shares no code with the Rust crates. It is for checking vectors, not for secrets: nothing here is
constant-time, and keys are not wiped. Chapters (§) are those of docs/protocol.md.
"""

import base64
import hashlib
import hmac
import json
import struct
import unicodedata
from dataclasses import dataclass

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# §1 Conventions


class Refused(Exception):
    """A document that is not what it should be."""


def require(condition, reason):
    if not condition:
        raise Refused(reason)


def lp(part: bytes) -> bytes:
    return struct.pack(">Q", len(part)) + part


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def b64(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    require(base64.b64encode(data).decode() == text, "base64 is not in its one spelling")
    return data


def unhex(text: str, length: int) -> bytes:
    require(text == text.lower() and len(text) == 2 * length, "not lower-case hex of its length")
    return bytes.fromhex(text)


def load(text, fields: dict) -> dict:
    """Parses an object that has exactly `fields`; the optional ones map to False."""

    def pairs(found):
        names = [name for name, _ in found]
        require(len(names) == len(set(names)), "a field given twice")
        return dict(found)

    value = json.loads(text, object_pairs_hook=pairs)
    return shape(value, fields)


def shape(value: dict, fields: dict) -> dict:
    unknown = set(value) - set(fields)
    missing = {name for name, needed in fields.items() if needed} - set(value)
    require(not unknown and not missing, f"unknown {unknown}, missing {missing}")
    return value


def dump(value) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


# §2 Labels

ASSOCIATED_DATA = "mc2/v1/associated-data"
PATH_TABLE = "mc2/v1/path-table"
PACKED_FOLDER = "mc2/v1/packed-folder"
KEY_COMMITMENT = "mc2/v1/key-commitment"
OWNER_KEY = "mc2/v1/owner-key"
CARD = "mc2/v1/card"
REPLACEMENT = "mc2/v1/replacement"
BROKER = "mc2/v1/broker"
OPENING = "mc2/v1/opening"
REPORT_DATA = "mc2/v1/report-data"
MESSAGE = "mc2/v1/message"
ANSWER = "mc2/v1/answer"
OUTPUT = "mc2/v1/output"
CUSTODY = "mc2/v1/custody"
USAGE = "mc2/v1/usage"
OBSERVED = "mc2/v1/observed"
FAILURE = "mc2/v1/failure"
RECEIPT_KEY = "mc2/v1/receipt-key"
EVENT = "mc2/v1/event"


def context(label: str, *parts: bytes) -> bytes:
    return label.encode() + b"".join(lp(part) for part in parts)


# §3 HPKE


def hkdf_extract(salt: bytes, ikm: bytes) -> bytes:
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def hkdf_expand(prk: bytes, info: bytes, length: int) -> bytes:
    out, block = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.new(prk, block + info + bytes([counter]), hashlib.sha256).digest()
        out += block
    return out[:length]


def hkdf(salt: bytes, ikm: bytes, info: bytes, length: int = 32) -> bytes:
    return hkdf_expand(hkdf_extract(salt, ikm), info, length)


@dataclass
class KeySchedule:
    """RFC 9180 §5.1, mode base, KDF HKDF-SHA256."""

    suite_id: bytes
    key: bytes
    base_nonce: bytes
    exporter_secret: bytes

    @classmethod
    def of(cls, kem_id, kdf_id, aead_id, key_len, shared_secret, info):
        suite_id = b"HPKE" + struct.pack(">HHH", kem_id, kdf_id, aead_id)

        def extract(salt, label, ikm):
            return hkdf_extract(salt, b"HPKE-v1" + suite_id + label + ikm)

        def expand(prk, label, info, length):
            labelled = struct.pack(">H", length) + b"HPKE-v1" + suite_id + label + info
            return hkdf_expand(prk, labelled, length)

        schedule = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
        secret = extract(shared_secret, b"secret", b"")
        return cls(
            suite_id,
            expand(secret, b"key", schedule, key_len),
            expand(secret, b"base_nonce", schedule, 12),
            expand(secret, b"exp", schedule, 32),
        )

    def export(self, exporter_context: bytes, length: int = 32) -> bytes:
        label = struct.pack(">H", length) + b"HPKE-v1" + self.suite_id + b"sec" + exporter_context
        return hkdf_expand(self.exporter_secret, label, length)


KEM_ID, KDF_ID, AEAD_ID = 0x647A, 0x0001, 0x0002


class XWingPrivateKey:
    """draft-connolly-cfrg-xwing-kem: a 32-byte seed and what it expands to."""

    def __init__(self, seed: bytes):
        require(len(seed) == 32, "an X-Wing seed has 32 bytes")
        expanded = hashlib.shake_256(seed).digest(96)
        self.ml_kem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        self.x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])

    def public_key(self) -> bytes:
        return self.ml_kem.public_key().public_bytes_raw() + raw(self.x25519.public_key())

    def decapsulate(self, encapsulated: bytes) -> bytes:
        require(len(encapsulated) == 1120, "an encapsulated key has 1,120 bytes")
        ct_m, ct_x = encapsulated[:1088], encapsulated[1088:]
        ss_m = self.ml_kem.decapsulate(ct_m)
        ss_x = self.x25519.exchange(X25519PublicKey.from_public_bytes(ct_x))
        combined = ss_m + ss_x + ct_x + raw(self.x25519.public_key()) + b"\\.//^\\"
        return hashlib.sha3_256(combined).digest()

    def _schedule(self, sealed: dict, info: bytes) -> KeySchedule:
        shape(sealed, {"encapsulated_key": True, "ciphertext": True})
        shared = self.decapsulate(b64(sealed["encapsulated_key"]))
        return KeySchedule.of(KEM_ID, KDF_ID, AEAD_ID, 32, shared, info)

    def open(self, sealed: dict, info: bytes) -> bytes:
        schedule = self._schedule(sealed, info)
        return AESGCM(schedule.key).decrypt(schedule.base_nonce, b64(sealed["ciphertext"]), b"")

    def export(self, sealed: dict, info: bytes, exporter_context: bytes) -> bytes:
        return self._schedule(sealed, info).export(exporter_context)

    def unwrap(self, wrapped: dict, info: bytes) -> bytes:
        """A wrapped key."""
        shape(wrapped, {"card": True, "key": True})
        key = self.open(wrapped["key"], info)
        require(len(key) == 32, "a wrapped key has 32 bytes")
        return key


def raw(key) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


# §4 Sealed files

HEADER_LEN, TAG_LEN = 40, 16


def associated_data(dataset: str, label: str = ASSOCIATED_DATA) -> bytes:
    return context(label, dataset.encode())


@dataclass
class SealedFile:
    sealed: bytes
    digests: bytes

    def digest_list_digest(self) -> bytes:
        return blake3(self.digests).digest()


def segment_count(length: int, segment_size: int) -> int:
    return max(1, -(-(length + HEADER_LEN) // (segment_size - TAG_LEN)))


def commitment(key: bytes, header: bytes) -> bytes:
    return hkdf(header[1:33], key, KEY_COMMITMENT.encode())


def _segments(header: bytes, segment_size: int, length: int):
    """Index, nonce, and where in the plaintext each segment lies."""
    require(len(header) == HEADER_LEN and header[0] == HEADER_LEN, "not a header")
    require(4096 <= segment_size <= 1 << 20, "segment size")
    count = segment_count(length, segment_size)
    start = 0
    for index in range(count):
        last = index == count - 1
        room = segment_size - TAG_LEN - (HEADER_LEN if index == 0 else 0)
        end = length if last else start + room
        nonce = header[33:40] + struct.pack(">IB", index, last)
        yield index, nonce, start, end
        start = end


def seal_file(key, ad, header, segment_size, plaintext) -> SealedFile:
    aead = AESGCM(hkdf(header[1:33], key, ad))
    sealed, digests = header, b""
    for _, nonce, start, end in _segments(header, segment_size, len(plaintext)):
        segment = aead.encrypt(nonce, plaintext[start:end], b"")
        sealed += segment
        digests += blake3(segment).digest()
    return SealedFile(sealed, digests)


def open_file(key, ad, header, segment_size, length, file: SealedFile) -> bytes:
    aead = AESGCM(hkdf(header[1:33], key, ad))
    require(len(file.digests) == 32 * segment_count(length, segment_size), "list of digests")
    plaintext, at = b"", HEADER_LEN
    for index, nonce, start, end in _segments(header, segment_size, length):
        segment = file.sealed[at : at + end - start + TAG_LEN]
        at += len(segment)
        digest = file.digests[32 * index : 32 * index + 32]
        require(blake3(segment).digest() == digest, f"digest of segment {index}")
        plaintext += aead.decrypt(nonce, segment, b"")
    require(at == len(file.sealed), "bytes after the last segment")
    return plaintext


# §5 Manifests and objects

MANIFEST_FIELDS = {
    "version": True,
    "dataset": True,
    "media_type": True,
    "segment_size": True,
    "content": True,
    "owner": False,
}
STREAM_FIELDS = {
    "length": True,
    "header": True,
    "key_commitment": True,
    "segments": True,
}
MAX_FILES = 32_768
MAX_TABLE = 8 << 20


def object_id(manifest: bytes) -> str:
    return sha256(manifest).hex()


def parse_manifest(text: bytes) -> dict:
    manifest = load(text, MANIFEST_FIELDS)
    require(manifest["version"] == 1, "version")
    for stream, _ in streams(manifest):
        shape(stream, STREAM_FIELDS)
        require(unhex(stream["header"], 40)[0] == HEADER_LEN, "header")
        unhex(stream["key_commitment"], 32)
        unhex(stream["segments"], 32)
    folder = manifest["content"].get("folder")
    if folder is not None:
        require(len(folder["files"]) <= MAX_FILES, "number of files")
        require(folder["table"]["length"] <= MAX_TABLE, "length of the table")
    return manifest


def streams(manifest: dict) -> list:
    """Each sealed stream in the order of numbers, with the label of its associated data."""
    ((kind, content),) = manifest["content"].items()
    if kind == "file":
        return [(content, ASSOCIATED_DATA)]
    if kind == "packed":
        return [(content, PACKED_FOLDER)]
    require(kind == "folder", "content")
    shape(content, {"files": True, "table": True})
    files = [(file, ASSOCIATED_DATA) for file in content["files"]]
    return files + [(content["table"], PATH_TABLE)]


def open_stream(manifest: dict, index: int, key: bytes, file: SealedFile) -> bytes:
    """A stream's plaintext, padding included."""
    stream, label = streams(manifest)[index]
    header = unhex(stream["header"], 40)
    require(commitment(key, header).hex() == stream["key_commitment"], "key")
    require(file.digest_list_digest().hex() == stream["segments"], "list of digests")
    ad = associated_data(manifest["dataset"], label)
    return open_file(key, ad, header, manifest["segment_size"], stream["length"], file)


def encode_table(files: list) -> bytes:
    """The table of (path, length)."""
    entries = b""
    for path, length in files:
        entries += struct.pack(">QH", length, len(path.encode())) + path.encode()
    return struct.pack(">BII", 1, len(files), len(entries)) + entries


def padded_length(table: bytes) -> int:
    return max(4096, 1 << (len(table) - 1).bit_length())


def parse_table(data: bytes) -> tuple:
    """The files of the table that `data` begins with, as (path, length), and what follows it."""
    require(len(data) >= 9, "start of the table")
    version, count, length = struct.unpack(">BII", data[:9])
    require(version == 1, "version")
    require(count <= MAX_FILES and 9 + length <= MAX_TABLE, "size of the table")
    require(len(data) >= 9 + length, "table cut off")
    entries, rest = data[9 : 9 + length], data[9 + length :]
    files = []
    for _ in range(count):
        require(len(entries) >= 10, "entry cut off")
        file_length, path_length = struct.unpack(">QH", entries[:10])
        path = entries[10 : 10 + path_length]
        require(len(path) == path_length, "path cut off")
        files.append((path.decode(), file_length))
        entries = entries[10 + path_length :]
    require(not entries, "bytes after the last entry")
    check_paths([path for path, _ in files])
    return files, rest


def check_paths(paths: list):
    encoded = [path.encode() for path in paths]
    require(encoded == sorted(set(encoded)), "paths in order, none twice")
    for path in paths:
        require(len(path.encode()) <= 1024 and "\\" not in path, "clean paths")
        require(not any(unicodedata.category(c) == "Cc" for c in path), "control characters")
        parts = path.split("/")
        require(not {"", ".", ".."} & set(parts), "clean paths")
        require(all(len(part.encode()) <= 255 for part in parts), "clean paths")
        parents = {"/".join(parts[:n]) for n in range(1, len(parts))}
        require(not parents & set(paths), "a file that is a folder")


def open_folder(manifest: dict, key: bytes, sealed: list) -> list:
    """The files of a folder as (path, bytes), from its sealed streams."""
    opened = [open_stream(manifest, index, key, file) for index, file in enumerate(sealed)]
    if "packed" in manifest["content"]:
        files, rest = parse_table(opened[0])
        found = []
        for path, length in files:
            require(len(rest) >= length, "a file cut off")
            found.append((path, rest[:length]))
            rest = rest[length:]
        return found
    files, rest = parse_table(opened[-1])
    require(not any(rest), "zeros after the table")
    require([length for _, length in files] == [len(one) for one in opened[:-1]], "other files")
    return [(path, one) for (path, _), one in zip(files, opened)]


def owner_key(manifest: dict, owner: "Identity") -> bytes:
    wrapped = manifest["owner"]
    require(wrapped["card"] == owner.card.digest().hex(), "another owner")
    info = context(OWNER_KEY, manifest["dataset"].encode(), owner.card.digest())
    return owner.private_key.unwrap(wrapped, info)


# §6 Cards and identities


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64url(text: str) -> bytes:
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    require(b64url(data) == text, "base64url is not in its one spelling")
    return data


@dataclass
class Card:
    name: str
    verifying_key: bytes
    public_key: bytes
    bytes: bytes

    @classmethod
    def parse(cls, text: str) -> "Card":
        require(text.startswith("mc2card1"), "not a card")
        data = unb64url(text.removeprefix("mc2card1"))
        require(data[0] == 1, "format of the card")
        name_end = 2 + data[1]
        require(len(data) == name_end + 32 + 1216 + 64, "length of the card")
        name = data[2:name_end].decode("ascii")
        require(0 < len(name) <= 64, "name")
        require(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-"), "name")
        verifying_key = data[name_end : name_end + 32]
        public_key = data[name_end + 32 : name_end + 32 + 1216]
        verify(verifying_key, data[-64:], context(CARD, data[:-64]))
        return cls(name, verifying_key, public_key, data)

    def text(self) -> str:
        return "mc2card1" + b64url(self.bytes)

    def digest(self) -> bytes:
        return sha256(self.bytes)

    def fingerprint(self) -> str:
        digits = self.digest()[:20].hex()
        return " ".join(digits[at : at + 4] for at in range(0, 40, 4))


class Identity:
    def __init__(self, name: str, signing_seed: bytes, private_seed: bytes):
        self.seeds = signing_seed + private_seed
        self.signing_key = Ed25519PrivateKey.from_private_bytes(signing_seed)
        self.private_key = XWingPrivateKey(private_seed)
        body = bytes([1, len(name)]) + name.encode()
        body += raw(self.signing_key.public_key()) + self.private_key.public_key()
        signature = self.signing_key.sign(context(CARD, body))
        self.card = Card.parse("mc2card1" + b64url(body + signature))

    @classmethod
    def parse(cls, text: str) -> "Identity":
        require(text.startswith("mc2secret1"), "not an identity")
        data = unb64url(text.removeprefix("mc2secret1"))
        return cls(data[64:].decode(), data[:32], data[32:64])

    def text(self) -> str:
        return "mc2secret1" + b64url(self.seeds + self.card.name.encode())


def broker_text(card: Card, owner: Identity) -> str:
    """A broker's card as its owner signs it."""
    signature = owner.signing_key.sign(context(BROKER, card.digest()))
    return "mc2broker1" + b64url(card.bytes + signature)


def parse_broker(text: str, owner: Card) -> Card:
    """The broker's card, once the owner's signature over it is checked."""
    require(text.startswith("mc2broker1"), "not a broker's card")
    data = unb64url(text.removeprefix("mc2broker1"))
    card = Card.parse("mc2card1" + b64url(data[:-64]))
    verify(owner.verifying_key, data[-64:], context(BROKER, card.digest()))
    return card


class Replacement:
    """A party's new card, signed by its old one."""

    def __init__(self, old: Card, new: Card, signature: bytes):
        require(old.name == new.name, "another party's card")
        require(old.verifying_key != new.verifying_key, "the old signing key")
        require(old.public_key != new.public_key, "the old X-Wing key")
        verify(old.verifying_key, signature, context(REPLACEMENT, old.digest(), new.digest()))
        self.old, self.new, self.signature = old, new, signature

    @classmethod
    def sign(cls, old: Identity, new: Card) -> "Replacement":
        signed = context(REPLACEMENT, old.card.digest(), new.digest())
        return cls(old.card, new, old.signing_key.sign(signed))

    @classmethod
    def parse(cls, text: str) -> "Replacement":
        require(text.startswith("mc2next1"), "not a replacement")
        data = unb64url(text.removeprefix("mc2next1"))
        require(data[0] == 1, "format of the replacement")
        cards, at = [], 1
        for _ in range(2):
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            cards.append(Card.parse("mc2card1" + b64url(data[at + 2 : end])))
            at = end
        require(len(data) == at + 64, "length of the replacement")
        return cls(*cards, data[at:])

    def text(self) -> str:
        data = b"\1"
        for card in (self.old, self.new):
            data += len(card.bytes).to_bytes(2, "big") + card.bytes
        return "mc2next1" + b64url(data + self.signature)


# §7 Signed documents


def verify(key: bytes, signature: bytes, data: bytes):
    Ed25519PublicKey.from_public_bytes(key).verify(signature, data)


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def dsse_sign(payload_type: str, payload: bytes, key: Ed25519PrivateKey) -> bytes:
    signature = key.sign(pre_authentication_encoding(payload_type, payload))
    keyid = sha256(raw(key.public_key())).hex()
    signatures = [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}]
    return dump(
        {
            "payloadType": payload_type,
            "payload": base64.b64encode(payload).decode(),
            "signatures": signatures,
        }
    )


def dsse_verify(envelope, payload_type: str, key: bytes) -> bytes:
    if not isinstance(envelope, dict):
        envelope = load(envelope, {"payloadType": True, "payload": True, "signatures": True})
    require(envelope["payloadType"] == payload_type, "payload type")
    (signature,) = envelope["signatures"]
    shape(signature, {"keyid": True, "sig": True})
    payload = b64(envelope["payload"])
    verify(key, b64(signature["sig"]), pre_authentication_encoding(payload_type, payload))
    return payload


# §8 Session record and report data

RECORD_FIELDS = {
    "version": True,
    "runtime": True,
    "engine": True,
    "compilation_cache": True,
    "tenant": False,
    "policy": True,
    "components": True,
    "hpke_public_key": True,
    "signing_public_key": True,
}


def session_digest(record: bytes) -> bytes:
    return sha256(record)


def report_data(record: bytes, nonce: bytes) -> bytes:
    return hashlib.sha512(context(REPORT_DATA, record) + nonce).digest()


def parse_record(text: bytes) -> dict:
    record = load(text, RECORD_FIELDS)
    require(record["version"] == 1, "version")
    require(len(b64(record["hpke_public_key"])) == 1216, "HPKE key")
    unhex(record["signing_public_key"], 32)
    return record


# §9 Control


OPEN_FIELDS = {
    "policy": True,
    "nonce": True,
    "challenge": True,
    "opener": True,
    "signature": True,
}


def verify_opening(text: bytes, opener: Card) -> dict:
    """The opening of a session, signed by a card of its policy."""
    open_ = load(text, OPEN_FIELDS)
    require(open_["opener"] == opener.digest().hex(), "another opener")
    policy, nonce = sha256(b64(open_["policy"])), unhex(open_["nonce"], 32)
    signed = context(OPENING, unhex(open_["challenge"], 32), policy, nonce)
    verify(opener.verifying_key, unhex(open_["signature"], 64), signed)
    return open_


# §10 Messages and answers

MESSAGE_TYPE = "application/vnd.mc2.message.v1+json"
ANSWER_TYPE = "application/vnd.mc2.answer.v1+json"
CONTENT_FIELDS = {
    "version": True,
    "type": True,
    "session": True,
    "sender": True,
    "sequence": True,
    "body": True,
}


def verify_message(envelope, session: bytes, sender: Card) -> dict:
    """The content of a message, as a receipt's reader or a runtime checks it."""
    payload = dsse_verify(envelope, MESSAGE_TYPE, sender.verifying_key)
    content = load(payload, CONTENT_FIELDS)
    require(content["version"] == 1, "version")
    require(content["session"] == session.hex(), "another session")
    require(content["sender"] == sender.digest().hex(), "another sender")
    return content


def open_message(text: bytes, session: bytes, key: XWingPrivateKey, sender: Card):
    """The content of a message, its envelope, and the key its answer is sealed under."""
    message = load(text, {"version": True, "type": True, "sealed": True})
    require(message["version"] == 1, "version")
    info = context(MESSAGE, message["type"].encode(), session)
    envelope = key.open(message["sealed"], info)
    content = verify_message(envelope, session, sender)
    require(content["type"] == message["type"], "another type")
    answer_key = key.export(message["sealed"], info, ANSWER.encode())
    return content, envelope, answer_key


def open_answer(text: bytes, session: bytes, request: bytes, signer: bytes, answer_key: bytes):
    answer = load(text, {"sealed": False, "signed": False})
    require(len(answer) == 1, "one shape")
    if "sealed" in answer:
        sealed = b64(answer["sealed"])
        envelope = AESGCM(answer_key).decrypt(sealed[:12], sealed[12:], b"")
    else:
        envelope = answer["signed"]
    fields = {"version": True, "session": True, "request": True, "outcome": True}
    content = load(dsse_verify(envelope, ANSWER_TYPE, signer), fields)
    require(content["session"] == session.hex(), "another session")
    require(content["request"] == request.hex(), "another request")
    return content["outcome"]


# §12 Receipts and events

STATEMENT_TYPE = "application/vnd.in-toto+json"
EVENT_TYPE = "application/vnd.mc2.event.v1+json"


def open_receipt(text: bytes, session: bytes, reader: Identity) -> bytes:
    """The envelope of a sealed receipt."""
    receipt = load(text, {"version": True, "readers": True, "ciphertext": True})
    require(receipt["version"] == 1, "version")
    digest = reader.card.digest()
    wrapped = next(one for one in receipt["readers"] if one["card"] == digest.hex())
    key = reader.private_key.unwrap(wrapped, context(RECEIPT_KEY, session, digest))
    return AESGCM(key).decrypt(bytes(12), b64(receipt["ciphertext"]), b"")


def verify_receipt(envelope: bytes, signer: bytes) -> dict:
    payload = dsse_verify(envelope, STATEMENT_TYPE, signer)
    fields = {"_type": True, "subject": True, "predicateType": True, "predicate": True}
    statement = load(payload, fields)
    require(statement["_type"] == "https://in-toto.io/Statement/v1", "type")
    require(statement["predicateType"] == "urn:mc2:receipt:v1", "predicate type")
    predicate = statement["predicate"]
    require(predicate["version"] == 1, "version")
    subjects = [("job", predicate["job"])]
    subjects += [(f"output:{out['name']}", out["object"]) for out in predicate["outputs"]]
    subjects += [(f"custody:{out['name']}", out["object"]) for out in predicate["custody"]]
    found = [(one["name"], one["digest"]["sha256"]) for one in statement["subject"]]
    require(found == subjects, "subjects")
    return predicate


def open_to(sealed: list, reader: Identity, label: str, *parts: bytes) -> bytes:
    """What is sealed to this reader among those it is sealed to."""
    digest = reader.card.digest()
    own = next(one for one in sealed if one["card"] == digest.hex())
    shape(own, {"card": True, "sealed": True})
    return reader.private_key.open(own["sealed"], context(label, *parts, digest))


def output_secret(session: bytes, job: bytes, output: dict, recipient: Identity) -> tuple:
    """Data key, exact length and SHA-256 of an output's plaintext."""
    name = output["name"].encode()
    secret = open_to(output["recipients"], recipient, OUTPUT, session, job, name)
    require(len(secret) == 72, "length of the secret")
    return secret[:32], struct.unpack(">Q", secret[32:40])[0], secret[40:]


def custody_secret(session: bytes, job: bytes, entry: dict, holder: Identity) -> tuple:
    """Data key and exact length of what is in custody."""
    fields = {"name": True, "step": True, "object": True, "runs": True, "holder": True}
    shape(entry, fields)
    name, runs = entry["name"].encode(), struct.pack(">I", entry["runs"])
    secret = open_to([entry["holder"]], holder, CUSTODY, session, job, name, runs)
    require(len(secret) == 40, "length of the secret")
    return secret[:32], struct.unpack(">Q", secret[32:])[0]


def usage(session: bytes, job: bytes, step: int, sealed: list, reader: Identity) -> list:
    """Memory peak, bytes read, bytes written and fuel of each instance."""
    data = open_to(sealed, reader, USAGE, session, job, struct.pack(">I", step))
    require(len(data) % 32 == 0, "length of the figures")
    found = [list(struct.unpack(">QQQQ", data[at : at + 32])) for at in range(0, len(data), 32)]
    return [[*one[:3], None if one[3] == 2**64 - 1 else one[3]] for one in found]


def observed(session: bytes, job: bytes, step: int, sealed: list, reader: Identity) -> dict:
    """Segments and bytes fetched, bytes stored; spilled bytes and milliseconds of each instance."""
    data = open_to(sealed, reader, OBSERVED, session, job, struct.pack(">I", step))
    require(len(data) % 16 == 8 and len(data) >= 24, "length of the figures")
    of_instances = [data[at : at + 16] for at in range(24, len(data), 16)]
    return {
        "step": list(struct.unpack(">QQQ", data[:24])),
        "instances": [list(struct.unpack(">QQ", one)) for one in of_instances],
    }


def failed_output(session: bytes, job: bytes, failure: dict, submitter: Identity):
    """The output of the policy that was missing or left twice, if that is why the job failed."""
    data = open_to([failure], submitter, FAILURE, session, job)
    require(len(data) == 129 and data[0] <= 128, "length of the detail")
    name, zeros = data[1 : 1 + data[0]], data[1 + data[0] :]
    require(not any(zeros), "zeros after the name")
    return name.decode("ascii") or None


def open_event(text: bytes, session: bytes, signer: bytes, recipient: Identity) -> dict:
    event = load(text, {"card": True, "sealed": True})
    digest = recipient.card.digest()
    require(event["card"] == digest.hex(), "another recipient")
    envelope = recipient.private_key.open(event["sealed"], context(EVENT, session, digest))
    names = ("session", "number", "sequence", "permille", "text")
    content = load(dsse_verify(envelope, EVENT_TYPE, signer), dict.fromkeys(names, True))
    require(content["session"] == session.hex(), "another session")
    return content


# §13 Evidence

SIM_EVIDENCE = "application/vnd.mc2.sim-evidence.v1+json"
SIM_REPORT = "application/vnd.mc2.sim-report.v1+json"


def verify_sim_evidence(evidence: list, key: bytes) -> dict:
    require(isinstance(evidence, list) and len(evidence) == 2, "a wrapper of type and value")
    media_type, value = evidence
    require(media_type == SIM_EVIDENCE, "media type")
    payload = dsse_verify(unb64url(value), SIM_REPORT, key)
    report = load(payload, {"version": True, "report_data": True, "measurement": True})
    require(report["version"] == 1, "version")
    unhex(report["report_data"], 64)
    return report
