"""The device worker: the process that owns the device, and the queue before it."""
