"""Decide purely, act thinly: risk, entries, exits, execution, and the engine that ties them."""
