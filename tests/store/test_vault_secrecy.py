"""Secrets are in nothing: planted ones are looked for in everything that a vault can be made to say."""

from __future__ import annotations

import copy
import io
import json
import logging
import os
import pickle
import pprint
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import msgspec
import pytest
import structlog

from mexclab.errors import ConfigError, MexclabError, VaultLocked
from mexclab.runtime import observe
from mexclab.store import vault_file
from mexclab.store.secret import Secret
from mexclab.store.vault import Credential, Keyring, Passphrase, Vault
from tests.store.vault_samples import CHEAP, KEY, SECRET, credential

PHRASE = "planted passphrase 77"
PLANTED = (KEY, SECRET, PHRASE)
WORDS = Passphrase(Secret(PHRASE), CHEAP)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault.create(tmp_path / "vault" / "v", WORDS)
    vault.add(credential(), now_ns=1)
    return vault


def assert_silent(text: str) -> None:
    for planted in PLANTED:
        assert planted not in text
        assert planted.encode().hex() not in text


def told_of(error: BaseException) -> str:
    """All that a careless handler could write down: words, data, and every name of every frame."""
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(before)
    told = [repr(error.data) if isinstance(error, MexclabError) else ""]
    for link in chain:  # one by one: "from None" hides an error from the usual writing, not from a debugger
        told += traceback.TracebackException.from_exception(link, capture_locals=True).format(chain=False)
    transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=True, locals_max_string=10_000)
    told.append(json.dumps(transform((type(error), error, error.__traceback__)), default=repr))
    return "\n".join(told)


def test_this_search_finds_what_a_frame_holds() -> None:
    def careless() -> None:
        text = "careless " + "name"
        try:
            raise KeyError
        except KeyError:
            raise ConfigError(str(len(text))) from None

    with pytest.raises(ConfigError) as told:
        careless()
    assert "careless name" in told_of(told.value)


SHOWN: dict[str, Callable[[object], object]] = {
    "repr": repr,
    "str": str,
    "format": lambda thing: f"{thing} {thing!s:>40} {thing!r}",
    "percent": lambda thing: "%s %r" % (thing, thing),  # noqa: UP031
    "pprint": pprint.pformat,
    "ascii": ascii,
    "json with a default": lambda thing: json.dumps({"x": thing}, default=str),
    "msgspec with a hook": lambda thing: msgspec.json.encode(thing, enc_hook=str).decode(),
    "deep copy": lambda thing: repr(copy.deepcopy(thing)),
    "in a list": lambda thing: repr([thing, {"a": thing}]),
    "its names": lambda thing: repr(dir(thing)),
}


@pytest.mark.parametrize("way", SHOWN)
def test_no_way_of_showing_it_shows_it(way: str, vault: Vault) -> None:
    for thing in (Secret(SECRET), WORDS, vault.read("main"), vault.list()):
        assert_silent(str(SHOWN[way](thing)))
    assert_silent(repr(vault))
    assert_silent(repr(asdict(vault.read("main"))))


@pytest.mark.parametrize("thing", [Secret(SECRET), WORDS, credential()])
def test_it_is_never_pickled_nor_put_into_json(thing: object) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError) as told:
            pickle.dumps(thing, protocol)
        assert_silent(str(told.value))
    for encode in (json.dumps, msgspec.json.encode, msgspec.msgpack.encode):
        with pytest.raises(TypeError) as told:
            encode(thing)
        assert_silent(str(told.value))


def test_a_vault_is_never_pickled(vault: Vault) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(vault)


def test_secrets_are_compared_but_not_hashed_and_do_not_change() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    with pytest.raises(TypeError):
        hash(Secret("a"))
    with pytest.raises(AttributeError):
        Secret("a")._text = "b"  # type: ignore[misc]
    with pytest.raises(TypeError) as told:
        Secret(SECRET.encode())  # type: ignore[arg-type]
    assert_silent(str(told.value))


@pytest.mark.parametrize("style", ["json", "console"])
def test_logs_of_both_kinds_do_not_show_it(style: str, vault: Vault) -> None:
    out = io.StringIO()
    observe.configure(style, "DEBUG", out)  # type: ignore[arg-type]
    try:
        found = vault.read("main")
        log = structlog.get_logger()
        log.warning("credential", found=found, words=WORDS, nested={"a": [found]}, text=f"{found}")
        logging.getLogger("elsewhere").warning("credential %s %r", found, WORDS)
        try:
            vault.read("other")
        except ConfigError:
            log.exception("failed", found=found)
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()
    assert "credential" in out.getvalue()
    assert_silent(out.getvalue())


def acts(vault: Vault) -> dict[str, Callable[[], object]]:
    def damaged() -> object:
        vault.path.write_bytes(vault.path.read_bytes()[:-40])
        return vault.read("main")

    def altered() -> object:
        envelope = vault_file.load(vault.path)
        body = bytes([*envelope.sealed_body[:-1], envelope.sealed_body[-1] ^ 1])
        vault_file.save(vault.path, msgspec.structs.replace(envelope, sealed_body=body))
        return vault.read("main")

    def unwritable() -> object:
        vault.path.unlink()
        return vault.add(credential("second"), now_ns=1)

    def open_to_others() -> object:
        vault.path.chmod(0o644)
        return vault.rotate("main", Secret(KEY), Secret(SECRET), now_ns=1)

    return {
        "wrong passphrase": lambda: Vault.open(vault.path, Passphrase(Secret(PHRASE + SECRET), CHEAP)),
        "wrong name": lambda: vault.read(SECRET[:5]),
        "taken name": lambda: vault.add(credential(), now_ns=1),
        "bad secret": lambda: Credential("main", Secret(KEY), Secret(SECRET + " x")),
        "bad name": lambda: replace(credential(), name="a/b"),
        "short": lambda: vault.rekey(Passphrase(Secret("short"), CHEAP)),
        "damaged": damaged,
        "altered": altered,
        "unwritable": unwritable,
        "open to others": open_to_others,
    }


@pytest.mark.parametrize("act", list(acts(Vault.__new__(Vault))))
def test_no_error_tells_it_in_words_data_or_the_names_of_its_frames(act: str, vault: Vault) -> None:
    with pytest.raises(MexclabError) as told:
        acts(vault)[act]()
    assert_silent(told_of(told.value))


def test_a_keyring_that_fails_tells_nothing_of_the_key(tmp_path: Path) -> None:
    class Failing(keyring.backend.KeyringBackend):
        priority = -1  # type: ignore[assignment]
        given = ""

        def set_password(self, service: str, username: str, password: str) -> None:
            Failing.given = password
            raise keyring.errors.KeyringLocked(password)

        def get_password(self, service: str, username: str) -> None: ...

    before = keyring.get_keyring()
    keyring.set_keyring(Failing())
    try:
        with pytest.raises(VaultLocked) as told:
            Vault.create(tmp_path / "vault" / "k", Keyring())
    finally:
        keyring.set_keyring(before)
    words = told_of(told.value)  # before an assert gives the key a name in this very frame
    assert Failing.given
    assert Failing.given not in words


def test_it_is_in_no_file_and_no_environment(vault: Vault, tmp_path: Path) -> None:
    Vault.open(vault.path, WORDS).rekey(WORDS)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            raw = file.read_bytes()
            assert not any(planted.encode() in raw for planted in PLANTED)
    assert_silent(repr(dict(os.environ)))


def test_closing_wipes_the_key_that_was_held(vault: Vault) -> None:
    key = vault._key
    assert any(key._bytes)
    vault.close()
    assert not any(key._bytes)
