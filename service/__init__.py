"""The REST service: HTTP, processes and time around `model`."""
