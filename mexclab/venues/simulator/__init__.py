"""The simulated venue's own life: listings that are announced, move, open, and trade.

Now it drives the in-process paper venue; the MEXC-compatible server will stand on the same scenario
and the same matching core.
"""
