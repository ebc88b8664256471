"""Keeps cases as small files that are run again by a test: what failed once, and known attacks."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from tests.fuzz.forms import FormCase
from tests.fuzz.framing import Exchange

CORPUS = Path(__file__).with_name("corpus")
Case = Exchange | FormCase
KINDS: dict[str, type[Exchange] | type[FormCase]] = {"framing": Exchange, "form": FormCase}


def save_case(case: Case, why: str, folder: Path = CORPUS) -> Path:
    """Write a case to a file whose name tells its kind and content.

    Args:
        case: As small as it could be made.
        why: What was wrong with the answer, or what the case is.
        folder: Of the files.
    """
    kind = next(name for name, one in KINDS.items() if isinstance(case, one))
    values = {name: _to_json(value) for name, value in asdict(case).items()}
    text = json.dumps({"kind": kind, "why": why, **values}, indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    path.write_text(text + "\n", encoding="ascii")
    return path


def load_case(path: Path) -> Case:
    """Read a case back."""
    values = json.loads(path.read_text(encoding="ascii"))
    kind = KINDS[values.pop("kind")]
    del values["why"]
    return kind(**{name: _from_json(value) for name, value in values.items()})


def list_cases(folder: Path = CORPUS) -> list[Path]:
    """Every file that is kept."""
    return sorted(folder.glob("*.json"))


def _to_json(value: object) -> object:
    if isinstance(value, bytes):
        return {"bytes": value.decode("latin-1")}
    return [_to_json(one) for one in value] if isinstance(value, tuple) else value


def _from_json(value: object) -> object:
    if isinstance(value, list):
        return tuple(_from_json(one) for one in value)
    if isinstance(value, dict) and set(value) == {"bytes"}:
        return value["bytes"].encode("latin-1")
    return value
