"""Jobs that outlive connections, and the service: accepted, kept, run, told of by webhooks."""
