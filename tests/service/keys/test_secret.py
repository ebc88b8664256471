import hmac

from service.keys.secret import Key, hash_secret, is_hash, is_secret, make_key, split_key


def test_a_key_is_taken_apart_as_it_was_made():
    key = make_key()
    assert split_key(key.text) == key
    assert key.text == f"xpf_{key.id}_{key.secret}"
    assert (len(key.id), len(key.secret)) == (8, 52)
    assert make_key() != key


def test_what_has_not_the_form_of_a_key_is_none():
    key = make_key()
    for text in (
        "",
        key.secret,
        key.text[:-1],
        key.text + "a",
        key.text.upper(),
        f"{key.text}\n",
        f"xpf_{key.id}_{'1' * 52}",
    ):
        assert split_key(text) is None, text


def test_the_secret_does_not_stand_in_what_is_printed_of_a_key():
    key = make_key()
    assert key.secret not in f"{key} {key!r}"


def test_a_hash_fits_its_secret_alone_and_differs_each_time():
    key, other = make_key(), make_key()
    hashed = hash_secret(key.secret)
    assert is_hash(hashed)
    assert is_secret(key.secret, hashed)
    assert not is_secret(other.secret, hashed)
    assert hash_secret(key.secret) != hashed
    assert key.secret not in hashed


def test_a_hash_that_is_too_dear_or_too_cheap_is_none():
    hashed = hash_secret(make_key().secret)
    assert not is_hash(hashed.replace("ln=14", "ln=24"))
    assert not is_hash(hashed.replace("ln=14", "ln=01"))
    assert not is_hash(hashed.replace("scrypt", "md5"))


def test_hashes_are_compared_in_constant_time(monkeypatch):
    compared = []

    def compare(one, other):
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    key = Key("a", "b")
    assert is_secret(key.secret, hash_secret(key.secret))
    assert len(compared) == 1
