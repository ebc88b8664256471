"""Reads what earlier versions wrote into `summary.json`."""


def read_earlier(data: object) -> object:
    """Bring the document of an earlier version to the keys of this one; any other stays as it is.

    Before there were guards a summary had ranks over all metrics, and chroma by itself. Before
    there were stacks its scenes were pairs, and were called so.
    """
    if not isinstance(data, dict):
        return data
    now = dict(data)
    if "ranked" not in now:
        now["ranked"] = now.get("metrics", ())
        chroma = now.pop("chroma", {})
        now["guards"] = {label: {"chroma": value} for label, value in chroma.items()}
    if "pairs" in now:
        now["scenes"] = now.pop("pairs")
        now["failures"] = [_rename(one, "pair", "scene") for one in now.get("failures", ())]
        now["margins"] = _rename(now.get("margins"), "pairs", "scenes")
        now["intervals"] = {
            label: {name: _rename(one, "pairs", "scenes") for name, one in of_method.items()}
            for label, of_method in now.get("intervals", {}).items()
        }
    return now


def _rename(record: object, old: str, new: str) -> object:
    if not isinstance(record, dict) or old not in record:
        return record
    return {new if key == old else key: value for key, value in record.items()}
