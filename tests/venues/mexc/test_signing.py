"""Signing: the documented vectors, and a secret that stays where it is."""

from __future__ import annotations

import hashlib
import hmac
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexclab.errors import ConfigError
from mexclab.venues.mexc.signing import Signer

SECRET = "45d0b3c26f2644f19bfb98b07741b2f5"  # of MEXC's documentation
VECTORS = {
    "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=11&recvWindow=5000&timestamp=1644489390087": (
        "fd3e4e8543c5188531eb7279d68ae7d26a573d0fc5ab0d18eb692451654d837a"
    ),
    "symbol=BTCUSDT&side=BUY&type=LIMITquantity=1&price=11&recvWindow=5000&timestamp=1644489390087": (
        "d1a676610ceb39174c8039b3f548357994b2a34139a8addd33baadba65684592"
    ),
}
PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200)


@pytest.mark.parametrize(("text", "signature"), VECTORS.items())
def test_the_documented_requests_get_the_documented_signatures(text: str, signature: str) -> None:
    assert Signer("mx0", SECRET).sign(text.encode()) == signature.encode()


@given(PRINTABLE, st.binary(max_size=500), st.binary(max_size=500))
def test_a_signature_is_the_hmac_of_the_standard_library_however_often_it_signs(
    secret: str, one: bytes, other: bytes
) -> None:
    signer = Signer("mx0", secret)
    for text in (one, other, one):
        assert signer.sign(text) == hmac.new(secret.encode(), text, hashlib.sha256).hexdigest().encode()


def test_the_key_is_told_to_the_venue_and_to_nobody_else() -> None:
    signer = Signer("mx0Planted", SECRET)
    assert signer.header == b"X-MEXC-APIKEY: mx0Planted\r\n"
    for shown in (repr(signer), str(signer), f"{signer}", repr([signer])):
        assert SECRET not in shown
        assert "mx0Planted" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(signer)


@pytest.mark.parametrize("bad", ["", "two words", "line\nend", "ünicode"])
def test_a_key_or_secret_that_no_header_can_carry_is_refused_without_repeating_it(bad: str) -> None:
    for key, secret in ((bad, SECRET), ("mx0Planted", bad)):
        with pytest.raises(ConfigError) as caught:
            Signer(key, secret)
        told = "".join(traceback.format_exception_only(caught.value))
        assert SECRET not in told
        assert not bad or bad not in told
