"""Where orders go: the exchanges of the world, the paper venue and the simulator."""
