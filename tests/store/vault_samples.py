"""What the tests of the vault share: a cheap lock, planted secrets."""

from __future__ import annotations

from mexclab.store.vault import Credential, KdfCost, Passphrase, Secret

CHEAP = KdfCost(memory_kib=8, time_cost=1, lanes=1)
WORDS = Passphrase(Secret("correct horse battery"), CHEAP)
OTHER_WORDS = Passphrase(Secret("another passphrase"), CHEAP)
KEY, SECRET = "mx0vglPlantedKey0001", "planted5ecretf00dfeed0123456789ab"


def credential(name: str = "main", secret: str = SECRET) -> Credential:
    return Credential(name, Secret(KEY), Secret(secret))
