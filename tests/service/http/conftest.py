from tests.service.keys.conftest import key_file

__all__ = ["key_file"]
