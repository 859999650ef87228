"""Certificate requests (PKCS#10), signed in the token."""

from __future__ import annotations

from asn1crypto import csr, keys, pem, x509

from app.pki.suites import suite_of
from app.pki.tokens import GeneratedKey, TokenBackend


def request_for(token: TokenBackend, key: GeneratedKey, name: str) -> bytes:
    """Return the request (PEM) for a key of an open token, which proves possession.

    The name is informative: the authority takes the subject from its records.
    """
    info = csr.CertificationRequestInfo(
        {
            "version": "v1",
            "subject": x509.Name.build({"common_name": name}),
            "subject_pk_info": keys.PublicKeyInfo.load(key.spki),
            "attributes": csr.CRIAttributes([]),
        }
    )
    suite = suite_of(key.spki)
    algorithm = suite.cms.signatures[suite.key_type(key.spki), suite.digest_name]
    request = csr.CertificationRequest(
        {
            "certification_request_info": info,
            "signature_algorithm": {"algorithm": algorithm},
            "signature": token.sign(key.key_id, info.dump()),
        }
    )
    return bytes(pem.armor("CERTIFICATE REQUEST", request.dump()))
