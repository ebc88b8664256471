"""The commands of `expofuse`, a module each, which holds it as `command`."""
