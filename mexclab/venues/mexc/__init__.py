"""MEXC: the wire, the shot, the stream and the listings of the real venue."""
