"""From a recipe to a run folder, and back: train, evaluate, predict, explain, plan."""
