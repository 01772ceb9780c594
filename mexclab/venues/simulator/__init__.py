"""The simulated venue's own life: listings that are announced, move, open, and trade.

``world.py`` is the venue without its wire, ``server.py`` and ``hub.py`` put it on a port; the paper venue in
process stands on the same scenario and the same matching core.
"""
