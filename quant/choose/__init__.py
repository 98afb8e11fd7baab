"""From a graph, a profile, a target and a recipe to a plan."""
