"""Kill -9 at every await of the order and exit paths: the real desk, the simulated venue, a restart."""
