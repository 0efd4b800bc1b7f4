"""Functions that a model may call: what it is told about them, and the loop that runs them."""
