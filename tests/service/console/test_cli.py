"""What all commands have in common: help, exit codes, completion, and a quick start."""

import os
import subprocess
import sys

import click
import pytest

from service.console.cli import SUMMARIES, cli, main
from tests.paths import ROOT


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_command_tells_of_itself_with_examples_and_exit_codes(expofuse, name):
    said = expofuse(name, "--help")
    text = said.out.decode()
    assert said.code == 0
    assert "Examples:" in text
    assert f"    expofuse {name}" in text
    assert "Exit codes:" in text or name == "version"
    assert "\\b" not in text


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_command_but_serve_has_json(name):
    command = cli.get_command(click.Context(cli), name)
    assert command.name == name
    commands = command.commands.values() if isinstance(command, click.Group) else [command]
    for one in commands:
        options = {option for parameter in one.params for option in parameter.opts}
        assert ("--json" in options) == (name != "serve")


def test_help_lists_every_command_without_loading_one():
    code = (
        "import sys; from service.console.cli import main; main(['--help']);"
        "loaded = [name for name in sys.modules if name.startswith('service.console.commands.')];"
        "heavy = {'numpy', 'cv2', 'pydantic', 'torch', 'fastapi', 'PIL'} & sys.modules.keys();"
        "assert not loaded and not heavy, (loaded, heavy)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    for name, summary in SUMMARIES.items():
        assert f"  {name}" in ended.stdout
        assert summary[:40] in ended.stdout


@pytest.mark.parametrize("name", ["fuse", "batch", "group", "compare"])
def test_commands_that_fuse_need_neither_torch_nor_a_web_framework(tmp_path, name):
    arguments = {
        "fuse": [ROOT / "examples/under.jpg", ROOT / "examples/over.jpg", "-o", tmp_path / "a.jpg"],
        "batch": [ROOT / "examples", "-o", tmp_path / "out"],
        "group": [ROOT / "examples"],
        "compare": [*[ROOT / "examples/under.jpg"] * 3, "-o", tmp_path / "a.png"],
    }[name]
    code = (
        "import sys; from service.console.cli import main;"
        f"code = main({[name, *map(str, arguments)]});"
        "loaded = {'torch', 'fastapi', 'uvicorn', 'httpx'} & sys.modules.keys();"
        "assert code == 0 and not loaded, (code, loaded)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_an_unknown_command_is_misuse(expofuse):
    said = expofuse("fuze")
    assert said.code == 2
    assert "No such command 'fuze'" in said.err
    assert said.err.endswith("try: expofuse --help\n")


def test_an_unknown_option_is_misuse_and_help_is_named(expofuse):
    said = expofuse("group", "--jsno", ".")
    assert said.code == 2
    assert said.err.endswith("try: expofuse group --help\n")


def test_the_version_is_printed(expofuse):
    assert expofuse("version").out.startswith(b"expofuse ")
    assert expofuse("version", "--json").out.startswith(b'{"version": "')


def test_a_misspelt_setting_is_told_before_anything_starts(monkeypatch, capsys):
    monkeypatch.setenv("EXPOFUSE_HOTS", "x")
    assert main(["serve"]) == 2
    assert "did you mean EXPOFUSE_HOST?" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_values(shell):
    def complete(*words):
        environment = os.environ | {
            "_EXPOFUSE_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1) if shell != "fish" else words[-1],
        }
        code = "import sys; from service.console.cli import main; sys.exit(main())"
        ended = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return ended.stdout

    assert "compare" in complete("expofuse", "co")
    assert "batch" in complete("expofuse", "ba")
    assert "require" in complete("expofuse", "fuse", "--align", "re")
