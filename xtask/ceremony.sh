#!/bin/sh
# The half of a release that is done on the machine with the key, which is on no network. It needs
# OpenSSL 3 and sha256sum, and nothing of this repository but itself. docs/releasing.md says who
# does what, when and in whose presence.
set -eu
umask 077

usage() {
    cat >&2 <<'END'
usage: ceremony.sh make FOLDER              a new release key: FOLDER/release.pem, FOLDER/release.pub.pem
       ceremony.sh id KEY.pub.pem           the key's id in every signed document
       ceremony.sh sign KEY.pem FILE OUT    a signature over what `cargo xtask sign prepare` wrote

The passphrase is asked for at the terminal, or read from the file that MC2_PASSPHRASE_FILE names.
END
    exit 64
}

# SHA-256 of a file or, where none is named, of standard input.
digest() {
    sha256sum "$@" | cut -c 1-64
}

id() {
    openssl pkey -pubin -in "$1" -outform DER | tail -c 32 | digest
}

make() {
    if [ -e "$1/release.pem" ]; then
        echo "$1/release.pem is there already: a key is never written over" >&2
        exit 1
    fi
    mkdir -p "$1"
    openssl genpkey -algorithm ed25519 -aes-256-cbc ${passphrase:+-pass "$passphrase"} \
        -out "$1/release.pem"
    openssl pkey -in "$1/release.pem" ${passphrase:+-passin "$passphrase"} \
        -pubout -out "$1/release.pub.pem"
    echo "read this aloud and write it down, the key's id:"
    id "$1/release.pub.pem"
}

sign() {
    found=$(digest "$2")
    printf 'the digest that was noted when it was prepared: ' >&2
    read -r noted
    if [ "$noted" != "$found" ]; then
        echo "this file has SHA-256 $found, and that is not what was noted: it is not signed" >&2
        exit 1
    fi
    openssl pkeyutl -sign -rawin -inkey "$1" ${passphrase:+-passin "$passphrase"} \
        -in "$2" -out "$3"
    echo "signed; $3 goes back" >&2
}

passphrase=${MC2_PASSPHRASE_FILE:+file:$MC2_PASSPHRASE_FILE}
case "${1-} $#" in
"make 2") make "$2" ;;
"id 2") id "$2" ;;
"sign 4") sign "$2" "$3" "$4" ;;
*) usage ;;
esac
