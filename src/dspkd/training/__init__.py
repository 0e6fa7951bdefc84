"""The training loop: objective, checkpoints, teachers, several processes, loggers."""
