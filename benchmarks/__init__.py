"""One file for each number that we hold ourselves to."""
