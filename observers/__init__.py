"""How to turn a profiled histogram into a range: one file an algorithm."""
