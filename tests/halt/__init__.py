"""The halt matrix: whoever asks, whatever is going on, nothing enters any more within a second."""
