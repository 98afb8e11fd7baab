"""What layers cost: operations, bytes, roofline predictions and a user's measured times."""
