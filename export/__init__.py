"""Where a graph goes: one file a target, and the writers they share."""
