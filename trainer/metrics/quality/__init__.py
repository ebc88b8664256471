"""Quality metrics, each checked against its published programme."""
