"""The loss terms beside the paper's tasks: one module for each, collected by `losses.registry`."""
