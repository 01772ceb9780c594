"""Where things are kept: the ledger, sightings, the lake, vectors, caches, secrets."""
