"""``mexclab simulate`` with listings that requote as often as they are told to, for as long as they live."""

from __future__ import annotations

import os

from mexclab.cli import main
from mexclab.domain.clock import DAY, MILLISECOND
from mexclab.venues.simulator import market

STRIDE_MS = "HALT_STRIDE_MS"

if __name__ == "__main__":
    market.STRIDES = ((3 * DAY, int(os.environ[STRIDE_MS]) * MILLISECOND),)
    main()
