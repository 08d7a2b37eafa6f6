"""`deploy.sh stop`, `start`, `ban` and `unban` change the switch, which the real function obeys."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cloud import Fault
from cloud.access import member
from cloud.cloud import OWNER
from project import SERVICE, SWITCH, SWITCHES, Project

from livetoken.refusals import Reason

NAME = "livetoken.json"


@pytest.fixture
def switched(deployed: Project) -> Iterator[Project]:
    """The deployed function. Its instance, which other tests share, forgets the switch."""
    deployed.cloud.end(deployed.serving)
    yield deployed
    deployed.cloud.end(deployed.serving)


def run(project: Project, *words: str) -> str:
    """What a verb prints, which must succeed."""
    done = project.deploy(*words, principal=OWNER)
    assert done.status == 0, done.output
    return done.output


def switch(project: Project) -> Any:
    return json.loads(project.cloud.state.buckets[SWITCHES].objects[NAME])


def ask(project: Project, person: str = "ada") -> tuple[int, str | None]:
    """The answer of a new instance, which reads the switch: its status, and its reason."""
    project.cloud.end(project.serving)
    signed_in = {"Authorization": f"Bearer {project.stack.issuer.id_token(person)}"}
    answer = project.cloud.ask(project.cloud.url(SERVICE), headers=signed_in)
    return answer.status, json.loads(answer.body).get("error", {}).get("details", {}).get("reason")


def test_a_stop_and_a_ban_hold_until_they_are_taken_back(switched: Project) -> None:
    revision = switched.serving.name
    assert ask(switched) == (200, None)  # there is no object yet
    said = run(switched, "stop")
    assert f"written   {SWITCH}, at " in said
    assert "60 seconds" in said
    assert switch(switched) == {"stopped": True, "banned": []}
    assert ask(switched) == (503, Reason.STOPPED.name)
    run(switched, "ban", "ada-uid")
    assert ask(switched) == (503, Reason.STOPPED.name)
    run(switched, "start")
    assert switch(switched) == {"stopped": False, "banned": ["ada-uid"]}
    assert ask(switched) == (403, Reason.NOT_ALLOWED.name)
    assert ask(switched, "bob") == (200, None)
    run(switched, "ban", "ada-uid")
    run(switched, "ban", "-x 'y\"$(z)")
    assert switch(switched)["banned"] == ["ada-uid", "-x 'y\"$(z)"]
    run(switched, "unban", "ada-uid")
    assert ask(switched) == (200, None)
    assert switched.serving.name == revision  # nothing was deployed
    assert not [each for each in switched.written if "storage.googleapis.com" not in each]


def test_a_change_that_meets_another_is_made_again(switched: Project) -> None:
    """Somebody bans an account between our read and our write."""
    run(switched, "ban", "first")
    script = switched.root / "deploy/switch.py"
    script.rename(switched.root / "deploy/changed.py")
    other = json.dumps({"stopped": False, "banned": ["first", "meanwhile"]})
    write = f"gcloud storage cp - {SWITCH} --project=demo-livetoken"
    script.write_text(
        f"#!/bin/sh\n[ -e once ] || {{ touch once; echo '{other}' | {write} >&2; }}\n"
        'exec deploy/changed.py "$@"\n'
    )
    script.chmod(0o755)
    run(switched, "stop")
    assert switch(switched) == {"stopped": True, "banned": ["first", "meanwhile"]}
    refused = [each for each in switched.cloud.requests if each.status == 412]
    assert len(refused) == 1


def test_an_object_that_is_not_a_switch_is_left_as_it_is(switched: Project) -> None:
    bucket = switched.cloud.state.buckets[SWITCHES]
    bucket.objects[NAME], bucket.generations[NAME] = b'{"stoped": true}', 17
    done = switched.deploy("stop", principal=OWNER)
    assert done.status == 1
    assert '{"stopped": true, "banned": []}' in done.output
    assert f"gcloud storage cp - {SWITCH}" in done.last
    assert bucket.objects[NAME] == b'{"stoped": true}'


def test_an_account_is_banned_by_its_uid_and_not_by_its_email(switched: Project) -> None:
    done = switched.deploy("ban", "ada@example.com", principal=OWNER)
    assert (done.status, "`sub`" in done.output) == (1, True)
    assert NAME not in switched.cloud.state.buckets[SWITCHES].objects


def test_a_writer_of_the_object_can_stop_and_the_releaser_cannot(switched: Project) -> None:
    releaser = switched.deploy("stop")
    assert (releaser.status, "roles/storage.objectUser" in releaser.last) == (1, True)
    assert NAME not in switched.cloud.state.buckets[SWITCHES].objects
    guard = "guard@example.com"
    for resource, role in (("", "run.viewer"), (f"/buckets/{SWITCHES}", "storage.objectUser")):
        policy = switched.cloud.state.policy(f"projects/demo-livetoken{resource}")
        policy.members[f"roles/{role}"] = {*policy.members.get(f"roles/{role}", ()), member(guard)}
    for verb, stopped in (("stop", True), ("start", False)):
        assert switched.deploy(verb, principal=guard).status == 0
        assert switch(switched)["stopped"] is stopped


def test_a_service_without_a_switch_says_how_to_get_one(settled: Project) -> None:
    settled.edit("deploy/env.yaml", f'SWITCH_OBJECT: "{SWITCH}"\n', 'SWITCH_OBJECT: ""\n')
    lines = "source deploy/lib.sh; preflight; deploy_revision --no-invoker-iam-check"
    assert settled.run("bash", "-c", lines).status == 0
    assert ask(settled) == (200, None)
    done = settled.deploy("stop", principal=OWNER)
    assert (done.status, "deploy/setup.sh" in done.last) == (1, True)
    assert settled.cloud.state.buckets[SWITCHES].objects == {}


@pytest.mark.parametrize("bucket", ["", "switches-of-ours"])
def test_the_setup_makes_the_bucket_that_the_owner_names(settled: Project, bucket: str) -> None:
    place = f"gs://{bucket}/a/b.json" if bucket else ""
    settled.edit("deploy/env.yaml", f'"{SWITCH}"', f'"{place}"')
    state = settled.cloud.state
    before, granted = set(state.buckets), settled.grants("livetoken")
    environment = (settled.root / "deploy/env.yaml").read_text()
    settled.cloud.rules.faults.append(Fault("GET", "/secrets/livetoken-key:getIamPolicy", 403))
    done = settled.setup()
    assert "Could not grant roles/secretmanager.secretAccessor" in done.output  # the next step
    assert set(state.buckets) - before == ({bucket} if bucket else set())
    viewer = (f"buckets/{bucket}", "storage.objectViewer")
    assert settled.grants("livetoken") - granted == ({viewer} if bucket else set())
    assert (settled.root / "deploy/env.yaml").read_text() == environment
