"""The trading daemon: one process that owns the orders and the ledger, and serves everyone else."""
