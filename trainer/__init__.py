"""Training, evaluation and export of the fusion network's weights."""
