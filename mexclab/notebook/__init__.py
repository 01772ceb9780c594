"""The face of mexclab in notebooks and dashboards: clients of the daemon, never its owner."""
