# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for one test run: a good leaf, and leaves that a careful client must refuse."""

import datetime
import ipaddress
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

GOOD_NAMES = ("localhost", "upstream.test", "two.upstream.test")
GOOD_ADDRESSES = ("127.0.0.1", "127.0.0.2", "::1")


def _name(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _save(path, data):
    with open(path, "wb") as out:
        out.write(data)
    return path


def _key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


class Authority:
    """A root of our own that signs leaves."""

    def __init__(self, folder, common="Larder test authority"):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(common)
        now = datetime.datetime.now(datetime.timezone.utc)
        public = self.key.public_key()
        self.cert = (
            x509.CertificateBuilder().subject_name(self.name).issuer_name(self.name).public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=30)).not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self.key, hashes.SHA256()))
        self.path = _save(os.path.join(folder, common.replace(" ", "-") + ".pem"),
                          self.cert.public_bytes(serialization.Encoding.PEM))

    def leaf(self, label, names=GOOD_NAMES, addresses=GOOD_ADDRESSES, start_days=-1, end_days=7):
        """Returns (certificate chain path, key path) of a server leaf."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        alternatives = [x509.DNSName(n) for n in names]
        alternatives += [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses]
        cert = (
            x509.CertificateBuilder().subject_name(_name(label)).issuer_name(self.name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=start_days))
            .not_valid_after(now + datetime.timedelta(days=end_days))
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256()))
        chain = cert.public_bytes(serialization.Encoding.PEM) + self.cert.public_bytes(serialization.Encoding.PEM)
        return (_save(os.path.join(self.folder, label + ".pem"), chain),
                _save(os.path.join(self.folder, label + ".key"), _key_pem(key)))


class Certs:
    """All certificates of a run. `context(kind)` is a server context: good, wrong_host, expired, not_yet,
    unknown_ca."""

    KINDS = ("good", "wrong_host", "expired", "not_yet", "unknown_ca")

    def __init__(self, folder):
        self.authority = Authority(folder)
        stranger = Authority(folder, "Somebody else")
        self.ca_path = self.authority.path
        self._leaves = {
            "good": self.authority.leaf("good"),
            "wrong_host": self.authority.leaf("wrong_host", names=("elsewhere.test",), addresses=("192.0.2.1",)),
            "expired": self.authority.leaf("expired", start_days=-10, end_days=-3),
            "not_yet": self.authority.leaf("not_yet", start_days=3, end_days=10),
            "unknown_ca": stranger.leaf("unknown_ca"),
        }

    def leaf_paths(self, kind="good"):
        return self._leaves[kind]

    def context(self, kind="good"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._leaves[kind])
        return context
