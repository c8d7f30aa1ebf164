"""Certificates for tests: an authority of their own, leaves in the shapes that are asked for."""

import datetime
import ipaddress
import os
import pathlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_MAKERS = {
    "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "rsa4096": lambda: rsa.generate_private_key(public_exponent=65537, key_size=4096),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def _pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM)


def _key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name)


@dataclass(frozen=True)
class Leaf:
    """Where a certificate is: `pem` has chain and key, `cert` and `key` have one each."""
    names: tuple
    serial: int
    pem: str
    cert: str
    key: str


class Authority:
    """A root, and the leaves it signs. What was made once is given again for the same words."""

    def __init__(self, folder, name="Test Root"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.name = name
        self._key = _MAKERS["ecdsa"]()
        self._leaves = {}
        self.certificate = self._sign(_name(name), self._key.public_key(), 3650, 1, root=True)
        self.path = str(self.folder / "root.pem")
        self._write(self.path, _pem(self.certificate), 0o644)

    @staticmethod
    def _write(path, data, mode):
        # A new file under the same name, as a careful operator does it.
        fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(fd, "wb") as f:
            f.write(data)
        os.rename(path + ".new", path)

    def _sign(self, subject, public_key, days, age_days, names=(), root=False,
              client=False):
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder()
                   .subject_name(subject)
                   .issuer_name(_name(self.name))
                   .public_key(public_key)
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(days=age_days))
                   .not_valid_after(now + datetime.timedelta(days=days))
                   .add_extension(x509.BasicConstraints(ca=root, path_length=None),
                                  critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                       self._key.public_key()), False))
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_alternative(n) for n in names]), False)
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH] +
                                      [ExtendedKeyUsageOID.CLIENT_AUTH] * client), False)
        return builder.sign(self._key, hashes.SHA256())

    def leaf(self, *names, key="ecdsa", days=90, age_days=1, fresh=False,
             client=False):
        """A certificate for `names`. `days` below zero: expired. `fresh`: not one made before.
        `client`: it is for TLS clients, too."""
        wanted = (names, key, days, age_days, client)
        if not fresh and wanted in self._leaves:
            return self._leaves[wanted]
        private = _MAKERS[key]()
        certificate = self._sign(_name(names[0]), private.public_key(), days,
                                 max(age_days, 1 - days), names, client=client)
        number = len(list(self.folder.glob("*.cert.pem")))
        stem = str(self.folder / f"{number}-{names[0].replace('*', 'any').replace('/', '_')}-{key}")
        self._write(stem + ".cert.pem", _pem(certificate), 0o644)
        self._write(stem + ".key.pem", _key_pem(private), 0o600)
        self._write(stem + ".pem", _pem(certificate) + _key_pem(private), 0o600)
        made = Leaf(names, certificate.serial_number, stem + ".pem", stem + ".cert.pem",
                    stem + ".key.pem")
        if not fresh:
            self._leaves[wanted] = made
        return made
