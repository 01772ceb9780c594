"""``mexclab`` and ``python -m mexclab``: a halt goes the short way, the rest by the command line."""

from __future__ import annotations

import os
import sys

from mexclab.hurry import hurried


def main() -> None:
    """Run what the command line asks for."""
    code = hurried(sys.argv[1:], os.environ)
    if code is not None:
        sys.exit(code)
    from mexclab.cli import main as whole

    whole()


if __name__ == "__main__":
    main()
