"""Integer weights and biases fitted layer by layer by least squares."""
