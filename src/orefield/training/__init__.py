"""Training: one step (step.py), its loss, its optimizers, and the trainer that repeats it."""
