"""Plans: the number format of every tensor with its reason, and the recipes that steer them."""
