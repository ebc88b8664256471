"""Lets people compare methods who do not know which picture is whose."""
