#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the certificates of the TLS tests; run once, the results are committed. The keys protect nothing.
#   root.pem (EC) → middle → leaf: ec.pem/ec.key, expired.pem (same key)      rsa-root.pem → middle → leaf: rsa.pem/rsa.key
#   other.pem: an authority that signed none of them       self.pem/self.key: a server's own, signed by itself, no authority
#   bundle.pem: root, rsa-root and other between comments and broken blocks
set -eu
cd "$(dirname "$0")"
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
from=20240101000000Z; to=20491231235959Z
mkdir -p "$t/ca"; : > "$t/ca/index"; echo 1000 > "$t/ca/serial"
cat > "$t/conf" <<C
[ca]
default_ca = d
[d]
database = $t/ca/index
serial = $t/ca/serial
new_certs_dir = $t/ca
default_md = sha256
policy = p
unique_subject = no
[p]
commonName = supplied
organizationName = optional
[req]
distinguished_name = dn
[dn]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[middle]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost,DNS:larder.test,DNS:*.wild.test,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1
authorityKeyIdentifier = keyid
C
ec() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
rsa() { openssl genrsa -out "$1" "$2" 2> /dev/null; }
# sign KEY SUBJECT EXTENSIONS OUT ISSUER_CERT ISSUER_KEY FROM TO
sign() {
    openssl req -new -config "$t/conf" -key "$1" -subj "$2" -out "$t/csr"
    openssl ca -batch -notext -config "$t/conf" -extensions "$3" -in "$t/csr" -out "$4" -cert "$5" -keyfile "$6" \
        -startdate "$7" -enddate "$8" 2> /dev/null
}
root() { openssl req -new -config "$t/conf" -key "$1" -subj "$2" -out "$t/csr"
    openssl ca -batch -notext -selfsign -config "$t/conf" -extensions "$4" -in "$t/csr" -out "$3" -keyfile "$1" \
        -startdate $from -enddate $to 2> /dev/null; }
ec "$t/root.key";     root "$t/root.key" "/O=Larder tests/CN=Test Root EC" root.pem root
ec "$t/other.key";    root "$t/other.key" "/O=Larder tests/CN=Other Root" other.pem root
rsa "$t/rroot.key" 4096; root "$t/rroot.key" "/O=Larder tests/CN=Test Root RSA" rsa-root.pem root
ec "$t/middle.key";   sign "$t/middle.key" "/O=Larder tests/CN=Test Middle EC" middle "$t/middle.pem" root.pem "$t/root.key" $from $to
rsa "$t/rmiddle.key" 2048; sign "$t/rmiddle.key" "/O=Larder tests/CN=Test Middle RSA" middle "$t/rmiddle.pem" rsa-root.pem "$t/rroot.key" $from $to
ec ec.key;       sign ec.key "/CN=larder.test" leaf "$t/leaf.pem" "$t/middle.pem" "$t/middle.key" $from $to
                 sign ec.key "/CN=larder.test" leaf "$t/old.pem" "$t/middle.pem" "$t/middle.key" $from 20240201000000Z
rsa rsa.key 2048; sign rsa.key "/CN=larder.test" leaf "$t/rleaf.pem" "$t/rmiddle.pem" "$t/rmiddle.key" $from $to
ec self.key;     root self.key "/CN=larder.test" self.pem leaf
cat "$t/leaf.pem" "$t/middle.pem" root.pem > ec.pem
cat "$t/old.pem" "$t/middle.pem" > expired.pem
cat "$t/rleaf.pem" "$t/rmiddle.pem" rsa-root.pem > rsa.pem
{
    echo "# a comment"; cat other.pem
    printf '%s\nnot base64 at all!\n%s\n' '-----BEGIN CERTIFICATE-----' '-----END CERTIFICATE-----'
    printf '%s\nAAAA\n%s\n' '-----BEGIN CERTIFICATE-----' '-----END CERTIFICATE-----'
    cat root.pem; echo; cat rsa-root.pem
    echo '-----BEGIN CERTIFICATE-----'; echo 'MIIB'
} > bundle.pem
