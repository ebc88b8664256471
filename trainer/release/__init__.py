"""A finished run becomes a weights version: export, manifest, model card."""
