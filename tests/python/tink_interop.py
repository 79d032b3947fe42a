"""Seals or opens one file with Google Tink's own streaming AEAD.

tink_interop.py seal|open KEY_HEX ASSOCIATED_DATA_HEX SEGMENT_SIZE FROM TO

The keyset is made of the four parameters that docs/protocol.md §4 names; with 4096 and 1048576 it
is that of Tink's templates AES256_GCM_HKDF_4KB and AES256_GCM_HKDF_1MB, which is checked.
"""

import sys
from pathlib import Path

from tink import proto_keyset_format, secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

TEMPLATES = {
    4096: streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_4KB,
    1048576: streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB,
}
TYPE_URL = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"


def primitive(key: bytes, segment_size: int):
    params = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
        ciphertext_segment_size=segment_size,
        derived_key_size=32,
        hkdf_hash_type=common_pb2.SHA256,
    )
    if template := TEMPLATES.get(segment_size):
        form = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKeyFormat.FromString(template.value)
        if (form.params, form.key_size) != (params, 32):
            raise SystemExit(f"Tink's template has other parameters: {form}")
    streaming_key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        version=0, params=params, key_value=key
    )
    keyset = tink_pb2.Keyset(primary_key_id=1)
    keyset.key.add(
        key_data=tink_pb2.KeyData(
            type_url=TYPE_URL,
            value=streaming_key.SerializeToString(),
            key_material_type=tink_pb2.KeyData.SYMMETRIC,
        ),
        status=tink_pb2.ENABLED,
        key_id=1,
        output_prefix_type=tink_pb2.RAW,
    )
    handle = proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


def main(command, key, associated_data, segment_size, source, target):
    streaming_aead.register()
    aead = primitive(bytes.fromhex(key), int(segment_size))
    associated_data = bytes.fromhex(associated_data)
    if command == "seal":
        with open(target, "wb") as file:
            with aead.new_encrypting_stream(file, associated_data) as stream:
                stream.write(Path(source).read_bytes())
    elif command == "open":
        with open(source, "rb") as file:
            with aead.new_decrypting_stream(file, associated_data) as stream:
                Path(target).write_bytes(stream.read())
    else:
        raise SystemExit(f"{command} is neither seal nor open")


if __name__ == "__main__":
    main(*sys.argv[1:])
