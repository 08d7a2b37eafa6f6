"""The commands of docs/operations.md that merge a new release into an owner's clone."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from broken import copy_work_tree
from stack import SHIPPED

from emulator.function import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()
OWNERS = ["deploy/env.yaml", "deploy/names.sh", "policy.lock.json", "policy.toml"]
PROMPT = "You are a patient language tutor."


def bash(folder: Path, script: str) -> tuple[int, str]:
    """Run commands in a repository, until one fails; their exit code and output."""
    people = {
        f"GIT_{who}_{what}": "a@b.c"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env={**kept, **people, "GIT_CONFIG_GLOBAL": "/dev/null"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def edit(root: Path, changes: dict[str, tuple[str, str]]) -> None:
    for name, (old, new) in changes.items():
        text = (root / name).read_text()
        assert old in text, f"{name}: {old!r}"
        (root / name).write_text(text.replace(old, new, 1))


def _as_shipped(root: Path) -> None:
    """Undo what the owner of this work tree may have changed in their files."""
    shutil.copy(SHIPPED, root / "policy.toml")
    (root / "deploy/env.yaml").write_text('FIREBASE_PROJECT_ID: ""\nALLOWED_ORIGINS: ""\n')
    names = (root / "deploy/names.sh").read_text()
    (root / "deploy/names.sh").write_text(
        re.sub('^PROJECT="[^"]*"', 'PROJECT=""', names, flags=re.M)
    )


def test_a_release_merges_with_conflicts_in_the_owners_files_only(tmp_path: Path) -> None:
    merge, again, _ = re.findall(r"```sh\n(.*?)```", PAGE.partition("## Take in a new")[2], re.S)[
        :3
    ]
    upstream, clone = tmp_path / "upstream", tmp_path / "clone"
    copy_work_tree(upstream)
    _as_shipped(upstream)
    commit = "git add --all && git commit --quiet --message=change"
    lock = ".venv/bin/python -m livetoken lock >/dev/null"
    setup = f"git init --quiet && echo '.venv*' >>.git/info/exclude && {lock} && {commit}"
    assert bash(upstream, setup) == (0, "")
    policy = (upstream / "policy.toml").read_text()
    assert bash(tmp_path, "git clone --quiet upstream clone") == (0, "")
    (clone / ".git/info/exclude").write_text(".venv*\n")
    (clone / ".venv").symlink_to(ROOT / ".venv")
    for file in (clone / "requirements.txt", clone / "requirements/dev.txt"):
        os.utime(file, (1e9, 1e9))  # older than the installation, so that make installs nothing

    own = {
        "policy.toml": (PROMPT, "You are a strict chess coach."),
        "deploy/names.sh": ('PROJECT=""', 'PROJECT="my-project"'),
        "deploy/env.yaml": ('FIREBASE_PROJECT_ID: ""', 'FIREBASE_PROJECT_ID: "my-project"'),
    }
    edit(clone, own)
    assert bash(clone, f"{lock} && {commit}") == (0, "")
    theirs = {
        "policy.toml": (PROMPT, "You are a patient teacher."),
        "deploy/names.sh": ("# The VPC network", 'NEW=""\n# The VPC network'),
        "deploy/env.yaml": ('ALLOWED_ORIGINS: ""', 'ALLOWED_ORIGINS: ""\nNEW: ""'),
        "deploy/lib.sh": ("set -E", "# new\nset -E"),
        "main.py": ("import", "# new\nimport"),
    }
    edit(upstream, theirs)
    release = f"{lock} && {commit} && git tag v1.2.0"
    assert bash(upstream, release) == (0, "")

    status, said = bash(clone, merge.replace("LIVETOKEN_URL", "../upstream"))
    assert status == 1, said
    _, conflicts = bash(clone, "git diff --name-only --diff-filter=U")
    assert "policy.toml" in conflicts.splitlines()
    assert set(conflicts.splitlines()) <= {*OWNERS}
    (clone / "policy.toml").write_text(policy.replace(PROMPT, own["policy.toml"][1]))
    for name in ("deploy/names.sh", "deploy/env.yaml"):
        text = (clone / name).read_text()
        (clone / name).write_text(re.sub(r"^(<{7}|={7}|>{7}).*\n", "", text, flags=re.M))
    status, said = bash(clone, again)
    assert status == 0, said

    assert bash(clone, "git status --porcelain") == (0, "")
    _, merged = bash(clone, "git log -1 --format=%P")
    assert len(merged.split()) == 2
    for changes in (own, {name: each for name, each in theirs.items() if name != "policy.toml"}):
        for name, (_, new) in changes.items():
            assert new.splitlines()[-1] in (clone / name).read_text(), name
    assert "chess coach" in (clone / "policy.lock.json").read_text()
